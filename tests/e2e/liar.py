#!/usr/bin/env python3
"""A node that lies: just enough of the HTTP API, of raw TCP and of WebSocket for `ringpost bench`,
which takes it for a node (`--server tests/e2e/liar.py --server-arg --lie --server-arg drop`).

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

Over WebSocket, about such a message, of which then nothing is delivered, nor to its client later:

    mask      its frame is masked
    binary    its frame says that it is no text
    fragment  it is the first piece of two
    reserved  its frame has a reserved bit
    opcode    its frame has an opcode that there is not
    length    its frame's length is in more bytes than it needs
    bye       a close frame with 1013 and a reason comes instead, and it counts as absent

And about the first handshake:

    accept    its Sec-WebSocket-Accept is another one
    refuse    it is answered 403

Without --lie it is honest. Requests are handled one by one in the order in which they come, so what
a lie leads to is the same each time. With --pause it looks at what came on a producer's connection
only so many seconds later. With --amqp it consumes --amqp-queue, too.
"""

import argparse
import asyncio
import base64
import hashlib
import json
import os
import signal
import struct
import threading
import urllib.parse

QUEUED = (202, b'{"id":"m","state":"queued","recipients":1}')
ABSENT = (404, b'{"id":"m","state":"absent","recipients":0}')
OVERLOADED = (503, b'{"error":{"code":"overloaded","message":"so it says"}}')
WELCOME = b'{"type":"welcome","session":"0-1-1","node":"liar","heartbeat":25}'
REASONS = {202: "Accepted", 404: "Not Found", 503: "Service Unavailable"}
# In the load tool's payload: a run's last two digits; what it is for, 4 where it is of the lone
# producer; behind its time.
RUN_AT, KIND_AT, TIME_END = 14, 39, 71
OF_HEARTBEATS = ("deaf", "echo")
OF_HANDSHAKES = ("accept", "refuse")
OTHER_TIMES = (*OF_HEARTBEATS, *OF_HANDSHAKES, "snub")
OF_FRAMES = ("mask", "binary", "fragment", "reserved", "opcode", "length", "bye")
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


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
            if lie[1] == run and lie[0] not in OTHER_TIMES:
                self.lies.remove(lie)
                return lie[0]
        return None

    def lie_of(self, kinds):
        """About a heartbeat or a handshake."""
        for lie in self.lies:
            if lie[0] in kinds:
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
        if lie in OF_FRAMES:
            till.deliver_frame(lie, payload)
            del self.tills[client_id]
            return ABSENT if lie == "bye" else QUEUED
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
                self.heartbeat(b"PONG\r\n" if self.counted else b'{"type":"pong"}\n')

    def heartbeat(self, pong):
        lie = self.liar.lie_of(OF_HEARTBEATS)
        self.transport.write(pong * {"deaf": 0, "echo": 2}.get(lie, 1))

    def hello(self, hello):
        self.counted = hello.startswith(b"HELLO ")
        self.liar.tills[json.loads(hello.removeprefix(b"HELLO "))["id"]] = self
        self.transport.write(b"WELCOME " + WELCOME + b"\r\n" if self.counted else WELCOME + b"\n")

    def deliver(self, payload):
        if self.counted:
            self.transport.write(b"MSG m message - %d\r\n%s\r\n" % (len(payload), payload))
        else:
            self.transport.write(message_of(payload) + b"\n")


def message_of(payload):
    return b'{"type":"message","id":"m","event":"message","data":' + payload + b"}"


def frame_of(first, text):
    short = len(text) < 126
    head = bytes([first, len(text)]) if short else struct.pack("!BBH", first, 126, len(text))
    return head + text


