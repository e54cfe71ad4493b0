"""Clients of server-sent events, by hand: what a browser's EventSource does with the bytes."""

import json
import urllib.parse

from support import Socket


class Refused(Exception):
    """No stream: the status and the error of the answer."""

    def __init__(self, status, body):
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body


def query_of(fields):
    return urllib.parse.urlencode([(name, one) for name, value in fields.items()
                                   for one in (value if isinstance(value, list) else [value])])


class Stream(Socket):
    """A session at /events; `head` False: nothing is read yet."""

    def __init__(self, node, client_id=None, last=None, version="1.1", source="127.0.0.1",
                 lines="", before=b"", receive_buffer=None, head=True, **fields):
        super().__init__(node.address("web"), source, receive_buffer)
        self.text = b""      # of the stream, without the framing
        self.comments = 0
        self.chunks = []     # their sizes
        self.welcome = None
        if client_id is not None:
            fields["id"] = client_id
        path = "/events" + ("?" + query_of(fields) if fields else "")
        request = f"GET {path} HTTP/{version}\r\nHost: localhost\r\n{lines}"
        if last is not None:
            request += f"Last-Event-ID: {last}\r\n"
        self.send(before + request.encode() + b"\r\n")
        if head:
            self.open()

    def read_head(self):
        lines = []
        while (line := self.line().rstrip(b"\r")) != b"":
            lines.append(line.decode())
        fields = dict(line.split(": ", 1) for line in lines[1:])
        return int(lines[0].split(" ")[1]), fields

    def open(self):
        status, self.fields = self.read_head()
        if status != 200:
            raise Refused(status, json.loads(self.exactly(int(self.fields["Content-Length"]))))
        self.chunked = self.fields.get("Transfer-Encoding") == "chunked"
        welcome = self.event()
        assert welcome["event"] == "welcome" and "id" not in welcome, welcome
        self.welcome = json.loads(welcome["data"])
        self.session = self.welcome["session"]

    def more(self):
        """Some of the stream; False: it has ended."""
        if not self.chunked:
            if not self.buffer and not self.fill():
                return False
            self.text, self.buffer = self.text + self.buffer, b""
            return True
        line = self.line()
        if line is None:
            return False
        size = int(line.rstrip(b"\r"), 16)
        self.chunks.append(size)
        self.text += self.exactly(size)
        assert self.exactly(2) == b"\r\n"
        return size != 0

    def event(self):
        """The next one, as its fields; None: the stream has ended."""
        event = {}
        while True:
            while b"\n" not in self.text:
                if not self.more():
                    assert not self.text and not event, (event, self.text)
                    return None
            line, self.text = self.text.split(b"\n", 1)
            if line.startswith(b":"):
                self.comments += 1
            elif line:
                name, value = line.decode().split(": ", 1)
                event[name] = f"{event[name]}\n{value}" if name in event else value
            elif event:
                return event

    def message(self):
        event = self.event()
        assert event is not None, "the stream ended"
        assert "id" in event, event
        return event["id"], event["event"], json.loads(event["data"])

    def ids(self, count):
        return [self.message()[0] for _ in range(count)]
