"""Around the start: addresses that are taken."""

import socket
import unittest

from support import Node, run, wait_until


class TakenAddress(unittest.TestCase):
    def test_one_that_is_free_a_moment_later(self):
        """As after kill -9, when the kernel still takes the dead node's rings apart."""
        holder = socket.create_server(("127.0.0.1", 0))
        port = holder.getsockname()[1]
        with Node("--tcp", f"127.0.0.1:{port}", wait=False) as node:
            node.wait_log("event=address_busy")
            holder.close()
            node.wait_started()
            self.assertEqual(node.address("tcp")[1], port)

    def test_one_that_stays_taken(self):
        with socket.create_server(("127.0.0.1", 0)) as holder:
            port = holder.getsockname()[1]
            status, _, error = run(["serve", "--tcp", f"127.0.0.1:{port}", "--web", "off", "--api",
                                    "127.0.0.1:0", "--workers", "1"])
            self.assertEqual(status, 1)
            self.assertIn("another program listens there", error)

    def test_restart_after_kill_9(self):
        first = Node("--tcp", "127.0.0.1:0")
        port = first.address("tcp")[1]
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(300)]
        wait_until("all are there", lambda: first.stats()["totals"]["connections"] > 300)
        first.kill()
        with Node("--tcp", f"127.0.0.1:{port}") as second:
            self.assertEqual(second.address("tcp")[1], port)
        for client in clients:
            client.close()


if __name__ == "__main__":
    unittest.main()
