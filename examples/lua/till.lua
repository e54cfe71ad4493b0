-- A till over TCP, with LuaSocket and cjson: lua5.4 till.lua CLIENT [GROUP...]
-- Prints each message, acknowledges it, and comes back after every kind of end.
local socket, cjson = require("socket"), require("cjson")
local id, groups = arg[1], {table.unpack(arg, 2)}
local host, port = (os.getenv("RINGPOST_TCP") or "127.0.0.1:7000"):match("^(.*):(%d+)$")

-- What comes again is not done again: an acknowledgement may have been lost, so the ids of what was
-- done are kept for a while, the last 10,000 in a ring.
local done, ring, at = {}, {}, 0
local function work(m)
  if done[m.id] then return end
  io.write(m.event, " ", cjson.encode(m.data), "\n") io.flush()
  at = at % 10000 + 1
  if ring[at] then done[ring[at]] = nil end
  ring[at], done[m.id] = m.id, true
end

-- One connection, to its end. Gives whether there was a welcome, and the seconds until it may come
-- back, if the node has said so.
local function session()
  local c, welcomed, reconnect_s = socket.tcp(), false, nil
  local function say(m) c:send(cjson.encode(m) .. "\n") end
  c:settimeout(10)
  if not c:connect(host, tonumber(port)) then c:close() return false end
  local hello = {type = "hello", id = id}
  if #groups > 0 then hello.groups = groups end
  say(hello)
  for line in function() return c:receive("*l") end do
    local m = cjson.decode(line)
    if m.type == "welcome" then
      welcomed = true
      c:settimeout(m.heartbeat + 20) -- the node pings whoever is silent; one that does not is lost
    elseif m.type == "message" then
      work(m)
      if m.ack then say({type = "ack", id = m.id}) end -- only when the work is done
    elseif m.type == "ping" then
      say({type = "pong"})
    elseif m.type == "goodbye" then
      reconnect_s = m.reconnect_ms / 1000 -- the node spreads its clients over time
    elseif m.type == "error" then
      io.stderr:write(m.code, ": ", m.message, "\n")
      if not welcomed and m.code == "bad_message" then os.exit(1) end -- it would be refused again
    end
  end
  c:close()
  return welcomed, reconnect_s
end

local failed = 0
while true do
  local welcomed, reconnect_s = session()
  failed = welcomed and 0 or failed + 1
  socket.sleep(reconnect_s or math.min(30, 2 ^ failed) * (0.5 + math.random() / 2))
end
