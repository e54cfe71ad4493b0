"""Raw TCP clients: both framings, from hello to the end."""

import contextlib
import json
import signal
import time
import unittest

from support import CountedClient, JsonClient, Node, Socket, addresses


class JsonLines(unittest.TestCase):
    def test_hello_and_a_message(self):
        with Node() as node, JsonClient(node, "till-7") as till:
            self.assertEqual(till.welcome["heartbeat"], 25)
            self.assertEqual(till.welcome["max_message"], 65536)
            self.assertTrue(till.welcome["session"])
            self.assertTrue(till.welcome["node"])
            status, result, _ = node.push("till-7", {"amount": 12}, "?event=payment&id=m1")
            self.assertEqual((status, result),
                             (202, {"id": "m1", "state": "queued", "recipients": 1}))
            self.assertEqual(till.hear(), {"type": "message", "id": "m1", "event": "payment",
                                           "data": {"amount": 12}})

    def test_hello_byte_by_byte_and_blank_lines(self):
        with Node() as node, Socket(node.address("tcp")) as till:
            for byte in b'\r\n\n{"type":"hello","id":"slow"}\r\n\n{"type":"ping"}\n':
                till.send(bytes([byte]))
            self.assertEqual(json.loads(till.line())["type"], "welcome")
            self.assertEqual(json.loads(till.line()), {"type": "pong"})

    def test_everything_in_one_segment(self):
        with Node() as node, Socket(node.address("tcp")) as till:
            till.send('{"type":"hello","id":"x"}\n{"type":"join","groups":["g","h"],"ref":1}\n'
                      '{"type":"ping"}\n{"type":"leave","groups":["h"],"ref":"two"}\n')
            self.assertEqual(json.loads(till.line())["type"], "welcome")
            self.assertEqual(json.loads(till.line()), {"type": "ok", "ref": 1})
            self.assertEqual(json.loads(till.line()), {"type": "pong"})
            self.assertEqual(json.loads(till.line()), {"type": "ok", "ref": "two"})
            self.assertEqual(node.api("GET", "/v1/groups/g")[1]["ids"], ["x"])
            self.assertEqual(node.api("GET", "/v1/groups/h")[1]["ids"], [])

    def test_group_and_groups_are_one_list(self):
        with Node() as node, JsonClient(node, "x", group="a", groups=["b"]) as till:
            self.assertEqual(till.asks(type="join", groups="c", group=[], ref=1),
                             {"type": "ok", "ref": 1})
            for group in "abc":
                self.assertEqual(node.api("GET", f"/v1/groups/{group}")[1]["ids"], ["x"])
            till.asks(type="leave", group=["a", "c"], groups=None, ref=2)
            self.assertEqual(node.api("GET", "/v1/clients/x")[1]["sessions"][0]["groups"], ["b"])
            self.assertEqual(till.asks(type="leave", groups=[], ref=3), {"type": "ok", "ref": 3})

    def test_a_message_is_one_line_for_every_reader(self):
        data = "a\u0085b\u2028c\u2029d"
        with Node() as node, Socket(node.address("tcp")) as till, CountedClient(node, "n") as other:
            till.send('{"type":"hello","id":"x"}\n')
            till.line()
            body = json.dumps({"to": ["x", "n"], "data": data}, ensure_ascii=False)
            self.assertEqual(node.api("POST", "/v1/messages", body)[0], 202)
            text = till.line().decode()
            self.assertEqual(len(text.splitlines()), 1)
            self.assertEqual(json.loads(text)["data"], data)
            self.assertEqual(other.hear_message()[3].decode(), f'"{data}"')

    def test_join_without_ref_says_nothing(self):
        with Node() as node, JsonClient(node, "x") as till:
            till.say(type="join", groups=["g"])
            self.assertEqual(till.asks(type="ping"), {"type": "pong"})

    def test_errors_that_end_the_session(self):
        cases = [
            (b"nonsense\n", "bad_json"),
            (b'{"type":"hello",}\n', "bad_json"),
            (b'{"type":"ping"}\n', "hello_required"),
            (b'{"type":"hello","id":7}\n', "bad_message"),
            (b'{"type":"hello","id":""}\n', "bad_message"),
            (b'{"type":"hello","id":"a\\u0001"}\n', "bad_message"),
            (b'{"type":"hello","id":"\xff"}\n', "bad_json"),
            (b'{"type":"hello","groups":[' + b",".join(b'"g%d"' % i for i in range(65)) + b"]}\n",
             "too_many_groups"),
            (b'{"type":"hello","x":"' + b"x" * 16400 + b'"}\n', "too_large"),
            (b'{"type":"hello","x":"' + b"x" * 100000, "too_large"),
        ]
        with Node() as node:
            for data, code in cases:
                with self.subTest(data=data[:40]), Socket(node.address("tcp")) as till:
                    till.send(data)
                    error = json.loads(till.line())
                    self.assertEqual((error["type"], error["code"]), ("error", code))
                    self.assertTrue(error["message"])
                    self.assertIsNone(till.line())
            self.assertEqual(node.stats()["totals"]["sessions"], 0)

    def test_errors_that_do_not(self):
        cases = [
            ({"type": "hello", "id": "y"}, "bad_message"),
            ({"type": "nonsense", "ref": 5}, "bad_message"),
            ({"type": "join", "ref": 5}, "bad_message"),
            ({"type": "leave", "group": None, "ref": 5}, "bad_message"),
            ({"type": "join", "groups": ["\u0000"], "ref": 5}, "bad_message"),
            ({"type": "join", "groups": [f"g{i}" for i in range(65)], "ref": 5},
             "too_many_groups"),
            ({"type": "send", "to": "y", "ref": 5}, "forbidden"),
        ]
        with Node() as node, JsonClient(node, "x") as till:
            for line, code in cases:
                with self.subTest(line=line):
                    error = till.asks(**line)
                    self.assertEqual((error["type"], error["code"]), ("error", code))
                    if "ref" in line and code != "bad_json":
                        self.assertEqual(error.get("ref"), 5)
            self.assertEqual(till.asks(type="ping"), {"type": "pong"})
            self.assertEqual(node.api("GET", "/v1/clients/x")[1]["sessions"][0]["groups"], [])

    def test_sends_are_answered_before_the_end(self):
        """Whatever ends the session, and on whichever worker those sit who get the messages."""
        with Node("--client-send", "on", "--max-message", "1000") as node, \
                contextlib.ExitStack() as stack:
            for number, address in enumerate(addresses(8)):
                stack.enter_context(JsonClient(node, f"till-{number}", source=address))
            sends = "".join(f'{{"type":"send","to":"till-{number}","ref":{number}}}\n'
                            for number in range(8))
            for last, code in (("{bad\n", "bad_json"), ("x" * 9000, "too_large"),
                               ('{"type":"send","data":"' + "x" * 2000 + '"}\n', "too_large")):
                refused = node.metric("ringpost_messages_total", **{"class": "unknown"})
                with Socket(node.address("tcp")) as producer:
                    producer.send('{"type":"hello"}\n' + sends + last)
                    heard = [json.loads(producer.line()) for _ in range(10)]
                    self.assertEqual(sorted(answer["ref"] for answer in heard[1:9]),
                                     list(range(8)))
                    self.assertEqual(heard[9]["code"], code)
                    self.assertIsNone(producer.line())
                more = node.metric("ringpost_messages_total", **{"class": "unknown"}) - refused
                self.assertEqual(more, 1 if last.startswith('{"type"') else 0)

    def test_a_line_over_the_limit(self):
        with Node("--max-message", "1000") as node, JsonClient(node, "x") as till:
            till.send(b'{"type":"ping","x":"' + b"y" * 5200 + b'"}\n')
            self.assertEqual(till.hear()["code"], "too_large")
            self.assertIsNone(till.line())

    def test_acks_of_unknown_ids_are_ignored(self):
        with Node() as node, JsonClient(node, "x") as till:
            till.say(type="ack", id="nope")
            till.say(type="ack", ids=["a", "b"])
            self.assertEqual(till.asks(type="ping"), {"type": "pong"})

    def test_resume_is_answered_with_recovered_false(self):
        with Node() as node, JsonClient(node, "x", resume="m9") as till:
            self.assertIs(till.welcome["recovered"], False)

    def test_hello_timeout(self):
        with Node("--hello-timeout", "0.2") as node, Socket(node.address("tcp")) as till:
            till.send(b'{"type":')
            self.assertEqual(json.loads(till.line())["code"], "hello_timeout")
            self.assertIsNone(till.line())

    def test_heartbeat(self):
        with Node("--heartbeat", "0.3", "--heartbeat-timeout", "0.3") as node:
            with JsonClient(node, "x") as till:
                self.assertEqual(till.welcome["heartbeat"], 0.3)
                for _ in range(3):
                    self.assertEqual(till.hear(), {"type": "ping"})
                    till.say(type="pong")
                # Anything answers it.
                self.assertEqual(till.hear(), {"type": "ping"})
                till.say(type="ack", id="x")
                self.assertEqual(till.hear(), {"type": "ping"})
                began = time.monotonic()
                self.assertEqual(till.hear()["code"], "heartbeat_timeout")
                self.assertGreater(time.monotonic() - began, 0.25)
                self.assertIsNone(till.line())
            self.assertEqual(node.metric("ringpost_closed_total", reason="heartbeat_timeout"), 1)

    def test_a_stopped_node_closes_nobody_for_its_own_silence(self):
        with Node("--heartbeat", "1", "--heartbeat-timeout", "1") as node:
            with contextlib.ExitStack() as stack:
                tills = [stack.enter_context(JsonClient(node, f"t{n}")) for n in range(20)]
                for _ in range(2):
                    for till in tills:
                        self.assertEqual(till.hear(), {"type": "ping"})
                    node.signal(signal.SIGSTOP)
                    for till in tills:
                        till.say(type="pong")
                    time.sleep(2)  # it is stopped for longer than --heartbeat-timeout
                    node.signal(signal.SIGCONT)
                for till in tills:
                    self.assertEqual(till.hear(), {"type": "ping"})

    def test_client_send(self):
        with Node("--client-send", "on") as node:
            with JsonClient(node, "a", ["g"]) as a, JsonClient(node, "b", ["g"],
                                                              source="127.0.0.9") as b:
                ok = a.asks(type="send", to="b", event="hi", data=[1, 2], ref=3)
                self.assertEqual((ok["type"], ok["ref"], ok["state"]), ("ok", 3, "queued"))
                self.assertEqual(b.hear(), {"type": "message", "id": ok["id"], "event": "hi",
                                            "data": [1, 2]})
                ok = a.asks(type="send", to="nobody", ref="r")
                self.assertEqual((ok["ref"], ok["state"]), ("r", "absent"))
                # The sender gets its own group messages, unless excepted.
                a.say(type="send", group="g", data=1)
                self.assertEqual(a.hear()["group"], "g")
                self.assertEqual(b.hear()["data"], 1)
                a.say(type="send", group="g", data=2, **{"except": "a"})
                self.assertEqual(b.hear()["data"], 2)
                error = a.asks(type="send", to="b", ttll=3, ref=9)
                self.assertEqual((error["code"], error["ref"]), ("bad_message", 9))
                self.assertIn("ttll", error["message"])


