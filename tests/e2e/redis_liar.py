"""Something at a port that a node takes for Redis, and that answers as a test says."""

import random
import socket
import threading

GREETING = {b"AUTH": b"+OK\r\n", b"SELECT": b"+OK\r\n", b"CLIENT": b"+OK\r\n",
            b"ROLE": b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n", b"PING": b"+PONG\r\n",
            b"PUBLISH": b":0\r\n"}


class Close(Exception):
    """Instead of an answer."""


def bulk(*words):
    """An array of strings."""
    words = [word if isinstance(word, bytes) else word.encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


def confirmed(word, channels):
    return b"".join(b"*3\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n:1\r\n" % (
        len(word), word.lower(), len(one), one) for one in channels)


def polite(words):
    """What Redis would say, to whoever is alone."""
    word = words[0].upper()
    if word in (b"SUBSCRIBE", b"UNSUBSCRIBE"):
        return confirmed(word, words[1:])
    return GREETING[word]


class Liar:
    """`answers(words)` gives bytes, or parts of them one after the other, or nothing; `first()`
    what is said to whoever has connected."""

    def __init__(self, answers=polite, first=lambda: b""):
        self.answers, self.first = answers, first
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"
        self.connections = 0
        self.commands = 0
        self.sent = 0
        self.subscriber = None  # the socket of the last that has subscribed
        self.ends = False
        self.open = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            self.connections += 1
            self.open.append(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def say(self, connection, parts):
        for part in [parts] if isinstance(parts, bytes) else parts or ():
            if self.ends:
                return
            connection.sendall(part)
            self.sent += len(part)

    def serve(self, connection):
        file = connection.makefile("rb")
        try:
            self.say(connection, self.first())
            while line := file.readline():
                words = []
                for _ in range(int(line[1:])):
                    words.append(file.read(int(file.readline()[1:]) + 2)[:-2])
                self.commands += 1
                if words[0].upper() == b"SUBSCRIBE":
                    self.subscriber = connection
                self.say(connection, self.answers(words))
        except (OSError, Close):
            pass
        finally:
            file.close()
            connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ends = True
        self.listener.close()
        for connection in self.open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def garbage(count, seed):
    return random.Random(seed).randbytes(count)
