"""The HTTP API: results, batches, errors, keys, the shapes of its answers, hostile requests."""

import http.client
import json
import re
import socket
import time
import unittest

from support import JsonClient, Node, Socket, basic, wait_until

JSON = {"Content-Type": "application/json"}


class Messages(unittest.TestCase):
    def test_batches(self):
        with Node() as node, JsonClient(node, "a") as till:
            batch = [{"to": "a", "data": 1, "id": "m1"}, {"to": "nobody"}, {"to": "a", "ttll": 1},
                     {"to": "a", "data": 2}, {"group": "g"}]
            status, answer, _ = node.api("POST", "/v1/messages", batch)
            self.assertEqual(status, 200)
            self.assertEqual([entry["status"] for entry in answer], [202, 404, 400, 202, 202])
            self.assertEqual(answer[0]["state"], "queued")
            self.assertEqual(answer[1]["state"], "absent")
            self.assertIn("ttll", answer[2]["error"]["message"])
            self.assertEqual([till.hear()["data"] for _ in range(2)], [1, 2])
            lines = b'{"to":"a","data":3}\n\n{"to":\n{"to":"a","data":4}\r\n'
            status, answer, headers = node.api("POST", "/v1/messages", lines,
                                               {"Content-Type": "application/x-ndjson"}, raw=True)
            self.assertEqual(status, 200)
            self.assertIn("ndjson", headers["Content-Type"])
            answer = [json.loads(line) for line in answer.splitlines()]
            self.assertEqual([entry["status"] for entry in answer], [202, 400, 202])
            self.assertEqual(answer[1]["error"]["code"], "bad_json")
            self.assertEqual([till.hear()["data"] for _ in range(2)], [3, 4])

    def test_an_array_with_an_error_takes_nothing(self):
        with Node() as node, JsonClient(node, "a") as till:
            status, answer, _ = node.api("POST", "/v1/messages",
                                         b'[{"to":"a"},{"to":"a"},{"to" "a"}]', JSON)
            self.assertEqual((status, answer["error"]["code"]), (400, "bad_json"))
            self.assertEqual(answer["error"]["offset"], 29)
            self.assertEqual(till.asks(type="ping"), {"type": "pong"})

    def test_limits_of_batches(self):
        with Node("--max-body", "100000") as node:
            status, answer, _ = node.api("POST", "/v1/messages", [{"to": "a"}] * 1001)
            self.assertEqual((status, answer["error"]["code"]), (413, "too_large"))
            status, answer, _ = node.api("POST", "/v1/messages", [{"to": "a"}] * 1000)
            self.assertEqual((status, len(answer)), (200, 1000))
            self.assertEqual(node.api("POST", "/v1/messages", b" " * 100001, JSON)[0], 413)
            self.assertEqual(node.api("POST", "/v1/messages", [])[:2], (200, []))

    def test_refusals_name_what_is_wrong(self):
        cases = [
            ({"data": 1}, None),
            ({"to": "a", "broadcast": True}, "broadcast"),
            ({"to": []}, "to"),
            ({"to": ["x" * 129]}, "to"),
            ({"to": 7}, "to"),
            ({"group": "a", "ack": True}, "ack"),
            ({"to": "a", "ack": True, "volatile": True}, "ack"),
            ({"to": "a", "ack": 1}, "ack"),
            ({"to": "a", "ttl": 0}, "ttl"),
            ({"to": "a", "ttl": 604801}, "ttl"),
            ({"to": "a", "ttl": "1"}, "ttl"),
            ({"to": "a", "event": "connect"}, "event"),
            ({"to": "a", "id": "a b"}, "id"),
            ({"to": "a", "id": "x" * 65}, "id"),
            ({"to": "a", "volatile": 1}, "volatile"),
            ({"to": "a", "namespace": "/admin"}, "namespace"),
            ({"group": ["g"] + [f"g{i}" for i in range(1001)]}, "group"),
        ]
        with Node() as node:
            for body, field in cases:
                with self.subTest(body=str(body)[:60]):
                    status, answer, _ = node.api("POST", "/v1/messages", body)
                    self.assertEqual((status, answer["error"]["code"]), (400, "bad_message"))
                    if field:
                        self.assertEqual(answer["error"].get("field"), field)
            for body, code in ((b'{"to":"a","to":"b"}', "bad_message"),
                               (b'{"to":"\\ud800"}', "bad_message"),
                               (b'{"to":"a\\u0000"}', "bad_message"),
                               (b'\xef\xbb\xbf{"to":"a"}', "bad_json"),
                               (b"[" * 66 + b"]" * 66, "bad_json"), (b'{"to":"a"', "bad_json"),
                               (b"", "bad_json"), (b"7", "bad_message")):
                status, answer, _ = node.api("POST", "/v1/messages", body, JSON)
                self.assertEqual((status, answer["error"]["code"]), (400, code), body[:40])

    def test_data_keeps_what_an_envelope_may_not(self):
        with Node() as node, JsonClient(node, "a") as till:
            body = b'{"to":"a","data":{"x":1,"x":2,"s":"\\ud800 \\u0000"}}'
            self.assertEqual(node.api("POST", "/v1/messages", body, JSON)[0], 202)
            self.assertIn(b'"data":{"x":1,"x":2,"s":"\\ud800 \\u0000"}', till.line())

    def test_idempotency(self):
        with Node(workers=4) as node, JsonClient(node, "a") as till:
            first = node.push("a", 1, "?id=m1")[1]
            self.assertEqual(first["state"], "queued")
            for _ in range(8):  # connections land on several workers
                status, again, _ = node.push("a", 1, "?id=m1")
                self.assertEqual((status, again["state"], again["first"]),
                                 (200, "duplicate", first))
            status, answer, _ = node.push("a", 2, "?id=m1")
            self.assertEqual((status, answer["error"]["code"]), (409, "id_reused"))
            self.assertEqual(node.push("a", 1, "?id=m1&volatile=1")[0], 409)
            # The ttl is not part of the content; line breaks between tokens are not either.
            status = node.api("POST", "/v1/clients/a?id=m1&ttl=5", b" 1\n".strip(), JSON)[0]
            self.assertEqual(status, 200)
            # What was not taken does not occupy the id.
            self.assertEqual(node.push("b", 1, "?id=m2")[0], 404)
            with JsonClient(node, "b") as other:
                self.assertEqual(node.push("b", 5, "?id=m2")[0], 202)
                self.assertEqual(other.hear()["data"], 5)
            self.assertEqual(till.hear()["data"], 1)
            self.assertEqual(till.asks(type="ping"), {"type": "pong"})

    def test_idempotency_forgets(self):
        with Node("--dedup-max", "2", "--dedup-window", "600") as node, JsonClient(node, "a"):
            for name in ("m1", "m2", "m3"):
                self.assertEqual(node.push("a", 1, f"?id={name}")[0], 202)
            self.assertEqual(node.push("a", 1, "?id=m3")[1]["state"], "duplicate")
            self.assertEqual(node.push("a", 1, "?id=m1")[1]["state"], "queued")
            self.assertGreaterEqual(node.metric("ringpost_dedup_forgotten_total"), 1)
        with Node("--dedup-window", "0.2") as node, JsonClient(node, "a"):
            node.push("a", 1, "?id=m1")
            wait_until("the window ends",
                       lambda: node.push("a", 1, "?id=m1")[1]["state"] == "queued")

    def test_ttl(self):
        """A message past its ttl is not handed to the socket any more."""
        with Node("--outbox-bytes", "50000000", "--max-message", "1000000") as node:
            with JsonClient(node, "slow", receive_buffer=4096) as till:
                for number in range(20):
                    self.assertEqual(node.push("slow", "x" * 900000 + str(number))[0], 202)
                self.assertEqual(node.push("slow", "late", "?ttl=0.05")[0], 202)
                self.assertEqual(node.push("slow", "last", "?ttl=60")[0], 202)
                time.sleep(0.1)  # the ttl must pass
                heard = [till.hear_message()["data"][-4:] for _ in range(21)]
                self.assertEqual(heard[-1], "last")
                self.assertNotIn("late", heard)
                wait_until("the drop is counted", lambda: node.metric(
                    "ringpost_ledger", fate="dropped", reason="expired") == 1)

    def test_query_parameters(self):
        bad = ["?ttll=1", "?event=a&event=b", "?id=%zz", "?volatile=yes", "?ttl=abc", "?ack=2",
               "?wait=ack", "?event=%ff", "?broadcast=1"]
        with Node() as node, JsonClient(node, "a", ["g"]) as till:
            for query in bad:
                self.assertEqual(node.push("a", 1, query)[0], 400, query)
            self.assertEqual(node.push("a", 1, "?event=a+b%2B&volatile=true&ttl=1.5")[0], 202)
            self.assertEqual(till.hear()["event"], "a b+")
            self.assertEqual(node.api("POST", "/v1/groups/g?except=b&except=c", b"1", JSON)[0], 202)
            self.assertEqual(till.hear()["group"], "g")
            answer = node.api("POST", "/v1/broadcast?except=a", b"1", JSON)[1]
            self.assertEqual(answer["recipients"], 0)


