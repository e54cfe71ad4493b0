"""How connections end: what it costs the node, and what it says of it."""

import http.client
import json
import os
import socket
import time
import unittest

from support import JsonClient, Node, Socket, wait_until


def kernel_threads(node):
    """The threads that the kernel has made for operations of the node's rings (io-wq)."""
    names = []
    for task in os.listdir(f"/proc/{node.pid}/task"):
        with open(f"/proc/{node.pid}/task/{task}/comm", encoding="ascii") as file:
            names.append(file.read().strip())
    assert any(name.startswith("worker-") for name in names), names
    return [name for name in names if name.startswith("iou-wrk")]


class Ends(unittest.TestCase):
    def test_no_end_goes_through_a_thread_of_the_kernel(self):
        request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        with Node("--outbox-bytes", "65536", "--send-buffer", "4096") as node:
            for _ in range(20):
                with Socket(node.address("api")) as one:
                    one.send(request)
                    self.assertTrue(one.rest().startswith(b"HTTP/1.1 200 OK"))
            with Socket(node.address("tcp")) as bad:  # it hears why, and then the end
                bad.send("}\n")
                self.assertIn(b"bad_json", bad.rest())
            with JsonClient(node, "gone"):
                node.api("DELETE", "/v1/clients/gone")
            # At once, with a send that waits for the socket.
            with JsonClient(node, "slow", receive_buffer=4096):
                for _ in range(200):
                    if node.push("slow", "x" * 8000)[0] == 404:
                        break
                self.assertEqual(node.metric("ringpost_closed_total", reason="too_slow"), 1)
                wait_until("its slot is free", lambda: node.api(
                    "GET", "/v1/stats")[1]["totals"]["sessions"] == 0)
            self.assertEqual(kernel_threads(node), [])

    def test_a_probe_is_no_session(self):
        """Connects that end without a hello, as HAProxy makes them every 2 s."""
        with Node() as node:
            for number in range(20):
                probe = Socket(node.address("tcp"))
                if number % 2:
                    probe.reset()
                else:
                    probe.close()
            # A reset may be there before the accept; then it is a connection that was refused.
            def counted():
                gone = node.metric("ringpost_refused_total", reason="gone")
                return node.metric("ringpost_probes_total") + gone == 20
            wait_until("all are counted", counted)
            with JsonClient(node, "till") as till:
                till.reset()
                node.wait_log("session_closed.*peer_error.*till")
            self.assertEqual(node.log().count("session_closed"), 1)

    def test_pipelined_requests_before_an_end_are_carried_out(self):
        """The end may come while requests wait for an answer that takes several turns."""
        push = b"POST /v1/groups/g HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n1"
        call = b"GET /v1/clients/till HTTP/1.1\r\nHost: localhost\r\n\r\n"
        with Node("--workers", "1") as node, JsonClient(node, "till"):
            for number in range(100):
                with Socket(node.address("api")) as one:
                    one.send((call + push) * 20)
                    until = time.perf_counter() + number * 25e-6  # 0 to 2.5 ms
                    while time.perf_counter() < until:
                        pass
                    one.socket.shutdown(socket.SHUT_WR)
                    self.assertEqual(one.rest().count(b"HTTP/1.1 20"), 40)


PROBE = b"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


class BehindAWait(unittest.TestCase):
    """Requests pipelined behind an answer that waits, of a peer that goes or stays."""

    @staticmethod
    def poll(node):
        web = http.client.HTTPConnection(*node.address("web"), timeout=10)
        path = "/socket.io/?EIO=4&transport=polling"
        web.request("GET", path)
        sid = json.loads(web.getresponse().read()[1:])["sid"]
        web.close()
        return f"GET {path}&sid={sid} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()

    def test_a_poll_does_not_wait_for_who_has_gone(self):
        for probes in (0, 50, 4000):  # the end is read; it is; it is stuck behind them
            with self.subTest(probes=probes), Node("--heartbeat", "600") as node:
                for _ in range(20):
                    with Socket(node.address("web")) as one:
                        one.send(self.poll(node) + PROBE * probes)
                wait_until("sessions and connections have ended", lambda n=node: (
                    n.metric("ringpost_engine_sessions") == 0 and
                    n.metric("ringpost_connections") <= 1))

    def test_a_poll_gives_way_to_what_comes_behind_it(self):
        with Node("--heartbeat", "600") as node, Socket(node.address("web")) as one:
            one.send(self.poll(node) + PROBE * 4000)
            one.socket.shutdown(socket.SHUT_WR)
            answers = one.rest()
            self.assertEqual(answers.count(b"HTTP/1.1 200"), 4000)
            self.assertTrue(answers.startswith(b"HTTP/1.1 400"))  # the session has ended

    def test_a_producer_that_waits_ends(self):
        wait = (b"POST /v1/clients/away?ack=1&wait=ack&timeout=60 HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Length: 1\r\n\r\n1")
        with Node() as node, Socket(node.address("api")) as one:
            one.send(wait + PROBE * 300 + wait + PROBE * 300)
            one.socket.shutdown(socket.SHUT_WR)
            answers = one.rest()
            self.assertEqual(answers.count(b'"state":"pending"'), 2)
            self.assertEqual(answers.count(b"HTTP/1.1 200"), 600)
