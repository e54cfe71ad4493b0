#!/usr/bin/env python3
"""A node that lies: just enough of the HTTP API and of raw TCP for `ringpost bench`, which takes it
for a node (`--server tests/e2e/liar.py --server-arg --lie --server-arg drop`).

Each --lie KIND[@RUN] is told once, in that run of traffic (the first one if it is not said), about
the second message that comes for any one client in it:

    drop     answered `queued`, never delivered
    twice    delivered two times
    swap     delivered behind the next one for the same client
    stray    delivered to another client
    flip     one digit of the payload is another one
    close    delivered, and then the client's connection is closed
    unasked  answered 503 and delivered all the same
    late     delivered behind the first message of the next run
    mute     nothing that comes on this producer's connection any more is delivered or answered

And about heartbeats and the lone producer of an overload, whenever they come first:

    deaf     one client's heartbeat is never answered
    echo     one client's heartbeat is answered two times
    snub     whatever the lone producer sends is answered 503

Without --lie it is honest. Requests are handled one by one in the order in which they come, so what
a lie leads to is the same each time. With --pause it looks at what came on a producer's connection
only so many seconds later.
"""

import argparse
import asyncio
import json
import os
import signal

QUEUED = (202, b'{"id":"m","state":"queued","recipients":1}')
ABSENT = (404, b'{"id":"m","state":"absent","recipients":0}')
OVERLOADED = (503, b'{"error":{"code":"overloaded","message":"so it says"}}')
REASONS = {202: "Accepted", 404: "Not Found", 503: "Service Unavailable"}
# In the load tool's payload: a run's last two digits; what it is for, 4 where it is of the lone
# producer; behind its time.
RUN_AT, KIND_AT, TIME_END = 14, 39, 71
OF_HEARTBEATS = ("deaf", "echo")


class Liar:
    """Who is there, and what becomes of a message."""

    def __init__(self, lies, pause_s):
        self.lies = lies  # (kind, run) that were not told yet
        self.pause_s = pause_s
        self.tills = {}
        self.seen = {}    # messages for a client in a run
        self.kept = []    # what swap and late hold back: (kind, client id, run, payload)

    def lie_about(self, client_id, run):
        self.seen[client_id, run] = self.seen.get((client_id, run), 0) + 1
        if self.seen[client_id, run] != 2:
            return None
        for lie in self.lies:
            if lie[1] == run and lie[0] not in (*OF_HEARTBEATS, "snub"):
                self.lies.remove(lie)
                return lie[0]
        return None

    def lie_about_heartbeat(self):
        for lie in self.lies:
            if lie[0] in OF_HEARTBEATS:
                self.lies.remove(lie)
                return lie[0]
        return None

    def publish(self, client_id, payload):
        """Gives the answer, None if there is none any more."""
        lone = payload[KIND_AT:KIND_AT + 1] == b"4"
        if lone and any(lie[0] == "snub" for lie in self.lies):
            return OVERLOADED
        run = int(payload[RUN_AT:RUN_AT + 2], 16)
        # The lone producer's messages come in between at any time: which is whose must not depend
        # on that.
        lie = None if lone else self.lie_about(client_id, run)
        till = self.tills.get(client_id)
        if lie == "mute":
            return None
        if till is None:
            return ABSENT
        if lie in ("swap", "late"):
            self.kept.append((lie, client_id, run, payload))
        elif lie == "stray":
            next(other for other in self.tills.values() if other is not till).deliver(payload)
        elif lie == "flip":
            digit = b"1" if payload[TIME_END - 1:TIME_END] == b"0" else b"0"
            till.deliver(payload[:TIME_END - 1] + digit + payload[TIME_END:])
        elif lie != "drop":
            till.deliver(payload)
        if lie == "twice":
            till.deliver(payload)
        elif lie == "close":
            till.transport.close()
            del self.tills[client_id]
        elif lie is None:
            self.deliver_kept(client_id, run)
        return OVERLOADED if lie == "unasked" else QUEUED

    def deliver_kept(self, client_id, run):
        for entry in list(self.kept):
            kind, whose, its_run, payload = entry
            if whose == client_id if kind == "swap" else run != its_run:
                self.kept.remove(entry)
                self.tills[whose].deliver(payload)


class Till(asyncio.Protocol):
    """A client's connection. Whatever it says after its hello is a heartbeat."""

    def __init__(self, liar):
        self.liar = liar
        self.transport = None
        self.counted = None
        self.buffer = b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.buffer += data
        while b"\n" in self.buffer:
            line, self.buffer = self.buffer.split(b"\n", 1)
            if self.counted is None:
                self.hello(line)
            else:
                lie = self.liar.lie_about_heartbeat()
                pong = b"PONG\r\n" if self.counted else b'{"type":"pong"}\n'
                self.transport.write(pong * {"deaf": 0, "echo": 2}.get(lie, 1))

    def hello(self, hello):
        self.counted = hello.startswith(b"HELLO ")
        self.liar.tills[json.loads(hello.removeprefix(b"HELLO "))["id"]] = self
        welcome = b'{"type":"welcome","session":"0-1-1","node":"liar","heartbeat":25}'
        self.transport.write(b"WELCOME " + welcome + b"\r\n" if self.counted else welcome + b"\n")

    def deliver(self, payload):
        if self.counted:
            self.transport.write(b"MSG m message - %d\r\n%s\r\n" % (len(payload), payload))
        else:
            self.transport.write(b'{"type":"message","id":"m","event":"message","data":' + payload
                                 + b"}\n")


class Api(asyncio.Protocol):
    """A producer's connection: pipelined `POST /v1/clients/{id}`."""

    def __init__(self, liar):
        self.liar = liar
        self.transport = None
        self.buffer = b""
        self.looks = False  # at the end of a pause

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.buffer += data
        if self.liar.pause_s == 0:
            self.look()
        elif not self.looks:
            self.looks = True
            asyncio.get_running_loop().call_later(self.liar.pause_s, self.look)

    def look(self):
        self.looks = False
        while b"\r\n\r\n" in self.buffer:
            head, rest = self.buffer.split(b"\r\n\r\n", 1)
            if head.startswith(b"GET "):  # it counts nothing
                self.buffer = rest
                self.transport.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                continue
            length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            client_id = head.split(b" ")[1].rsplit(b"/", 1)[1].decode()
            answer = self.liar.publish(client_id, rest[:length])
            if answer is None:
                self.transport.pause_reading()
                return
            status, body = answer
            self.transport.write(b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\n"
                                 b"Content-Length: %d\r\n\r\n%s" %
                                 (status, REASONS[status].encode(), len(body), body))


def lie_read(text):
    kind, _, run = text.partition("@")
    return kind, int(run or 1)


async def serve(given):
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    liar = Liar(given.lie, given.pause)
    ports = {}
    for kind, protocol in (("tcp", Till), ("api", Api)):
        server = await loop.create_server(lambda protocol=protocol: protocol(liar), "127.0.0.1", 0)
        ports[kind] = [f"127.0.0.1:{server.sockets[0].getsockname()[1]}"]
    with open(given.ports_file + "~", "w", encoding="utf-8") as file:
        json.dump(ports, file)
    os.rename(given.ports_file + "~", given.ports_file)  # whoever waits for it finds all of it
    await ended.wait()


def main():
    words = argparse.ArgumentParser(description=__doc__,
                                    formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--ports-file", required=True)
    words.add_argument("--lie", action="append", type=lie_read, default=[])
    words.add_argument("--pause", type=float, default=0)
    asyncio.run(serve(words.parse_known_args()[0]))  # the rest is said to real nodes


if __name__ == "__main__":
    main()