class Routes(unittest.TestCase):
    def test_unknown_paths_and_methods(self):
        with Node() as node:
            self.assertEqual(node.api("GET", "/nope")[1]["error"]["code"], "not_found")
            status, answer, headers = node.api("GET", "/v1/messages")
            self.assertEqual((status, answer["error"]["code"]), (405, "method_not_allowed"))
            self.assertEqual(headers["Allow"], "POST")
            status = node.api("POST", "/v1/messages", b"x", {"Content-Type": "text/xml"})[0]
            self.assertEqual(status, 415)
            self.assertEqual(node.api("GET", "/v1/messages/m1")[0], 404)
            self.assertEqual(node.api("GET", "/v1/clients/nobody")[0], 404)
            self.assertEqual(node.api("DELETE", "/v1/clients/nobody")[1], {"closed": 0})

    def test_presence(self):
        with Node("--node", "n1") as node, JsonClient(node, "a", ["g", "h"]) as till:
            presence = node.api("GET", "/v1/clients/a")[1]
            self.assertEqual(presence["id"], "a")
            session = presence["sessions"][0]
            self.assertEqual(session["session"], till.welcome["session"])
            self.assertEqual((session["node"], session["transport"], session["namespace"]),
                             ("n1", "tcp", "/"))
            self.assertEqual(sorted(session["groups"]), ["g", "h"])
            self.assertTrue(session["address"].startswith("127.0.0.1"))
            self.assertEqual(session["queued_bytes"], 0)

    def test_health_and_metrics(self):
        with Node() as node, JsonClient(node, "a"):
            self.assertEqual(node.api("GET", "/healthz")[0], 200)
            self.assertEqual(node.api("GET", "/readyz")[0], 200)
            node.push("a", 1)
            text = node.api("GET", "/metrics", raw=True)[1].decode()
            self.assertIn("# TYPE ringpost_ledger gauge\n", text)  # test_metrics has the form
            self.assertEqual(node.metric("ringpost_ledger", fate="sent", **{"class": "default"}), 1)
            self.assertEqual(node.metric("ringpost_sessions"), 1)
            stats = node.stats()
            self.assertEqual(stats["totals"]["sessions"], 1)
            self.assertEqual(len(stats["workers"]), 2)

    def test_web_listener(self):
        import http.client
        with Node("--cors", "https://shop.example") as node:
            def ask(method, path, headers=None):
                connection = http.client.HTTPConnection(*node.address("web"), timeout=10)
                connection.request(method, path, headers=headers or {})
                answer = connection.getresponse()
                answer.read()
                connection.close()
                return answer
            self.assertEqual(ask("GET", "/healthz").status, 200)
            self.assertEqual(ask("GET", "/").status, 200)
            self.assertEqual(ask("GET", "/v1/stats").status, 404)
            self.assertEqual(ask("GET", "/", {"Origin": "https://evil.example"}).status, 403)
            answer = ask("GET", "/", {"Origin": "https://shop.example"})
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.headers["Access-Control-Allow-Origin"], "https://shop.example")
            self.assertIn("Origin", answer.headers["Vary"])
            answer = ask("OPTIONS", "/", {"Origin": "https://shop.example",
                                          "Access-Control-Request-Method": "GET"})
            self.assertEqual(answer.status, 204)


