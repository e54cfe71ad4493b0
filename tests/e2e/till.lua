-- A back-end as many run it: LuaSocket and cjson. Usage: lua till.lua lines|counted PORT ID COUNT
-- Prints each payload as it came, in hexadecimal, one a line; then acknowledges it, if it is to be.
local socket, cjson = require("socket"), require("cjson")
local framing, port, id, count = arg[1], tonumber(arg[2]), arg[3], tonumber(arg[4])
local c = assert(socket.connect("127.0.0.1", port))
c:settimeout(20)
local function hex(s) return (s:gsub(".", function(b) return ("%02x"):format(b:byte()) end)) end
if framing == "lines" then
    c:send(cjson.encode({type = "hello", id = id}) .. "\n")
    assert(cjson.decode((assert(c:receive("*l")))).type == "welcome")
    io.write("ready\n") io.flush()
    while count > 0 do
        local line = assert(c:receive("*l"))
        local m = cjson.decode(line)
        if m.type == "message" then
            io.write(hex(line), "\n") io.flush()
            if m.ack then c:send(cjson.encode({type = "ack", id = m.id}) .. "\n") end
            count = count - 1
        elseif m.type == "ping" then
            c:send('{"type":"pong"}\n')
        end
    end
else
    c:send("HELLO " .. cjson.encode({id = id}) .. "\r\n")
    assert(assert(c:receive("*l")):match("^WELCOME "))
    io.write("ready\n") io.flush()
    while count > 0 do
        local word, rest = assert(c:receive("*l")):match("^(%u+) ?(.*)")
        if word == "MSG" then
            local id, flags, bytes = rest:match("^(%S+) %S+ (%S+) (%d+)$")
            bytes = tonumber(bytes)
            local payload = bytes > 0 and assert(c:receive(bytes)) or ""
            assert(c:receive(2))
            io.write(hex(payload), "\n") io.flush()
            if flags:find("a", 1, true) then c:send("ACK " .. id .. "\r\n") end
            count = count - 1
        elseif word == "PING" then
            c:send("PONG\r\n")
        end
    end
end
