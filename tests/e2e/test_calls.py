"""What calls cost: answers that are large, asked for by many, and not read."""

import re
import unittest

from support import SANITIZED, JsonClient, Node, Socket, addresses, wait_until

GET = b"GET /v1/clients/same HTTP/1.1\r\nHost: localhost\r\n\r\n"
SESSIONS = 300
CONNECTIONS = 48
REQUESTS = 12


def resident(node):
    with open(f"/proc/{node.pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096


def statuses(connection, count):
    """Of so many answers, which are read and thrown away."""
    found = []
    while len(found) < count:
        status = int(connection.line().split(b" ")[1])
        length = 0
        while True:
            line = connection.line()
            if line == b"\r":
                break
            name, value = line.split(b": ", 1)
            if name == b"Content-Length":
                length = int(value)
        connection.exactly(length)
        found.append(status)
    return found


class Calls(unittest.TestCase):
    def test_answers_that_nobody_reads_are_within_their_share(self):
        """Each answer is some 300 KB, 48 are asked for at once: a quarter of --memory is given."""
        with Node("--memory", "16M", "--heartbeat", "3600") as node:
            groups = [f"group-{n}" for n in range(30)]
            tills = [JsonClient(node, "same", groups, source)
                     for source in addresses(SESSIONS)]
            status, answer, _ = node.api("GET", "/v1/clients/same")
            self.assertEqual((status, len(answer["sessions"])), (200, SESSIONS))
            before = resident(node)
            askers = [Socket(node.address("api"), receive_buffer=4096)
                      for _ in range(CONNECTIONS)]
            for asker in askers:
                asker.send(GET * REQUESTS)
            wait_until("the share is used up", lambda: node.metric(
                "ringpost_answers_refused_total"))
            for _ in range(20):
                self.assertEqual(node.api("GET", "/healthz")[0], 200)
                self.assertEqual(node.api("GET", "/readyz")[0], 200)
                self.assertLessEqual(node.metric("ringpost_answer_memory_bytes"), 4 << 20)
                self.assertEqual(node.stats()["totals"]["sessions"], SESSIONS)
                self.assertIn(node.push("same", 1, "?volatile=1")[0], (202, 503))  # if busy
            if not SANITIZED:
                self.assertLess(resident(node) - before, 16 << 20)
            node.wait_log(r"event=refusing cause=answers")
            for asker in askers[4:]:
                asker.reset()
            for asker in askers[:4]:
                self.assertLessEqual(set(statuses(asker, REQUESTS)), {200, 503})
                asker.close()
            # What is left is the answer that says so, as far as it is written.
            wait_until("all is given back", lambda: node.metric(
                "ringpost_answer_memory_bytes") < 16384)
            node.wait_log(r"event=refusing_over cause=answers")
            status, answer, _ = node.api("DELETE", "/v1/clients/same")
            self.assertEqual((status, answer), (200, {"closed": SESSIONS}))
            for till in tills:
                till.close()

    def test_a_long_answer_is_whole(self):
        """It comes in blocks from two workers; what is behind it comes after it."""
        with Node() as node:
            groups = [f"\"{n}\" " + "g" * 100 for n in range(60)]
            tills = [JsonClient(node, "same", groups, source) for source in addresses(80)]
            status, answer, headers = node.api("GET", "/v1/clients/same")
            self.assertEqual((status, len(answer["sessions"])), (200, 80))
            self.assertGreater(int(headers["Content-Length"]), 500_000)
            for session in answer["sessions"]:
                self.assertEqual(sorted(session["groups"]), sorted(groups))
            with Socket(node.address("api")) as asker:
                asker.send(GET * 3 + b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                self.assertEqual(statuses(asker, 4), [200] * 4)
                asker.send(GET.replace(b"GET", b"HEAD", 1) + GET)
                head = asker.line()
                while head != b"\r":
                    head = asker.line()
                self.assertEqual(statuses(asker, 1), [200])
            for till in tills:
                till.close()

    def test_what_is_told_is_bounded(self):
        with Node(workers=1) as node:
            groups = [f"{n:03}" + "\"" * 120 for n in range(64)]
            tills = [JsonClient(node, "same", groups) for _ in range(80)]
            text = node.api("GET", "/v1/clients/same", raw=True)[1]
            self.assertTrue(text.endswith(b'],"truncated":true}\n'))
            self.assertLess(len(text), (1 << 20) + 40000)
            self.assertGreater(len(re.findall(b'"session":', text)), 50)
            for till in tills:
                till.close()


class Unread(unittest.TestCase):
    """Answers that are asked for at --memory and not read."""

    def test_they_are_bounded_whatever_the_number_of_connections(self):
        with Node("--memory", "1M") as node, JsonClient(node, "till") as till:
            page = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
            askers = [Socket(node.address("web"), source, receive_buffer=2048)
                      for source in addresses(150)]
            for asker in askers:
                asker.socket.setblocking(False)
            for _ in range(12):
                for asker in askers:
                    try:
                        asker.socket.send(page * 64)
                    except OSError:
                        pass  # its socket is full, or it was closed
                self.assertEqual(node.api("GET", "/healthz")[0], 200)
                self.assertLessEqual(node.metric("ringpost_memory_granted_bytes"), 1 << 20)
                self.assertLessEqual(node.metric("ringpost_replies_beyond_memory_bytes"),
                                     2 * 256 * 1024)
                till.say(type="ping")
                self.assertEqual(till.hear(), {"type": "pong"})
            self.assertGreater(node.metric("ringpost_closed_total", reason="overloaded"), 0)
            wait_until("messages are taken again",
                       lambda: node.push("till", 1, "?volatile=1")[0] == 202)
            for asker in askers:
                asker.close()

    def test_two_do_not_keep_the_operator_out(self):
        with Node("--memory", "1M") as node:
            askers = [Socket(node.address("api"), receive_buffer=2048) for _ in range(5)]
            for asker in askers:
                asker.socket.setblocking(False)
                try:
                    asker.socket.send(b"GET /v1/stats HTTP/1.1\r\nHost: localhost\r\n\r\n" * 400)
                except OSError:
                    pass
            for _ in range(10):
                self.assertEqual(node.api("GET", "/metrics", raw=True)[0], 200)
                self.assertEqual(node.api("GET", "/v1/stats")[0], 200)
            for asker in askers:
                asker.close()


if __name__ == "__main__":
    unittest.main()
