"""Sessions over server-sent events: the bytes of a stream, its limits, its end, who acknowledges
over which worker, and what a client that comes back settles."""

import http.client
import json
import signal
import socket
import threading
import time
import unittest

from streams import Refused, Stream
from support import DEADLINE_S, JsonClient, Node, Socket, run, wait_until

# Each connection goes to any worker, so the parts of a test meet on foreign ones. (With `none` the
# kernel may give all of them to one.)
ANY = ("--steer", "tuple")
ORIGIN = "https://shop.example"


def web(node, method, path, body=None, headers=None):
    """(status, JSON, headers) of a request on a connection of its own."""
    connection = http.client.HTTPConnection(*node.address("web"), timeout=DEADLINE_S)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    return answer.status, json.loads(content) if content else None, answer.headers


def acknowledge(node, session, ids, **headers):
    body = json.dumps({"session": session, "ids": ids})
    return web(node, "POST", "/events/ack", body, headers)


def pending(node):
    return node.api("GET", "/v1/stats")[1]["totals"]["ack_pending"]


def fate(node, message_id):
    return node.api("GET", f"/v1/messages/{message_id}")[1]["state"]


def push(node, to, message_id, **fields):
    status, answer, _ = node.message(to=to, ack=True, id=message_id, data=message_id, **fields)
    assert status == 202, answer


def worker_of(session):
    return session.split("-")[0]


def streams_on_both(node, first_id="a", second_id="a"):
    """Two streams on different workers."""
    for i in range(64):
        first = Stream(node, first_id, source=f"127.0.0.{i + 1}")
        second = Stream(node, second_id, source=f"127.0.1.{i + 1}")
        if worker_of(first.session) != worker_of(second.session):
            return first, second
        first.close()
        second.close()
    raise AssertionError("all streams came to one worker")


