"""What the environment refuses must not end the node: descriptors, memory, parts of the kernel."""

import os
import resource
import select
import socket
import unittest

from support import SANITIZED, JsonClient, Node, wait_until


def connect_idle(address, count, first_port=0):
    """Opens `count` connections from one address and says nothing on them. With very many the
    kernel takes long to find free ports by itself; `first_port` counts upwards."""
    sockets = []
    port = first_port
    while len(sockets) < count:
        one = socket.socket()
        if first_port:
            port += 1
            try:
                one.bind(("127.9.9.9", port))
            except OSError:
                one.close()
                continue
        one.connect(address)
        sockets.append(one)
    return sockets


def ended(sockets):
    """How many of them the node has closed."""
    poll = select.poll()
    for one in sockets:
        poll.register(one, select.POLLIN)
    return len(poll.poll(0))


class Crowd:
    """Idle connections from one address, more than one process may hold: children hold them."""

    CHILDREN = 2

    def __init__(self, address, count):
        self.pids, self.connected = [], 0
        self.hold_read, self.hold_write = os.pipe()
        told_read, told_write = os.pipe()
        for index in range(self.CHILDREN):
            share = count // self.CHILDREN + (index < count % self.CHILDREN)
            pid = os.fork()
            if pid == 0:
                self.child(address, share, 10000 + index * 20000, told_write)
            self.pids.append(pid)
        os.close(self.hold_read)
        os.close(told_write)
        with os.fdopen(told_read) as told:
            self.connected = sum(int(line) for line in told)

    def child(self, address, share, first_port, told):
        status = 1
        try:
            os.close(self.hold_write)
            sockets = connect_idle(address, share, first_port)
            os.write(told, b"%d\n" % len(sockets))
            os.close(told)
            os.read(self.hold_read, 1)
            status = 0
        finally:
            os._exit(status)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.hold_write)
        for pid in self.pids:
            os.waitpid(pid, 0)


class Descriptors(unittest.TestCase):
    """More connections from one address than there are places for, none of which says a word."""

    def flood(self, kind, count, *flags, workers=1, kept=None, limits=None):
        with Node(*flags, "--hello-timeout", "300", workers=workers, limits=limits) as node:
            sockets = connect_idle(node.address(kind), count)
            try:
                def settled():
                    gone = ended(sockets)
                    return gone > 0 and gone == sum(
                        value for name, value in node.metrics().items()
                        if name.startswith("ringpost_refused_total"))
                wait_until("each connection is kept, or refused and counted", settled)
                if kept is not None:
                    self.assertEqual(count - ended(sockets), kept)
                # Operators get in, all 64 of them.
                operators = connect_idle(node.address("api"), 62)
                self.assertEqual(node.api("GET", "/readyz")[0], 200)
                self.assertEqual(ended(operators), 0)
                for one in operators:
                    one.close()
            finally:
                for one in sockets:
                    one.close()
            wait_until("all are gone", lambda: node.stats()["totals"]["connections"] <= 1)
            with JsonClient(node, "late") as late:
                self.assertEqual(node.push("late", 1)[0], 202)
                self.assertEqual(late.hear()["data"], 1)

    def test_more_connections_than_descriptors(self):
        for kind in ("tcp", "web"):
            for workers in (1, 2):
                with self.subTest(kind=kind, workers=workers):
                    self.flood(kind, 1100, workers=workers, limits={"nofile": 1024})

    def test_the_limit_just_under_that_of_descriptors(self):
        for most in (950, 1000, 1023):
            with self.subTest(max_connections=most):
                self.flood("tcp", 1100, "--max-connections", str(most), limits={"nofile": 1024})

    def test_a_limit_that_one_worker_cannot_hold(self):
        self.flood("tcp", 700, "--max-connections", "800", "--steer", "ip", workers=2,
                   limits={"nofile": 512})

    @unittest.skipIf(SANITIZED, "as many connections as a process may have")
    def test_all_defaults_and_more_than_the_descriptors(self):
        limit = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 20000)
        with Node("--hello-timeout", "300", limits={"nofile": limit}) as node:
            with Crowd(node.address("tcp"), limit + 13) as crowd:
                self.assertEqual(crowd.connected, limit + 13)
                wait_until("those that are too many are refused", lambda: node.metric(
                    "ringpost_refused_total", reason="max_connections") == 13 + 65)
                operators = connect_idle(node.address("api"), 62)
                self.assertEqual(node.api("GET", "/readyz")[0], 200)
                for one in operators:
                    one.close()
            wait_until("all are gone", lambda: node.stats()["totals"]["connections"] <= 1)
            with JsonClient(node, "late") as late:
                self.assertEqual(node.push("late", 1)[0], 202)
                self.assertEqual(late.hear()["data"], 1)
