"""What clients cost: those that do not read, or read too slowly; names and memberships."""

import collections
import socket
import threading
import time
import unittest

from support import SANITIZED, JsonClient, Node, Socket, wait_until
from ws_client import TEXT, WebSocket, frame


def unacknowledged(address, peer):
    """The bytes in the kernel that the node has sent to this peer and the peer has not taken."""
    def text(pair):
        octets = bytes(reversed(socket.inet_aton(pair[0])))
        return f"{octets.hex().upper()}:{pair[1]:04X}"
    with open("/proc/net/tcp", encoding="ascii") as file:
        for line in file:
            words = line.split()
            if words[1:3] == [text(address), text(peer)]:
                return int(words[4].split(":")[0], 16)
    return 0


class Slow(unittest.TestCase):
    def test_slow_client_is_closed_and_costs_nobody(self):
        with Node("--outbox-bytes", "200000") as node:
            with JsonClient(node, "slow", ["g"], receive_buffer=4096) as slow, \
                    JsonClient(node, "fast", ["g"], "127.0.0.9") as fast:
                heard = []
                reader = threading.Thread(
                    target=lambda: heard.extend(fast.hear_message()["data"][-3:]
                                                for _ in range(300)))
                reader.start()
                for number in range(300):
                    status = node.message(group="g", data="x" * 20000 + f"{number:03}")[0]
                    self.assertEqual(status, 202)
                reader.join()
                self.assertEqual(heard, [f"{n:03}" for n in range(300)])
                self.assertEqual(node.metric("ringpost_closed_total", reason="too_slow"), 1)
                self.assertGreater(node.metric("ringpost_ledger", fate="dropped",
                                               reason="too_slow"), 0)
                node.wait_log("session_closed.*too_slow.*slow")
                self.assertEqual(node.api("GET", "/v1/clients/slow")[0], 404)

    def test_who_leaves_a_namespace_again_and_again(self):
        """What waits for a session that its client has left is gone with it, and counted."""
        limit = 65536
        with Node("--outbox-bytes", str(limit), "--send-buffer", "4096") as node:
            client = WebSocket(node, "/socket.io/?EIO=4&transport=websocket", welcomed=False,
                               receive_buffer=4096)

            def say(*packets):
                seen = node.metric("ringpost_socketio_packets_total")
                client.send(b"".join(frame(TEXT, packet) for packet in packets))
                wait_until("the packets are taken", lambda: node.metric(
                    "ringpost_socketio_packets_total") == seen + len(packets))
            with client:
                say('40{"groups":["g"]}')
                for _ in range(30):
                    for _ in range(4):
                        self.assertEqual(node.message(group="g", data="x" * 12000)[0], 202)
                    say("41", '40{"groups":["g"]}')
                # In flight when it left, and nothing else.
                self.assertLess(node.metric("ringpost_outbox_bytes"), limit)
                self.assertGreater(node.metric("ringpost_ledger", fate="dropped", reason="gone"),
                                   60)
                self.assertEqual(node.metric("ringpost_sessions"), 1)

    def test_a_message_before_the_api_sends_a_client_away(self):
        """It is in front of the DISCONNECT, if the client reads."""
        with Node() as node:
            with WebSocket(node, "/socket.io/?EIO=4&transport=websocket", welcomed=False,
                           receive_buffer=4096) as client:
                client.send(frame(TEXT, '40{"id":"a"}'))
                wait_until("it is there", lambda: node.api("GET", "/v1/clients/a")[0] == 200)
                for number in range(20):
                    self.assertEqual(node.push("a", f"{number:030000}")[0], 202)
                self.assertEqual(node.api("DELETE", "/v1/clients/a")[1], {"closed": 1})
                got = [client.frame()[1] for _ in range(23)]
                self.assertEqual([len(one) for one in got[2:22]],
                                 [len('42["message",""]') + 30000] * 20)
                self.assertEqual(got[22], b"41")

    def test_a_message_that_does_not_fit_beside_little(self):
        """Less than half of the limit waits, and nobody takes it: no broadcast waits for ever."""
        with Node("--outbox-bytes", "65536") as node:
            with JsonClient(node, "stuck", receive_buffer=4096), JsonClient(node, "reads") as reads:
                def waits():
                    sessions = node.api("GET", "/v1/clients/stuck")[1]["sessions"]
                    return sessions[0]["queued_bytes"] if sessions else None
                for _ in range(100):
                    if waits() == 0:
                        node.push("stuck", "x" * 20000)
                    time.sleep(0.1)  # what the socket takes it takes at once
                    if waits() != 0:
                        time.sleep(0.3)
                        if waits() != 0:
                            break  # it took nothing more
                self.assertIn(waits(), range(1, 32768))
                self.assertEqual(node.message(broadcast=True, data="y" * 60000)[0], 202)
                self.assertEqual(len(reads.hear_message()["data"]), 60000)
                node.wait_log("session_closed.*too_slow.*stuck")

    def slow_policy(self, policy):
        with Node("--outbox-bytes", "300000", "--slow", policy) as node:
            with JsonClient(node, "s", receive_buffer=4096) as slow:
                for number in range(600):
                    while node.push("s", "x" * 20000 + f"{number:03}")[0] == 503:
                        pass  # the machine is busy
                heard = [slow.hear_message()["data"][-3:]]
                while heard[-1] != "599":
                    heard.append(slow.hear_message()["data"][-3:])
                self.assertEqual(heard, sorted(heard))
                self.assertEqual(len(set(heard)), len(heard))
                reason = policy.replace("-", "_")
                wait_until("the ledger", lambda: node.metric(
                    "ringpost_ledger", fate="dropped", reason=reason) == 600 - len(heard))
                self.assertLess(len(heard), 600)
                return heard

    def test_drop_oldest(self):
        heard = self.slow_policy("drop-oldest")
        self.assertEqual(heard[-5:], ["595", "596", "597", "598", "599"])

    def test_keep_latest(self):
        heard = self.slow_policy("keep-latest")
        # Some 72 KB in the kernel, what the client's own buffer takes, the one in flight, the last.
        self.assertLess(len(heard), 20)

    def test_what_the_kernel_holds_for_one_that_does_not_read_is_bounded(self):
        """--send-buffer and one segment, on each listener; and nothing more counts as sent."""
        get = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"
        bound = 65536 + 65536 + 16384  # the last for what is on the wire
        with Node("--outbox-bytes", "65536", "--send-buffer", "65536", "--heartbeat",
                  "3600") as node:
            for kind in ("tcp", "web", "api"):
                with Socket(node.address(kind), receive_buffer=4096) as silent:
                    peer = silent.socket.getsockname()
                    if kind == "tcp":
                        silent.send('{"type":"hello","id":"silent"}\n')
                        silent.line()
                    else:
                        silent.send(get % (b"/" if kind == "web" else b"/metrics") * 200)
                    largest = 0
                    for _ in range(100 if kind == "tcp" else 40):
                        if kind == "tcp" and node.push("silent", "x" * 8000)[0] == 404:
                            break
                        node.api("GET", "/healthz")
                        largest = max(largest, unacknowledged(node.address(kind), peer))
                    self.assertGreaterEqual(largest, 65536, kind)
                    self.assertLess(largest, bound, kind)
            self.assertEqual(node.metric("ringpost_closed_total", reason="too_slow"), 1)
            # The client's own kernel takes some too.
            self.assertLess(node.metric("ringpost_ledger", fate="sent") * 8000, bound + 262144)


