"""Answers that are given before the request was read whole: each of them has to arrive."""

import signal
import socket
import subprocess
import tempfile
import threading
import unittest

from support import JsonClient, Node, Socket, wait_until

KEY = {"RINGPOST_API_KEY": "right"}
TIMES = 8


def head(path="/v1/messages", key="right", length=None, more=b""):
    framing = b"Transfer-Encoding: chunked" if length is None else b"Content-Length: %d" % length
    return (b"POST %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
            b"Content-Type: application/json\r\n%s\r\n%s\r\n" % (path.encode(), key.encode(),
                                                                 framing, more))


class EarlyAnswers(unittest.TestCase):
    def ask(self, address, data):
        """As the plainest of producers: all is sent before anything is read."""
        with Socket(address) as connection:
            connection.send(data)
            return connection.rest()

    def assert_answered(self, node, status, data):
        for _ in range(TIMES):
            answer = self.ask(node.address("api"), data)
            self.assertTrue(answer.startswith(b"HTTP/1.1 %d " % status), answer[:100])

    def test_whatever_the_status(self):
        body = b" " * 8_000_000
        chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        larger = b" " * 20_000_000
        with Node(env=KEY) as node:
            cases = [
                (401, head(key="wrong", length=len(body)) + body),
                (401, head(key="wrong") + chunked),
                (404, head("/nope", length=len(body)) + body),
                (405, head("/healthz", length=len(body)) + body),
                (413, head(length=len(larger)) + larger),
                (413, head() + b"%x\r\n%s" % (len(larger), larger)),
                (417, head(length=len(body), more=b"Expect: tea\r\n") + body),
                (431, head(length=len(body), more=b"X: 1\r\n" * 4000) + body),
                (400, head(length=1, more=b"Content-Length: 2\r\n") + body),
                (400, head() + b"0x1\r\n" + body),
            ]
            for status, data in cases:
                with self.subTest(status=status):
                    self.assert_answered(node, status, data)

    def test_none_to_head_has_a_body(self):
        """The client would take it for the beginning of the next answer."""
        def ask(path, more=b"", key=b"right"):
            return (b"HEAD %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
                    b"Connection: close\r\n%s\r\n" % (path, key, more))

        long, foreign = b"X: 1\r\n" * 4000, b"Origin: http://evil.example\r\n"
        large = b"Content-Length: 20000000\r\n"
        with Node(env=KEY) as node:
            cases = [
                ("api", 401, ask(b"/v1/stats", key=b"wrong")),
                ("api", 401, ask(b"/v1/stats", large, key=b"wrong")),
                ("api", 404, ask(b"/nope")),
                ("api", 405, ask(b"/v1/messages")),
                ("api", 413, ask(b"/v1/stats", large)),
                ("api", 417, ask(b"/v1/stats", b"Expect: tea\r\n" + large)),
                ("api", 431, ask(b"/v1/stats", long)),
                ("api", 400, ask(b"/v1/stats", b"Content-Length: x\r\n")),
                ("web", 403, ask(b"/healthz", foreign)),
                ("web", 404, ask(b"/nope")),
                ("web", 413, ask(b"/healthz", large)),
                ("web", 431, ask(b"/healthz", long)),
                ("web", 400, ask(b"/events?id=%zz")),
            ]
            for listener, status, data in cases:
                with self.subTest(listener=listener, status=status):
                    answer = self.ask(node.address(listener), data)
                    self.assertTrue(answer.startswith(b"HTTP/1.1 %d " % status), answer[:100])
                    head_of, end, body = answer.partition(b"\r\n\r\n")
                    self.assertEqual((end, body), (b"\r\n\r\n", b""), head_of)

    def test_curl(self):
        with Node(env=KEY) as node, tempfile.NamedTemporaryFile() as file:
            file.write(bytes(400_000))
            file.flush()
            url = "http://%s:%d/v1/messages" % node.address("api")
            for chunked in ([], ["-H", "Transfer-Encoding: chunked"]):
                for _ in range(TIMES):
                    said = subprocess.run(
                        ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H",
                         "Authorization: Bearer wrong", *chunked, "--data-binary", "@" + file.name,
                         url], capture_output=True, check=False, text=True).stdout
                    self.assertEqual(said, "401")

    def test_at_the_memory_ceiling(self):
        body = b" " * 6_000_000
        with Node("--memory", "2M", env=KEY) as node:
            self.assert_answered(node, 503, head(length=len(body)) + body)
            self.assert_answered(node, 503, head() + b"%x\r\n%s" % (len(body), body))

    def test_while_draining(self):
        body = b" " * 8_000_000
        with Node("--drain-timeout", "10") as node:
            producers = [Socket(node.address("api")) for _ in range(4)]
            for producer in producers:
                producer.send(head(length=len(body)) + body[:100_000])
            wait_until("the bodies have begun",
                       lambda: node.metric("ringpost_received_bytes_total") > 400_000)
            node.signal(signal.SIGTERM)
            answers = []

            def finish(producer):
                producer.send(body[100_000:])
                answers.append(producer.rest())
                producer.close()

            threads = [threading.Thread(target=finish, args=(p,)) for p in producers]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(len(answers), len(producers))
            for answer in answers:
                self.assertTrue(answer.startswith(b"HTTP/1.1 503 "), answer[:100])
                self.assertIn(b'"draining"', answer)

    def test_who_comes_last(self):
        """While the end of the node waits for one producer's body, others are told at once."""
        with Node("--drain-timeout", "10") as node:
            with Socket(node.address("api")) as last:
                last.send(head(length=50) + b"x")
                wait_until("it has come", lambda: node.metric("ringpost_received_bytes_total") > 50)
                node.signal(signal.SIGTERM)
                self.assertIn(b"503", last.line())
                for _ in range(TIMES):
                    self.assertEqual(node.push("a", 1)[0], 503)
                    self.assertEqual(node.api("GET", "/readyz")[0], 503)
                last.rest()
            self.assertEqual(node.wait_exit(), 0)

    def test_error_lines_of_tcp(self):
        with Node("--client-send", "on") as node:
            for _ in range(TIMES):
                with JsonClient(node, "a") as till:
                    till.send(b'{"type":"send","data":"' + b"x" * 8_000_000)
                    self.assertIn(b'"too_large"', till.rest())

    def test_a_peer_that_only_sends(self):
        """It is read on for a while, not for ever, and nobody else notices."""
        with Node() as node, Socket(node.address("api")) as producer:
            producer.send(head(length=10**9))
            with self.assertRaises(OSError):
                for _ in range(2000):
                    producer.send(bytes(100_000))
            self.assertEqual(node.metric("ringpost_lingers_cut_total"), 1)
            self.assertEqual(node.api("GET", "/healthz")[0], 200)


if __name__ == "__main__":
    unittest.main()
