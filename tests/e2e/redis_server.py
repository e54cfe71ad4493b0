"""A redis-server for the end-to-end tests, on a port and in a folder of its own, without
persistence; a plain connection to one; and nodes that are tied together by it."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from support import DEADLINE_S, JsonClient, Node, free_port, wait_until

HAVE = shutil.which("redis-server") is not None and shutil.which("redis-cli") is not None
SILENT_S = 3  # from a node's last word on, until it counts as silent


class Refusal(Exception):
    """An error that Redis answers."""


class Connection:
    """Commands, and their replies."""

    def __init__(self, port, password=None, user=None):
        self.socket = socket.create_connection(("127.0.0.1", port), DEADLINE_S)
        self.file = self.socket.makefile("rb")
        if password is not None:
            self.ask("AUTH", *([user] if user else []), password)

    def send(self, *words):
        parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        self.socket.sendall(b"*%d\r\n" % len(parts) + b"".join(
            b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))

    def reply(self):
        line = self.file.readline()
        if not line:
            raise EOFError("Redis closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise Refusal(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2].decode()
        if kind == b"*":
            return [self.reply() for _ in range(int(rest))]
        return rest.decode()

    def ask(self, *words):
        self.send(*words)
        return self.reply()

    def close(self):
        self.file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Redis:
    """Ended only by its pid, whatever happened to it in between."""

    def __init__(self, *flags, password=None, start=True):
        self.folder = tempfile.TemporaryDirectory(prefix="ringpost-redis-")
        self.port = free_port()
        self.flags = list(flags) + (["--requirepass", password] if password else [])
        self.password = password
        self.process = None
        self.paused = False
        if start:
            self.start()

    def start(self):
        with open(os.path.join(self.folder.name, "log"), "ab") as log:
            self.process = subprocess.Popen(
                ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                 "--appendonly", "no", "--dir", self.folder.name, *self.flags],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def answers():
            assert self.process.poll() is None, self.log()
            with contextlib.suppress(OSError, Refusal, EOFError):
                return self.ask("PING") == "PONG"
        wait_until("Redis starts", answers)

    def log(self):
        with open(os.path.join(self.folder.name, "log"), encoding="utf-8") as file:
            return file.read()

    def url(self, user=None, password=None, db=None):
        who = f"{user or ''}:{password}@" if password else ""
        return f"redis://{who}127.0.0.1:{self.port}" + (f"/{db}" if db is not None else "")

    def connect(self):
        return Connection(self.port, self.password)

    def ask(self, *words):
        with self.connect() as connection:
            return connection.ask(*words)

    def publish(self, channel, text):
        return self.ask("PUBLISH", channel, text)

    def connections(self, kind):
        """The ids of connections: `normal` or `pubsub`, but for the one that asks."""
        lines = self.ask("CLIENT", "LIST", "TYPE", kind).splitlines()
        fields = [dict(word.split("=", 1) for word in line.split(" ")) for line in lines]
        return [one["id"] for one in fields if one.get("name", "").startswith("ringpost-")]

    def pause(self):
        os.kill(self.process.pid, signal.SIGSTOP)
        self.paused = True

    def resume(self):
        os.kill(self.process.pid, signal.SIGCONT)
        self.paused = False

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def restart(self):
        self.kill()
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        self.folder.cleanup()


def node_of(redis, name, *flags, **more):
    return Node("--node", name, "--redis", redis.url(), *flags, **more)


@contextlib.contextmanager
def cluster(redis, *names, flags=(), **more):
    """Nodes that are all up and know each other."""
    with contextlib.ExitStack() as stack:
        nodes = [stack.enter_context(node_of(redis, name, *flags, **more)) for name in names]
        wait_until("the nodes know each other", lambda: all(
            node.metric("ringpost_redis_nodes") == len(names) - 1 for node in nodes))
        yield nodes


def live_on(server, nodes, subscribe="SUBSCRIBE"):
    """Until each node has said by that server that it lives, later than the others would have taken
    it for silent if they had heard nothing of it from now on; and none was."""
    late, heard = time.monotonic() + SILENT_S, set()
    with server.connect() as words:
        words.ask(subscribe, "ringpost:all")

        def all_heard():
            word = json.loads(words.reply()[2]).get("node", {})
            if word.get("lives") and time.monotonic() > late:
                heard.add(word["run"])
            return len(heard) == len(nodes)
        wait_until("all say that they live", all_heard)
    for node in nodes:
        assert node.metric("ringpost_redis_nodes") == len(nodes) - 1, node.log()
        assert "event=redis_node_silent" not in node.log(), node.log()


class NodesTest(unittest.TestCase):
    """A test with several nodes."""

    def client(self, node, *args, **more):
        client = JsonClient(node, *args, **more)
        self.addCleanup(client.close)
        return client

    def result(self, node, **fields):
        """(status, state, recipients) of a message."""
        status, answer, _ = node.message(**fields)
        return status, answer.get("state"), answer.get("recipients")

    def hears(self, client, *data):
        """Exactly that, up to a last message of its own."""
        for one in data:
            self.assertEqual(client.hear_message()["data"], one)


def missed(nodes):
    """How many copies they say that they have missed."""
    return sum(node.metric("ringpost_redis_missed_total") for node in nodes)


def ready(node):
    return node.api("GET", "/readyz")[1]


def is_up(node):
    return node.metric("ringpost_redis_connected") == 1


def hear_after(client, before):
    """The id of the next message that is not `before`. That one comes a second time if it crossed
    the word to its keeper that the client has come, and says so."""
    while (message := client.hear_message())["id"] == before:
        assert message["redelivered"], f"{before} came twice"
    return message["id"]