class Keys(unittest.TestCase):
    def test_keys(self):
        with Node("--api-key", "secret-1", "--api-key", "secret-2") as node:
            self.assertEqual(node.api("GET", "/v1/stats")[0], 401)
            self.assertEqual(node.api("GET", "/v1/stats", headers={"Authorization": "Bearer x"})[0],
                             401)
            for header in ("Bearer secret-1", "Bearer secret-2", basic("secret-2")):
                self.assertEqual(node.api("GET", "/v1/stats",
                                          headers={"Authorization": header})[0], 200)
            self.assertEqual(node.api("GET", "/healthz")[0], 200)
            self.assertEqual(node.api("GET", "/readyz")[0], 200)
            self.assertEqual(node.api("GET", "/metrics")[0], 401)
            self.assertNotIn("secret", node.log())

    def test_without_keys_no_web_page_may_push(self):
        with Node() as node:
            for headers in ({"Origin": "http://localhost"}, {"Origin": "null"},
                            {"Host": "evil.example"}, {"Host": "evil.example:8081"}):
                self.assertEqual(node.push("a", 1, headers={**JSON, **headers})[0], 403, headers)
            for host in ("localhost", "127.0.0.1:8081", "[::1]", "localhost:1"):
                self.assertEqual(node.push("a", 1, headers={**JSON, "Host": host})[0], 404, host)

    def test_rate_limit(self):
        with Node("--rate-limit", "5") as node, JsonClient(node, "a"):
            answers = [node.push("a", 1) for _ in range(30)]
            refused = [answer for answer in answers if answer[0] == 429]
            self.assertTrue(refused)
            self.assertEqual(refused[0][1]["error"]["code"], "rate_limited")
            self.assertGreaterEqual(int(refused[0][2]["Retry-After"]), 1)
            self.assertLessEqual(len([a for a in answers if a[0] == 202]), 20)