class Names(unittest.TestCase):
    """Client ids and memberships are within --memory."""

    @staticmethod
    def resident(node):
        with open(f"/proc/{node.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * 4096

    def test_names_are_within_the_ceiling_and_given_back(self):
        count = 600
        with Node("--memory", "2M") as node:
            before = self.resident(node)
            codes = collections.Counter()
            tills = []
            for i in range(count):
                groups = [f"{i}-{n}-" + "g" * 110 for n in range(64)]
                till = JsonClient(node, hello=False, source=f"127.0.{1 + i % 5}.{1 + i % 200}")
                till.say(type="hello", id=f"c{i}", groups=groups)
                heard = till.hear()
                codes[heard.get("code", heard["type"])] += 1
                tills.append(till)
            self.assertEqual(set(codes), {"welcome", "overloaded"}, codes)
            self.assertGreater(codes["welcome"], 50)
            self.assertLessEqual(node.stats()["totals"]["memory_bytes"], 2 * 1024 * 1024)
            # A join hears it as well, and goes on; what it has is small.
            with JsonClient(node, hello=False, source="127.0.9.9") as small:
                small.say(type="hello")
                if small.hear()["type"] == "welcome":
                    heard = small.asks(type="join", ref=1,
                                       groups=["j" * 120 + f"{n:03}" for n in range(64)])
                    self.assertEqual(heard["code"], "overloaded", heard)
            self.assertGreater(node.metric("ringpost_memory_refused_total"), 0)
            for till in tills:
                till.close()
            wait_until("all is given back",
                       lambda: node.stats()["totals"]["memory_bytes"] < 65536)
            if not SANITIZED:
                self.assertLess(self.resident(node) - before, 4 * 1024 * 1024)

    def test_the_smallest_memory_starts_and_delivers(self):
        with Node("--memory", "1M") as node, JsonClient(node, "till") as till:
            self.assertEqual(node.push("till", "hello")[0], 202)
            self.assertEqual(till.hear_message()["data"], "hello")