class WsTill(asyncio.Protocol):
    """A client's connection over WebSocket. It is asked whether it is there before its welcome."""

    def __init__(self, liar):
        self.liar = liar
        self.transport = None
        self.open = self.named = False
        self.buffer = b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.buffer += data
        if not self.open and b"\r\n\r\n" in self.buffer:
            head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
            self.shake(head.decode())
        while self.open and len(self.buffer) >= 2:
            first, length, at = self.buffer[0], self.buffer[1] & 127, 2
            if length == 126:
                length, at = int.from_bytes(self.buffer[2:4], "big"), 4
            whole = at + 4 + length
            if len(self.buffer) < whole:
                return
            mask, text = self.buffer[at:at + 4], self.buffer[at + 4:whole]
            if not self.buffer[1] & 128:
                raise ValueError("a client's frame without a mask")
            self.buffer = self.buffer[whole:]
            self.frame(first, bytes(byte ^ mask[i % 4] for i, byte in enumerate(text)))

    def shake(self, head):
        words = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
        lie = self.liar.lie_of(OF_HANDSHAKES)
        if lie == "refuse":
            self.transport.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 10\r\n\r\n"
                                 b"so it says")
            self.transport.close()
            return
        key = words["Sec-WebSocket-Key"].encode()
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
        self.open = True
        self.transport.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                             b"Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n" %
                             (accept.swapcase() if lie == "accept" else accept))
        query = urllib.parse.parse_qs(head.split(" ")[1].partition("?")[2])
        if "id" in query:
            self.register(query["id"][0])

    def register(self, client_id):
        self.liar.tills[client_id] = self
        self.transport.write(frame_of(0x89, b"are you there?"))

    def frame(self, first, text):
        if first == 0x8a:
            if text != b"are you there?" or self.named:
                raise ValueError("a pong with something else in it, or a second one")
            self.named = True
            self.transport.write(frame_of(0x81, WELCOME))
        elif first == 0x81 and not self.named:
            self.register(json.loads(text)["id"])
        elif first == 0x81:
            Till.heartbeat(self, frame_of(0x81, b'{"type":"pong"}'))

    def deliver(self, payload):
        self.transport.write(frame_of(0x81, message_of(payload)))

    def deliver_frame(self, lie, payload):
        frame = bytearray(frame_of(0x81, message_of(payload)))
        if lie == "mask":
            frame[1] |= 0x80
            frame[4:4] = bytes(4)
        elif lie == "length":
            frame[1:4] = struct.pack("!BQ", 127, len(frame) - 4)
        elif lie == "bye":
            frame = frame_of(0x88, struct.pack("!H", 1013) + b"no time")
        else:
            frame[0] = {"binary": 0x82, "fragment": 0x01, "reserved": 0xc1, "opcode": 0x83}[lie]
        self.transport.write(bytes(frame))


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


def consume(liar, loop, url, queue):
    """What comes from a queue goes where it would from a producer; every message leaves it."""
    from rabbit_server import pika  # pylint: disable=import-outside-toplevel
    channel = pika.BlockingConnection(pika.URLParameters(url + "/%2F")).channel()
    channel.basic_qos(prefetch_count=1000)
    for method, _, body in channel.consume(queue):
        client_id = json.loads(body)["to"]
        payload = body.split(b'"data":', 1)[1][:-1]
        loop.call_soon_threadsafe(liar.publish, client_id, payload)
        channel.basic_ack(method.delivery_tag)


def lie_read(text):
    kind, _, run = text.partition("@")
    return kind, int(run or 1)


async def serve(given):
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    liar = Liar(given.lie, given.pause)
    ports = {}
    for kind, protocol in (("tcp", Till), ("web", WsTill), ("api", Api)):
        server = await loop.create_server(lambda protocol=protocol: protocol(liar), "127.0.0.1", 0)
        ports[kind] = [f"127.0.0.1:{server.sockets[0].getsockname()[1]}"]
    with open(given.ports_file + "~", "w", encoding="utf-8") as file:
        json.dump(ports, file)
    if given.amqp:
        threading.Thread(target=consume, args=(liar, loop, given.amqp, given.amqp_queue),
                         daemon=True).start()
    os.rename(given.ports_file + "~", given.ports_file)  # whoever waits for it finds all of it
    await ended.wait()


def main():
    words = argparse.ArgumentParser(description=__doc__,
                                    formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--ports-file", required=True)
    words.add_argument("--lie", action="append", type=lie_read, default=[])
    words.add_argument("--amqp")
    words.add_argument("--amqp-queue")
    words.add_argument("--pause", type=float, default=0)
    asyncio.run(serve(words.parse_known_args()[0]))  # the rest is said to real nodes


if __name__ == "__main__":
    main()
