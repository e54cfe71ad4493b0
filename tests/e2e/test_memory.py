"""What a burst took goes back to the system: --memory is of what the process has."""

import contextlib
import re
import unittest

from support import SANITIZED, JsonClient, Node, wait_until

MEMORY = 64 << 20
# Buffers, tables, stacks, what stays warm; slots and pools of 1,000 connections.
BESIDE = 16 << 20


def resident(node):
    with open(f"/proc/{node.pid}/status", encoding="ascii") as file:
        return int(re.search(r"VmRSS:\s+(\d+) kB", file.read())[1]) << 10


@unittest.skipIf(SANITIZED, "AddressSanitizer keeps what was freed")
class Burst(unittest.TestCase):
    def lines_begin(self, node, clients, size):
        """Each client sends so much of a line that does not end."""
        for client in clients:
            client.send(b'{"type":"send","data":"' + b"x" * size)
        return wait_until("the lines have come",
                          lambda: node.stats()["totals"]["memory_bytes"] > len(clients) * size)

    def test_unfinished_lines_leave_nothing(self):
        for size, count in ((60000, 1000), (6000, 1000)):
            with self.subTest(size=size), contextlib.ExitStack() as stack:
                node = stack.enter_context(Node("--memory", str(MEMORY)))
                before = resident(node)
                with contextlib.ExitStack() as burst:
                    clients = [burst.enter_context(JsonClient(node, f"c{number}"))
                               for number in range(count)]
                    self.lines_begin(node, clients, size)
                    most = before + count * size * 9 // 10
                    wait_until("they take memory", lambda limit=most: resident(node) > limit)
                # Slots of connections stay, and a few blocks of each pool.
                wait_until("the memory goes back to the system",
                           lambda start=before: resident(node) < start + BESIDE // 2)

    def test_a_few_that_stay_pin_nothing(self):
        with Node("--memory", str(MEMORY)) as node:
            before = resident(node)
            with contextlib.ExitStack() as few:
                with contextlib.ExitStack() as burst:
                    clients = [(few if number % 16 == 0 else burst).enter_context(
                        JsonClient(node, f"c{number}")) for number in range(1000)]
                    self.lines_begin(node, clients, 60000)
                wait_until("the rest goes back to the system",
                           lambda: resident(node) < before + 64 * 65536 + BESIDE // 2)

    def test_messages_after_lines_stay_within_the_bound(self):
        """They come at once, while the memory of the lines is still on its way back."""
        with Node("--memory", str(MEMORY), "--outbox-bytes", "16M") as node:
            before = resident(node)
            with contextlib.ExitStack() as burst:
                clients = [burst.enter_context(JsonClient(node, f"c{number}"))
                           for number in range(1000)]
                self.lines_begin(node, clients, 60000)
            most = 0
            with contextlib.ExitStack() as unread:
                for number in range(50):
                    unread.enter_context(JsonClient(node, f"u{number}", receive_buffer=4096))
                for number in range(2300):
                    node.message(to=f"u{number % 50}", data="x" * 30000)
                    most = max(most, resident(node)) if number % 20 == 0 else most
            self.assertGreater(most, before + MEMORY // 4)
            self.assertLess(most, before + MEMORY + BESIDE)


if __name__ == "__main__":
    unittest.main()
