"""perf/redis_costs: what it writes to Redis, and how it reads what comes in pieces."""

import socket
import unittest

from run import script

costs = script("redis_costs")


class Wire(unittest.TestCase):
    def setUp(self):
        here, self.there = socket.socketpair()
        self.addCleanup(here.close)
        self.addCleanup(self.there.close)
        self.connection = costs.Connection.__new__(costs.Connection)
        self.connection.socket, self.connection.rest = here, b""

    def test_commands(self):
        self.assertEqual(costs.command(b"PUBLISH", b"c", b""),
                         b"*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n$0\r\n\r\n")

    def test_integers(self):
        self.there.sendall(b":1\r\n:22\r\n:3\r\n")
        self.assertEqual(self.connection.integers(2), 22)
        self.assertEqual(self.connection.integers(1), 3)
        self.assertEqual(self.connection.rest, b"")

    def test_confirmations_in_pieces(self):
        one = b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
        real = self.connection.socket

        class Pieces:
            @staticmethod
            def recv(_):
                return real.recv(1)
        self.connection.socket = Pieces
        self.there.sendall(one * 2)
        self.connection.confirmed(2, b"subscribe")
        self.assertEqual(self.connection.rest, b"")

    def test_information(self):
        text = b"# CPU\r\nused_cpu_sys:1.5\r\nused_cpu_user:2.5\r\n"
        self.there.sendall(b"$%d\r\n%s\r\n" % (len(text), text))
        self.assertEqual(self.connection.cpu_us(), 4e6)


if __name__ == "__main__":
    unittest.main()