class Wire(unittest.TestCase):
    def test_head_and_welcome(self):
        with Node("--node", "n1", "--cors", ORIGIN, "--heartbeat", "7.5") as node:
            stream = Stream(node, "a", lines=f"Origin: {ORIGIN}\r\n")
            self.assertEqual(stream.fields["Content-Type"], "text/event-stream")
            self.assertEqual(stream.fields["Cache-Control"], "no-store, no-transform")
            self.assertEqual(stream.fields["X-Accel-Buffering"], "no")
            self.assertEqual(stream.fields["Transfer-Encoding"], "chunked")
            self.assertEqual(stream.fields["Access-Control-Allow-Origin"], ORIGIN)
            self.assertEqual(stream.fields["Vary"], "Origin")
            self.assertNotIn("Content-Length", stream.fields)
            self.assertEqual(stream.welcome, {"type": "welcome", "session": stream.session,
                                              "node": "n1", "heartbeat": 7.5,
                                              "max_message": 65536})
            sessions = node.api("GET", "/v1/clients/a")[1]["sessions"]
            self.assertEqual([(one["session"], one["transport"]) for one in sessions],
                             [(stream.session, "sse")])

    def test_messages(self):
        with Node() as node:
            stream = Stream(node, "a", group=["g", "h"], groups="a,b")
            cases = [
                (dict(to="a", id="m1", event="pay", data=[1]), "[1]"),
                (dict(group="g", id="m2", data="x\u2028y\u0085z\n"), '"x\\u2028y\\u0085z\\n"'),
                (dict(group="a,b", id="m3"), "null"),
                (dict(broadcast=True, id="m4", event="id: 7", data=" "), '" "'),
                (dict(to="a", id="m5", event="welcome", ack=True), "null"),
                (dict(to="a", id="m6", data="x" * 60000), '"' + "x" * 60000 + '"'),
            ]
            for message, data in cases:
                self.assertEqual(node.message(**message)[0], 202)
                event = stream.event()
                self.assertEqual(event, {"id": message["id"], "data": data,
                                         "event": message.get("event", "message")})
            # Each message is a chunk of its own.
            self.assertEqual(len(stream.chunks), 1 + len(cases))
            self.assertEqual(node.api("POST", "/v1/clients/a?id=m7", b"\0\xff\n",
                                      {"Content-Type": "image/png"})[0], 202)
            self.assertEqual(stream.event()["data"], '"AP8K"')
            # Line breaks between tokens do not reach a stream.
            self.assertEqual(node.api("POST", "/v1/clients/a?id=m8", '{"a":\r\n1,\n"b":2}',
                                      {"Content-Type": "application/json"})[0], 202)
            self.assertEqual(json.loads(stream.event()["data"]), {"a": 1, "b": 2})
            self.assertEqual(node.metric("ringpost_forms_encoded_total", form="sse"), 8)

    def test_no_event_breaks_the_framing(self):
        with Node() as node:
            stream = Stream(node, "a")
            for event in ("a\nid: x", "a\rb", "a\u2028b", "a\u0085b"):
                self.assertEqual(node.message(to="a", event=event)[0], 400, event)
            self.assertTrue(stream.silent())

    def test_http_1_0(self):
        with Node() as node:
            stream = Stream(node, "a", version="1.0", lines="Connection: keep-alive\r\n")
            self.assertNotIn("Transfer-Encoding", stream.fields)
            self.assertEqual(stream.fields["Connection"], "close")
            push(node, "a", "m1")
            self.assertEqual(stream.message(), ("m1", "message", "m1"))
            self.assertEqual(node.metric("ringpost_forms_encoded_total", form="sse_plain"), 1)
            self.assertEqual(node.api("DELETE", "/v1/clients/a")[1], {"closed": 1})
            self.assertIsNone(stream.event())
            self.assertEqual(node.metric("ringpost_closed_total", reason="closed_by_api"), 1)
            self.assertEqual(node.api("DELETE", "/v1/messages/m1")[0], 200)

    def test_head_asks_and_registers_nothing(self):
        with Node() as node, Socket(node.address("web")) as peer:
            peer.send("HEAD /events?id=a HTTP/1.1\r\nHost: localhost\r\n\r\n")
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += peer.exactly(1)
            self.assertIn(b"200 OK", head)
            self.assertIn(b"text/event-stream", head)
            self.assertTrue(peer.silent())
            self.assertEqual(node.api("GET", "/v1/clients/a")[0], 404)
            peer.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertIn(b"200 OK", peer.line())

    def test_requests_before_it(self):
        """Their answers come first; the stream begins behind them."""
        with Node() as node:
            healthz = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
            stream = Stream(node, "a", before=healthz * 3, head=False)
            for _ in range(3):
                status, fields = stream.read_head()
                self.assertEqual(status, 200)
                stream.exactly(int(fields["Content-Length"]))
            stream.open()
            push(node, "a", "m1")
            self.assertEqual(stream.ids(1), ["m1"])
            acknowledge(node, stream.session, ["m1"])

    def test_heartbeats(self):
        with Node("--heartbeat", "0.2") as node:
            stream = Stream(node, "a")
            wait_until("three comments", lambda: stream.more() and stream.text.count(b":\n") >= 3)
            self.assertEqual(stream.text.replace(b":\n\n", b""), b"")