class Wire(unittest.TestCase):
    """Requests as bytes."""

    def ask(self, node, data):
        with Socket(node.address("api")) as connection:
            connection.send(data)
            return connection.rest()

    def test_what_could_be_read_in_two_ways_is_refused(self):
        start = b"POST /v1/broadcast HTTP/1.1\r\n"
        head = start + b"Host: localhost\r\nContent-Type: application/json\r\n"
        cases = [
            head + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n1\r\n0\r\n\r\n",
            head + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n11",
            head + b"Content-Length: +1\r\n\r\n1",
            head + b"Content-Length: 1, 1\r\n\r\n1",
            head + b"Content-Length: 99999999999999999999\r\n\r\n1",
            head + b"Transfer-Encoding: xchunked\r\n\r\n1\r\n1\r\n0\r\n\r\n",
            head + b"Transfer-Encoding: chunked, identity\r\n\r\n1\r\n1\r\n0\r\n\r\n",
            head + b"Transfer-Encoding: chunked\r\n\r\n0x1\r\n1\r\n0\r\n\r\n",
            head + b"Transfer-Encoding: chunked\r\n\r\n1\n1\r\n0\r\n\r\n",
            head + b"Transfer-Encoding : chunked\r\n\r\n1\r\n1\r\n0\r\n\r\n",
            head + b"X-A: b\r\n folded\r\nContent-Length: 1\r\n\r\n1",
            head + b"X-A: b\nContent-Length: 1\r\n\r\n1",
            head + b"Content-Length: 1\n\n1",
            head + b"X\0A: b\r\nContent-Length: 1\r\n\r\n1",
            start + b"Content-Length: 1\r\n\r\n1",
            start + b"Host: a\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n1",
            b"POST  /v1/broadcast HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
            b"nonsense\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00",
        ]
        with Node() as node, JsonClient(node, "a") as till:
            for data in cases:
                with self.subTest(data=data[60:140]):
                    answer = self.ask(node, data + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                    self.assertTrue(answer.startswith(b"HTTP/1.1 4") or
                                    answer.startswith(b"HTTP/1.1 505"), answer[:80])
                    self.assertEqual(answer.count(b"HTTP/1.1 "), 1)
                    self.assertIn(b"close", answer.lower())
            self.assertEqual(till.asks(type="ping"), {"type": "pong"})

    def test_pipelining_chunks_and_expect(self):
        with Node() as node, JsonClient(node, "a") as till, Socket(node.address("api")) as producer:
            one = (b"POST /v1/clients/a HTTP/1.1\r\nHost: localhost\r\n"
                   b"Content-Type: application/json\r\n")
            producer.send((one + b"Content-Length: 1\r\n\r\n1") * 600)
            for _ in range(600):
                self.assertTrue(producer.line().startswith(b"HTTP/1.1 202 "))
                self.skip_answer(producer)
                self.assertEqual(till.hear_message()["data"], 1)
            chunked = one + b"Transfer-Encoding: chunked\r\n\r\n"
            for byte in chunked + b"1\r\n[\r\n2;x=y\r\n7]\r\n0\r\n\r\n":
                producer.send(bytes([byte]))
            self.assertTrue(producer.line().startswith(b"HTTP/1.1 202 "))
            self.skip_answer(producer)
            self.assertEqual(till.hear_message()["data"], [7])
            producer.send(one + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
            self.assertEqual(producer.line(), b"HTTP/1.1 100 Continue\r")
            self.assertEqual(producer.line(), b"\r")
            producer.send(b"42")
            self.assertTrue(producer.line().startswith(b"HTTP/1.1 202 "))
            self.skip_answer(producer)
            self.assertEqual(till.hear_message()["data"], 42)
            # Too large is said before the body is sent.
            producer.send(one + b"Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n")
            self.assertTrue(producer.line().startswith(b"HTTP/1.1 413 "))

    def skip_answer(self, producer):
        length = 0
        while (line := producer.line()) != b"\r":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        return producer.exactly(length)

    def test_half_closed_producers_get_their_answer(self):
        with Node() as node, JsonClient(node, "a") as till, Socket(node.address("api")) as producer:
            producer.send(b"POST /v1/clients/a HTTP/1.1\r\nHost: localhost\r\n"
                          b"Content-Type: application/json\r\nContent-Length: 1\r\n\r\n1")
            producer.socket.shutdown(1)
            self.assertTrue(producer.rest().startswith(b"HTTP/1.1 202 "))
            self.assertEqual(till.hear()["data"], 1)

    def test_heads_without_end(self):
        with Node() as node:
            for data in (b"GET /" + b"a" * 100000, b"GET / HTTP/1.1\r\nX: " + b"a" * 100000,
                         b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: 1\r\n" * 1000 + b"\r\n"):
                answer = self.ask(node, data)
                self.assertRegex(answer[:12], rb"HTTP/1.1 4(00|13|14|31)")


class Forwarded(unittest.TestCase):
    """--forwarded: a trusted proxy says whose request it is."""

    def ask(self, node, forwarded):
        connection = http.client.HTTPConnection(*node.address("web"), timeout=10)
        self.addCleanup(connection.close)
        headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
        connection.request("GET", "/healthz", headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status

    def test_connections_count_for_the_client(self):
        with Node("--forwarded", "127.0.0.1", "--max-per-address", "1", "--workers", "1") as node:
            self.assertEqual(self.ask(node, "192.0.2.1"), 200)
            self.assertEqual(self.ask(node, "192.0.2.1"), 429)
            self.assertEqual(self.ask(node, "192.0.2.1, 192.0.2.2"), 200)
            self.assertEqual(self.ask(node, "192.0.2.2, 127.0.0.1"), 429)
            for _ in range(3):  # the proxy's own, such as its probes
                self.assertEqual(self.ask(node, None), 200)

    def test_a_request_in_pieces_is_refused_once(self):
        request = (b"POST /events/ack HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 192.0.2.1\r\n"
                   b"Content-Length: 9\r\n\r\n{\"a\":123}")
        with Node("--forwarded", "127.0.0.1", "--max-per-address", "1", "--workers", "1") as node:
            self.assertEqual(self.ask(node, "192.0.2.1"), 200)
            with Socket(node.address("web")) as one:
                one.send(request[:-5])
                while b"429 " not in one.buffer:
                    self.assertTrue(one.fill())
                one.send(request[-5:] + request)
                one.socket.shutdown(socket.SHUT_WR)
                self.assertEqual(one.rest().count(b"HTTP/1.1 429"), 2)
            refused = node.metric("ringpost_refused_total", reason="max_per_address")
            self.assertEqual(refused, 2)

    def test_nobody_else_is_believed(self):
        with Node("--forwarded", "10.0.0.0/8", "--max-per-address", "1", "--workers", "1") as node:
            self.assertEqual(self.ask(node, "192.0.2.1"), 200)
            with self.assertRaises((ConnectionError, http.client.RemoteDisconnected)):
                self.ask(node, "192.0.2.2")


class WebHosts(unittest.TestCase):
    def ask(self, node, host, path="/", origin=None):
        connection = http.client.HTTPConnection(*node.address("web"), timeout=10)
        self.addCleanup(connection.close)
        headers = {"Host": host, **({"Origin": origin} if origin else {})}
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status

    def test_a_rebound_name_gets_nothing(self):
        with Node() as node:
            self.assertEqual(self.ask(node, "evil.example", "/", "http://evil.example"), 403)
            self.assertEqual(self.ask(node, "127.0.0.1", "/", "http://127.0.0.1"), 200)
            self.assertEqual(self.ask(node, "evil.example"), 200)
        with Node("--web-host", "shop.example") as node:
            self.assertEqual(self.ask(node, "Shop.Example", "/", "https://shop.example"), 200)
            self.assertEqual(self.ask(node, "evil.example"), 403)
            self.assertEqual(self.ask(node, "evil.example", "/healthz"), 200)

    def test_refused_origins_are_told_once(self):
        refused = (("http://evil.example", "--cors and the origin"),
                   ("null", "--cors '[*]'"),
                   ('http://a\\"b' + "c" * 600, "--cors and the origin"))
        # With the refused ones fewer than ten: more lines of a kind are not logged in a second.
        others = [f"http://other-{i}.example" for i in range(6)]
        with Node("--cors", "https://shop.example") as node:
            for path in ("/", "/events?id=a", "/ws", "/socket.io/?EIO=4&transport=polling"):
                for origin in [origin for origin, _ in refused] + others:
                    self.assertEqual(self.ask(node, "127.0.0.1", path, origin), 403)
            for origin in ("https://shop.example", "http://127.0.0.1"):
                self.assertEqual(self.ask(node, "127.0.0.1", "/", origin), 200)
            for origin, remedy in refused:
                shown = re.escape(origin[:9].replace("\\", ""))
                node.wait_log(f'warn event=foreign_origin origin="?{shown}.* remedy=.*{remedy}')
            told = [line for line in node.log().splitlines() if "foreign_origin" in line]
            self.assertEqual(len(told), len(refused) + len(others))
            self.assertLess(max(map(len, told)), 600)


if __name__ == "__main__":
    unittest.main()
