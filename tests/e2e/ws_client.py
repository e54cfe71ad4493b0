"""A plain client of WebSocket for the end-to-end tests: a socket, frames by hand."""

import base64
import json
import os
import struct

from support import Socket

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def mask(data, key):
    return bytes(byte ^ key[i % 4] for i, byte in enumerate(data))


def frame(opcode, data=b"", fin=True, masked=True, reserved=0):
    """One frame as a client sends it; wrong ones by the keywords."""
    data = data.encode() if isinstance(data, str) else data
    head = bytes([(0x80 if fin else 0) | reserved << 4 | opcode])
    bit = 0x80 if masked else 0
    if len(data) < 126:
        head += bytes([bit | len(data)])
    elif len(data) < 65536:
        head += bytes([bit | 126]) + struct.pack(">H", len(data))
    else:
        head += bytes([bit | 127]) + struct.pack(">Q", len(data))
    if not masked:
        return head + data
    key = os.urandom(4)
    return head + key + mask(data, key)


def handshake(path="/ws", **fields):
    """The head of a request; a field that is None is left out."""
    head = {"Host": "127.0.0.1", "Upgrade": "websocket", "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode()}
    head.update({name.replace("_", "-"): value for name, value in fields.items()})
    lines = [f"{name}: {value}" for name, value in head.items() if value is not None]
    return f"GET {path} HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\n"


class WebSocket(Socket):
    """Connected, with its 101; with a query it has its welcome, unless the test says otherwise."""

    def __init__(self, node, path="/ws", source="127.0.0.1", receive_buffer=None, welcomed=None,
                 **fields):
        super().__init__(node.address("web"), source, receive_buffer)
        self.send(handshake(path, **fields))
        self.status, self.head = self.answer()
        if welcomed is None:
            welcomed = self.status == 101 and "?" in path
        self.welcome = self.hear() if welcomed else None

    def answer(self):
        """Status and header lines of what came instead of frames, or before them."""
        status = int(self.line().split()[1])
        head = {}
        while line := self.line().strip():
            name, value = line.decode().split(": ", 1)
            head[name.lower()] = value
        return status, head

    def frame(self):
        """Opcode and payload of the next frame; None at the end."""
        while len(self.buffer) < 2:
            if not self.fill():
                assert not self.buffer, self.buffer
                return None
        first, second = self.exactly(2)
        assert first & 0x80 and not second & 0x80, "a server's frames are whole and not masked"
        length = second
        if length == 126:
            length, = struct.unpack(">H", self.exactly(2))
        elif length == 127:
            length, = struct.unpack(">Q", self.exactly(8))
        self.compressed = bool(first & 0x40)
        return first & 15, self.exactly(length)

    def say(self, **fields):
        self.send(frame(TEXT, json.dumps(fields)))

    def hear(self):
        """The next object; pings are answered."""
        while True:
            opcode, data = self.frame()
            if opcode == PING:
                self.send(frame(PONG, data))
                continue
            assert opcode == TEXT, (opcode, data)
            return json.loads(data)

    def asks(self, **fields):
        self.say(**fields)
        return self.hear()

    def closed(self):
        """The code of its close frame, and that the end follows."""
        opcode, data = self.frame()
        assert opcode == CLOSE, (opcode, data)
        self.send(frame(CLOSE, data[:2]))
        assert self.rest() == b""
        return struct.unpack(">H", data[:2])[0] if data else None