class Refusals(unittest.TestCase):
    def test_queries(self):
        many = "&".join(f"group=g{i}" for i in range(65))
        with Node() as node:
            for query in ("x=1", "id=", "id=a&id=b", "group=a%0Ab", "group=%zz", "token=1&token=2",
                          "groups=%FF", "id=" + "x" * 129, many):
                status, answer, _ = web(node, "GET", "/events?" + query)
                self.assertEqual((status, answer["error"]["code"]), (400, "bad_message"), query)
            self.assertEqual(node.stats()["totals"]["sessions"], 0)
            for query in ("?", "?token=x", "?group=a&group=a&groups=a"):
                with Socket(node.address("web")) as peer:
                    peer.send(f"GET /events{query} HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    self.assertIn(b"200 OK", peer.line())

    def test_methods(self):
        with Node("--cors", ORIGIN) as node:
            for method, path, allow in (("POST", "/events", "GET, HEAD, OPTIONS"),
                                        ("GET", "/events/ack", "POST, OPTIONS"),
                                        ("DELETE", "/events", "GET, HEAD, OPTIONS")):
                status, answer, headers = web(node, method, path)
                self.assertEqual((status, headers["Allow"]), (405, allow))
                self.assertEqual(answer["error"]["code"], "method_not_allowed")
                status, _, headers = web(node, "OPTIONS", path)
                self.assertEqual((status, headers["Allow"]), (204, allow))
                status, _, headers = web(node, "OPTIONS", path, headers={
                    "Origin": ORIGIN, "Access-Control-Request-Method": "POST"})
                self.assertEqual((status, headers["Access-Control-Allow-Methods"]), (204, allow))

    def test_origins(self):
        with Node("--cors", ORIGIN) as node:
            for path in ("/events?id=a", "/events/ack"):
                method = "POST" if path.endswith("ack") else "GET"
                for origin in ("https://evil.example", "null"):
                    status, answer, headers = web(node, method, path, headers={"Origin": origin})
                    self.assertEqual((status, answer["error"]["code"]), (403, "forbidden"))
                    self.assertNotIn("Access-Control-Allow-Origin", headers)
            status, _, headers = acknowledge(node, "0-1-1", ["m"], Origin=ORIGIN)
            self.assertEqual((status, headers["Access-Control-Allow-Origin"]), (404, ORIGIN))
        with Node("--web-host", "shop.example") as node:
            self.assertEqual(web(node, "GET", "/events", headers={"Host": "evil"})[0], 403)

    def test_bodies(self):
        good = {"session": "0-1-1", "ids": ["m1"]}
        cases = [
            ("", "bad_json", None), ("{", "bad_json", None), ("[]", "bad_message", None),
            ("{}", "bad_message", "session"), ({"session": "0-1-1"}, "bad_message", "ids"),
            ({**good, "session": 7}, "bad_message", "session"),
            ({**good, "ids": []}, "bad_message", "ids"),
            ({**good, "ids": "m"}, "bad_message", "ids"),
            ({**good, "ids": ["a b"]}, "bad_message", "ids"),
            ({**good, "ids": [""]}, "bad_message", "ids"),
            ({**good, "ids": [1]}, "bad_message", "ids"),
            ({**good, "ids": ["x" * 65]}, "bad_message", "ids"),
            ({**good, "ids": [f"m{i}" for i in range(1001)]}, "bad_message", "ids"),
            ('{"session":"0-1-1","ids":["a"],"ids":["b"]}', "bad_message", "ids"),
        ]
        with Node() as node:
            for body, code, field in cases:
                text = body if isinstance(body, str) else json.dumps(body)
                status, answer, _ = web(node, "POST", "/events/ack", text)
                self.assertEqual((status, answer["error"]["code"], answer["error"].get("field")),
                                 (400, code, field), body)
            self.assertEqual(web(node, "POST", "/events/ack?x=1", json.dumps(good))[0], 400)
            self.assertEqual(web(node, "POST", "/events/ack", json.dumps(good),
                                 {"Content-Encoding": "gzip"})[0], 415)
            big = json.dumps({**good, "more": "x" * 131072})
            self.assertEqual(web(node, "POST", "/events/ack", big)[0], 413)

    def test_unknown_sessions(self):
        with Node(*ANY) as node, JsonClient(node, "tcp") as till:
            stream = Stream(node, "a")
            worker, slot, generation = stream.session.split("-")
            for session in ("", "x", "0", "0-1", "0--1", "-1-1", "0-1-1-1", "0-0-0", "00-1-1",
                            "0-1-1 ", "0-1-100000000", "7-1-1", "38-1-1", "ffffffff-1-1",
                            f"{worker}-{slot}-{int(generation, 16) + 1:x}",
                            f"{worker}-fffff-{generation}", stream.session.upper() + "A",
                            till.welcome["session"]):
                status, answer, _ = acknowledge(node, session, ["m1"])
                self.assertEqual((status, answer["error"]["code"]), (404, "not_found"), session)
            self.assertEqual(acknowledge(node, stream.session, ["m1"])[0], 204)
            stream.close()
            wait_until("the session ends",
                       lambda: acknowledge(node, stream.session, ["m1"])[0] == 404)

    def test_draining(self):
        with Node() as node, Socket(node.address("web")) as peer:
            peer.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertIn(b"200", peer.line())
            with JsonClient(node, "deaf", receive_buffer=4096):
                node.signal(signal.SIGTERM)
            node.wait_exit()


class Acknowledging(unittest.TestCase):
    def test_on_every_worker(self):
        """Each of many requests comes to one worker or another, the session stays on its own."""
        with Node(*ANY, workers=3) as node:
            stream = Stream(node, "a")
            for i in range(20):
                push(node, "a", f"m{i}")
            self.assertEqual(stream.ids(20), [f"m{i}" for i in range(20)])
            for i in range(0, 20, 2):
                self.assertEqual(acknowledge(node, stream.session, [f"m{i}", "unknown"])[0], 204)
            wait_until("half of them are settled", lambda: pending(node) == 10)
            rest = [f"m{i}" for i in range(1, 20, 2)]
            status, body, headers = acknowledge(node, stream.session, rest)
            self.assertEqual((status, body), (204, None))
            self.assertNotIn("Content-Length", headers)
            wait_until("all are settled", lambda: pending(node) == 0)
            self.assertEqual(fate(node, "m19"), "acked")
            wait_until("nothing is kept of what was acknowledged",
                       lambda: node.metric("ringpost_resume_bytes") == 0)

    def test_a_thousand_at_once(self):
        with Node(*ANY, "--ack-window", "1000") as node:
            for to, stream in zip("ab", streams_on_both(node, "a", "b")):
                names = [f"{stream.session}-{i}" for i in range(1000)]
                status, _, _ = node.api("POST", "/v1/messages", [
                    {"to": to, "ack": True, "id": name} for name in names])
                self.assertEqual(status, 200)
                self.assertEqual(stream.ids(1000), names)
                self.assertEqual(acknowledge(node, stream.session, names)[0], 204)
                wait_until("all are settled", lambda: pending(node) == 0)

    def test_a_producer_is_told(self):
        with Node(*ANY) as node:
            for to, stream in zip("ab", streams_on_both(node, "a", "b")):
                told = []
                producer = threading.Thread(target=lambda to=to, out=told: out.append(
                    node.push(to, 1, "?ack=1&wait=ack&timeout=20")))
                producer.start()
                name = stream.message()[0]
                self.assertEqual(acknowledge(node, stream.session, [name])[0], 204)
                producer.join()
                self.assertEqual((told[0][0], told[0][1]["state"]), (200, "acked"))
                stream.close()
                wait_until("it has gone", lambda s=stream: acknowledge(
                    node, s.session, ["x"])[0] == 404)

    def test_requests_behind_an_acknowledgement(self):
        with Node(*ANY) as node:
            stream = Stream(node, "a")
            body = json.dumps({"session": stream.session, "ids": ["m"]})
            one = (f"POST /events/ack HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}"
                   f"\r\n\r\n{body}")
            for i in range(4):
                with Socket(node.address("web"), f"127.0.2.{i + 1}") as peer:
                    peer.send(one * 20 + "GET /healthz HTTP/1.0\r\n\r\n")
                    answers = peer.rest()
                    self.assertEqual(answers.count(b"204 No Content"), 20)
                    self.assertIn(b"200 OK", answers)

    def test_silence_repeats_nothing(self):
        with Node("--ack-silence", "0.3") as node, JsonClient(node, "a") as till:
            stream = Stream(node, "a")
            push(node, "a", "m1")
            self.assertEqual(stream.ids(1), ["m1"])
            self.assertEqual(till.hear_message()["id"], "m1")
            for _ in range(2):
                self.assertTrue(till.hear_message()["redelivered"])
            self.assertTrue(stream.silent())
            self.assertEqual(acknowledge(node, stream.session, ["m1"])[0], 204)
            wait_until("it is settled", lambda: pending(node) == 0)


class ComingBack(unittest.TestCase):
    def back(self, node, stream, last, source):
        """The stream breaks off, and its client comes back."""
        stream.close()
        return Stream(node, "a", last=last, source=source)

    def test_on_any_worker(self):
        """What came before is settled, what came later comes again, wherever the client lands."""
        with Node(*ANY, workers=3) as node:
            stream = Stream(node, "a", group="g")
            landed, serial = set(), 0
            for turn in range(12):
                names = [f"m{serial + i}" for i in range(4)]
                serial += 4
                for name in names[:2]:
                    push(node, "a", name)
                self.assertEqual(stream.ids(2), names[:2])
                # One that needs no acknowledgement counts like any other.
                self.assertEqual(node.message(group="g", id=f"g{turn}")[0], 202)
                self.assertEqual(stream.ids(1), [f"g{turn}"])
                for name in names[2:]:
                    push(node, "a", name)
                self.assertEqual(stream.ids(2), names[2:])
                last = f"g{turn}" if turn % 2 else names[2]
                left = names[2:] if turn % 2 else names[3:]
                stream = Stream(node, "a", last=last, group="g", source=f"127.0.3.{turn + 1}")
                landed.add(worker_of(stream.session))
                self.assertEqual(stream.ids(len(left)), left)
                for name in names:
                    self.assertEqual(fate(node, name), "pending" if name in left else "acked")
                self.assertEqual(acknowledge(node, stream.session, left)[0], 204)
                wait_until("all are settled", lambda: pending(node) == 0)
            self.assertGreater(len(landed), 1)

    def test_a_stream_that_is_still_there(self):
        """The client has lost it, and the node does not know."""
        with Node(*ANY) as node:
            first = Stream(node, "a")
            push(node, "a", "m1")
            push(node, "a", "m2")
            self.assertEqual(first.ids(2), ["m1", "m2"])
            second = Stream(node, "a", last="m1")
            self.assertEqual(second.ids(1), ["m2"])
            self.assertEqual((fate(node, "m1"), fate(node, "m2")), ("acked", "pending"))
            third = Stream(node, "a", last="m2")
            wait_until("all are settled", lambda: pending(node) == 0)
            push(node, "a", "m3")
            for stream in (first, second, third):
                self.assertEqual(stream.ids(1), ["m3"])
            self.assertEqual(acknowledge(node, third.session, ["m3"])[0], 204)

    def test_what_settles_nothing(self):
        with Node("--ack-silence", "600") as node:
            stream = Stream(node, "a")
            push(node, "a", "m1")
            self.assertEqual(stream.ids(1), ["m1"])
            for last in ("unknown", "", "m1 m1", "x" * 65, "m\u00e9".encode().decode("latin-1")):
                stream = self.back(node, stream, last, "127.0.0.1")
                self.assertEqual(stream.ids(1), ["m1"])
            # Another client's id is not this one's.
            push(node, "b", "b1")
            other = Stream(node, "b")
            self.assertEqual(other.ids(1), ["b1"])
            stream = self.back(node, stream, "b1", "127.0.0.1")
            self.assertEqual(stream.ids(1), ["m1"])
            self.assertEqual(pending(node), 2)
            nobody = Stream(node, last="m1")
            self.assertTrue(nobody.silent())
            stream.close()
            self.assertEqual((fate(node, "m1"), fate(node, "b1")), ("pending", "pending"))
            Stream(node, "a", last="m1")
            Stream(node, "b", last="b1")
            wait_until("all are settled", lambda: pending(node) == 0)

    def test_the_last_1024(self):
        with Node("--ack-silence", "600") as node:
            stream = Stream(node, "a", group="g")
            push(node, "a", "m1")
            self.assertEqual(stream.ids(1), ["m1"])
            for first in range(0, 2000, 1000):
                status, _, _ = node.api("POST", "/v1/messages", [
                    {"group": "g", "id": f"g{first + i}"} for i in range(1000)])
                self.assertEqual(status, 200)
                self.assertEqual(stream.ids(1000), [f"g{first + i}" for i in range(1000)])
            stream = self.back(node, stream, "g900", "127.0.0.1")
            self.assertEqual(stream.ids(1), ["m1"])
            stream = self.back(node, stream, "g1100", "127.0.0.1")
            wait_until("it is settled", lambda: pending(node) == 0)

    def test_for_a_while(self):
        with Node("--dedup-window", "0.5") as node:
            stream = Stream(node, "a")
            push(node, "a", "m1")
            self.assertEqual(stream.ids(1), ["m1"])
            self.assertGreater(node.metric("ringpost_resume_bytes"), 0)
            stream.close()
            wait_until("it is forgotten", lambda: node.metric("ringpost_resume_bytes") == 0)
            self.assertEqual(node.metric("ringpost_resume_ids_forgotten_total"), 0)
            stream = Stream(node, "a", last="m1")
            self.assertEqual(stream.ids(1), ["m1"])
            self.assertEqual(acknowledge(node, stream.session, ["m1"])[0], 204)


class Ends(unittest.TestCase):
    def gone(self, node):
        wait_until("the session has ended", lambda: node.stats()["totals"]["sessions"] == 0)

    def test_the_peer(self):
        with Node() as node:
            for ending in ("close", "reset", "half"):
                stream = Stream(node, "a")
                if ending == "half":
                    stream.socket.shutdown(socket.SHUT_WR)
                    self.assertIsNone(stream.event())
                else:
                    getattr(stream, ending)()
                self.gone(node)
                self.assertEqual(node.push("a", 1)[0], 404)
            # It had sent something that nobody reads any more.
            stream = Stream(node, "a")
            stream.send("GET / HTTP/1.1\r\n")
            stream.close()
            push(node, "a", "m1", ttl=30)
            wait_until("the peer is found out", lambda: node.stats()["totals"]["sessions"] == 0)
            self.assertEqual(node.api("DELETE", "/v1/messages/m1")[0], 200)

    def test_closed_by_an_operator(self):
        with Node(*ANY) as node:
            both = streams_on_both(node)
            self.assertEqual(node.api("DELETE", "/v1/clients/a")[1], {"closed": 2})
            for stream in both:
                self.assertIsNone(stream.event())
                self.assertEqual(stream.chunks[-1], 0)
                self.assertEqual(stream.rest(), b"")
            wait_until("both are counted",
                       lambda: node.metric("ringpost_closed_total", reason="closed_by_api") == 2)

    def flood(self, node, stream, stop):
        """Pushes until that is so."""
        data = "x" * 20000
        return wait_until("the outbox fills", lambda: [node.push("slow", data, "?ttl=60")
                                                       for _ in range(20)] and stop())

    def test_too_slow(self):
        with Node("--outbox-bytes", "262144", "--send-buffer", "16384") as node:
            stream = Stream(node, "slow", receive_buffer=4096)
            self.flood(node, stream, lambda: node.metric(
                "ringpost_closed_total", reason="too_slow") == 1)
            node.wait_log("event=session_closed reason=too_slow id=slow")
            self.gone(node)

    def test_drop_oldest(self):
        with Node("--outbox-bytes", "262144", "--send-buffer", "16384", "--slow",
                  "drop-oldest") as node:
            stream = Stream(node, "slow", receive_buffer=4096)
            self.flood(node, stream, lambda: node.metric(
                "ringpost_ledger", fate="dropped", reason="drop_oldest") >= 1)
            self.assertEqual(node.push("slow", "last", "?id=last")[0], 202)
            wait_until("the newest comes", lambda: stream.message()[0] == "last")

    def test_acknowledged_messages_stay(self):
        """They never close a session; what has no room waits with the keeper."""
        with Node("--outbox-bytes", "65536", "--send-buffer", "16384", "--ack-window", "1000",
                  "--ack-silence", "600") as node:
            stream = Stream(node, "slow", receive_buffer=4096)
            for i in range(60):
                status, _, _ = node.message(to="slow", ack=True, id=f"m{i}", data="x" * 20000)
                self.assertEqual(status, 202)
            self.assertGreater(node.metric("ringpost_ack_stopped_total"), 0)
            self.assertEqual(stream.ids(60), [f"m{i}" for i in range(60)])
            self.assertEqual(acknowledge(node, stream.session,
                                         [f"m{i}" for i in range(60)])[0], 204)
            wait_until("all are settled", lambda: pending(node) == 0)


class Drain(unittest.TestCase):
    def test_goodbye(self):
        with Node(*ANY) as node:
            streams = [*streams_on_both(node), Stream(node, "a", version="1.0")]
            push(node, "a", "m1")
            node.signal(signal.SIGTERM)
            for stream in streams:
                self.assertEqual(stream.ids(1), ["m1"])
                goodbye = stream.event()
                data = json.loads(goodbye["data"])
                self.assertEqual((goodbye["event"], data["reason"]), ("goodbye", "draining"))
                self.assertEqual(goodbye["retry"], str(data["reconnect_ms"]))
                self.assertNotIn("id", goodbye)
                self.assertIsNone(stream.event())
            self.assertEqual(node.wait_exit(), 0)

    def test_it_waits_for_an_acknowledgement(self):
        """Which comes over a connection that is there already."""
        with Node(*ANY) as node:
            stream = Stream(node, "a")
            told = []
            producer = threading.Thread(target=lambda: told.append(
                node.push("a", 1, "?ack=1&wait=ack&timeout=8")))
            producer.start()
            name = stream.message()[0]
            connection = http.client.HTTPConnection(*node.address("web"), timeout=DEADLINE_S)
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            node.signal(signal.SIGTERM)
            node.wait_log("event=drain")
            time.sleep(0.3)
            self.assertTrue(stream.silent())
            connection.request("POST", "/events/ack",
                               json.dumps({"session": stream.session, "ids": [name]}))
            answer = connection.getresponse()
            self.assertEqual(answer.status, 204)
            self.assertEqual(answer.headers["Connection"], "close")
            producer.join()
            self.assertEqual((told[0][0], told[0][1]["state"]), (200, "acked"))
            self.assertEqual(stream.event()["event"], "goodbye")
            self.assertIsNone(stream.event())
            connection.close()
            self.assertEqual(node.wait_exit(), 0)


class Crowd(unittest.TestCase):
    def test_many_streams_and_a_balanced_ledger(self):
        with Node(*ANY) as node:
            streams = [Stream(node, f"c{i % 10}", group="all") for i in range(60)]
            for i in range(50):
                self.assertEqual(node.message(group="all", id=f"g{i}")[0], 202)
                push(node, f"c{i % 10}", f"m{i}")
            for number, stream in enumerate(streams):
                heard = stream.ids(55)
                self.assertEqual([h for h in heard if h[0] == "g"], [f"g{i}" for i in range(50)])
                mine = [f"m{i}" for i in range(number % 10, 50, 10)]
                self.assertEqual([h for h in heard if h[0] == "m"], mine)
                self.assertEqual(acknowledge(node, stream.session, mine)[0], 204)
            wait_until("all are settled", lambda: pending(node) == 0)
            status, out, error = run(["audit", "--api", "{}:{}".format(*node.address("api"))])
            self.assertEqual(status, 0, out + error)

    def test_the_limit_of_connections(self):
        with Node("--max-per-address", "3") as node:
            streams = [Stream(node, "a") for _ in range(3)]
            with self.assertRaises((Refused, AssertionError, AttributeError, OSError)):
                Stream(node, "a")
            self.assertEqual(node.stats()["totals"]["sessions"], 3)
            del streams


if __name__ == "__main__":
    unittest.main()