class Counted(unittest.TestCase):
    def test_hello_and_a_message(self):
        with Node() as node, CountedClient(node, "till-7", ["shop 1"]) as till:
            till.send("PING\r\n")
            self.assertEqual(till.words(), ["PONG"])
            node.push("till-7", {"amount": 12}, "?event=pay%20ed&id=m1")
            self.assertEqual(till.hear_message(), ("m1", "pay%20ed", "-", b'{"amount": 12}'))
            node.api("POST", "/v1/groups/shop%201?id=m2", b"\0\xff\r\n",
                     {"Content-Type": "application/octet-stream"})
            self.assertEqual(till.hear_message(), ("m2", "message", "gb", b"\0\xff\r\n"))

    def test_join_and_leave(self):
        with Node() as node, CountedClient(node, "x") as till:
            till.send("JOIN 1 g%20x h\nLEAVE 2 h\r\n")
            self.assertEqual(till.words(), ["OK", "1"])
            self.assertEqual(till.words(), ["OK", "2"])
            self.assertEqual(node.api("GET", "/v1/groups/g%20x")[1]["ids"], ["x"])

    def test_send(self):
        with Node("--client-send", "on") as node:
            with CountedClient(node, "a") as a, CountedClient(node, "b", source="127.0.0.9") as b:
                a.send(b'SEND 7 11 {"to":"b","event":"e","id":"m"}\r\n{"x": "\\n"}\r\nPING\r\n')
                # A send is answered when the message was taken; a pong does not wait for that.
                heard = [a.words(), a.words()]
                self.assertIn(["OK", "7", "m", "queued"], heard)
                self.assertIn(["PONG"], heard)
                self.assertEqual(b.hear_message(), ("m", "e", "-", b'{"x": "\\n"}'))
                # A payload that is not JSON is refused, and the stream goes on.
                a.send(b'SEND 8 3 {"to":"b"}\r\n{x}\r\nPING\r\n')
                self.assertEqual(a.words()[:3], ["ERR", "bad_json", "8"])
                self.assertEqual(a.words(), ["PONG"])

    def test_broken_frames(self):
        cases = [
            b"SEND 1 x {}\r\n",
            b"SEND 1 -1 {}\r\n",
            b"SEND 1 +1 {}\r\n",
            b"SEND 1 01 {}\r\n",
            b'SEND 1 2 {"to":"x"}\r\n{}xx',
            b"JOIN 1 " + b"g" * 5000 + b"\r\n",
        ]
        with Node("--client-send", "on") as node:
            for data in cases:
                with self.subTest(data=data[:30]), CountedClient(node, "x") as till:
                    till.send(data)
                    words = till.words()
                    self.assertEqual(words[:2], ["ERR", "bad_frame"])
                    self.assertIsNone(till.words())

    def test_words_that_are_wrong_but_framed(self):
        with Node() as node, CountedClient(node, "x") as till:
            for data in (b"NONSENSE 1\r\n", b"JOIN 1 a%2\r\n", b"JOIN 1 a%zz\r\n", b"JOIN 1\r\n"):
                till.send(data)
                self.assertEqual(till.words()[:2], ["ERR", "bad_message"], data)
            till.send("PING\r\n")
            self.assertEqual(till.words(), ["PONG"])

    def test_hello_comes_first(self):
        with Node() as node, Socket(node.address("tcp")) as till:
            till.send("PING\r\n")
            self.assertTrue(till.line().startswith(b"ERR hello_required - "))
            self.assertIsNone(till.line())


if __name__ == "__main__":
    unittest.main()
