"""Who gets a message: ids, groups, broadcast, except; once, in order, across workers."""

import json
import threading
import unittest

from support import CountedClient, JsonClient, Node, Socket, addresses, wait_until


def hear_all(client, count):
    return [client.hear_message() for _ in range(count)]


class Addressing(unittest.TestCase):
    def test_every_way_of_addressing(self):
        with Node(workers=4) as node:
            sources = addresses(8)
            clients = {f"c{i}": JsonClient(node, f"c{i}", ["all", f"g{i % 2}"], sources[i])
                       for i in range(8)}
            nameless = JsonClient(node, None, ["all"], "127.0.3.1")
            cases = [
                (dict(to="c1"), {"c1"}),
                (dict(to=["c1", "c2", "c1", "nobody"]), {"c1", "c2"}),
                (dict(group="g0"), {"c0", "c2", "c4", "c6"}),
                (dict(group=["g0", "g1"]), set(clients)),
                (dict(group="g1", to=["c1", "c0"]), {"c0", "c1", "c3", "c5", "c7"}),
                (dict(group="all", except_=["c3", "c4"]), set(clients) - {"c3", "c4"} | {None}),
                (dict(broadcast=True), set(clients) | {None}),
                (dict(broadcast=True, except_="c0"), set(clients) - {"c0"} | {None}),
            ]
            for number, (address, wanted) in enumerate(cases):
                with self.subTest(address=address):
                    status, result, _ = node.message(id=f"m{number}", data=number, **address)
                    self.assertEqual((status, result["state"], result["recipients"]),
                                     (202, "queued", len(wanted)))
                    for name in wanted:
                        client = nameless if name is None else clients[name]
                        message = client.hear()
                        self.assertEqual((message["id"], message["data"]), (f"m{number}", number))
                        if "group" in address:
                            self.assertEqual(message["group"], address["group"])
                        else:
                            self.assertNotIn("group", message)
            # Nobody got anything twice, or what was not meant for it.
            for client in [*clients.values(), nameless]:
                self.assertEqual(client.asks(type="ping"), {"type": "pong"})
                client.close()

    def test_sessions_that_share_an_id(self):
        with Node(workers=4) as node:
            tabs = [JsonClient(node, "user", source=source) for source in addresses(6)]
            self.assertEqual(node.push("user", 1)[1]["recipients"], 6)
            for tab in tabs:
                self.assertEqual(tab.hear()["data"], 1)
            presence = node.api("GET", "/v1/clients/user")[1]
            self.assertEqual(len(presence["sessions"]), 6)
            self.assertEqual(len({s["session"] for s in presence["sessions"]}), 6)
            tabs.pop().close()
            wait_until("the session is gone", lambda: len(
                node.api("GET", "/v1/clients/user")[1]["sessions"]) == 5)
            self.assertEqual(node.push("user", 2)[1]["recipients"], 5)
            self.assertEqual(node.api("DELETE", "/v1/clients/user")[1], {"closed": 5})
            for tab in tabs:
                self.assertEqual(tab.hear()["data"], 2)
                self.assertIsNone(tab.hear())
            self.assertEqual(node.push("user", 3)[0], 404)

    def test_a_message_is_encoded_once_for_all_who_take_it_so(self):
        with Node(workers=1) as node:
            lines = [JsonClient(node, "till") for _ in range(3)]
            counted = [CountedClient(node, "till") for _ in range(2)]
            self.assertEqual(node.push("till", 7)[1]["recipients"], 5)
            for till in lines:
                self.assertEqual(till.hear()["data"], 7)
            for till in counted:
                self.assertEqual(till.hear_message()[3], b"7")
            for encoding in ("line", "counted"):
                self.assertEqual(node.metric("ringpost_forms_encoded_total", form=encoding), 1)

    def test_absent_and_dropped(self):
        with Node() as node:
            status, result, _ = node.push("nobody", 1)
            self.assertEqual((status, result["state"], result["recipients"]), (404, "absent", 0))
            status, result, _ = node.push("nobody", 1, "?volatile=1")
            self.assertEqual((status, result["state"]), (202, "dropped"))
            status, result, _ = node.message(group="nobody", data=1)
            self.assertEqual((status, result["state"], result["recipients"]), (202, "queued", 0))
            status, result, _ = node.message(broadcast=True)
            self.assertEqual((status, result["state"], result["recipients"]), (202, "queued", 0))

    def test_server_side_groups(self):
        with Node(workers=3) as node:
            tills = [JsonClient(node, "a", source=source) for source in addresses(4)]
            self.assertEqual(node.api("PUT", "/v1/groups/vip/clients/a")[1], {"sessions": 4})
            self.assertEqual(node.message(group="vip", data=1)[1]["recipients"], 4)
            self.assertEqual(node.api("GET", "/v1/groups/vip")[1]["ids"], ["a"])
            self.assertEqual(node.api("DELETE", "/v1/groups/vip/clients/a")[1], {"sessions": 4})
            self.assertEqual(node.message(group="vip", data=2)[1]["recipients"], 0)
            for till in tills:
                self.assertEqual(till.hear()["data"], 1)
                self.assertEqual(till.asks(type="ping"), {"type": "pong"})
                till.close()

    def test_group_listing_by_pages(self):
        with Node(workers=2) as node:
            tills = [JsonClient(node, f"c{i:02}", ["g"], source)
                     for i, source in enumerate(addresses(25))]
            seen, after = [], ""
            while True:
                page = node.api("GET", f"/v1/groups/g?limit=10{after}")[1]
                self.assertEqual(page["count"], 25)
                seen += page["ids"]
                if not page.get("next"):
                    break
                after = "&after=" + page["next"]
            self.assertEqual(seen, [f"c{i:02}" for i in range(25)])
            for till in tills:
                till.close()


class Order(unittest.TestCase):
    def test_order_of_one_producer_through_every_way(self):
        """Short way, wide way and broadcasts mixed on one connection, pipelined."""
        count = 400
        with Node(workers=4) as node:
            tills = [JsonClient(node, f"c{i}", ["g"], source)
                     for i, source in enumerate(addresses(5))]
            with Socket(node.address("api")) as producer:
                requests = b""
                for number in range(count):
                    body = {"data": number}
                    if number % 7 == 3:
                        body["to"] = [f"c{i}" for i in range(5)]
                    elif number % 5 == 1:
                        body["to"] = ["c0", "c1"]
                    else:
                        body["to"] = f"c{number % 5}"
                    text = json.dumps(body).encode()
                    requests += (b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\n"
                                 b"Content-Type: application/json\r\n"
                                 b"Content-Length: %d\r\n\r\n" % len(text)) + text
                sender = threading.Thread(target=producer.send, args=(requests,))
                sender.start()
                for number in range(count):
                    self.assertTrue(producer.line().startswith(b"HTTP/1.1 202"), number)
                    length = 0
                    while (line := producer.line()) != b"\r":
                        if line.lower().startswith(b"content-length:"):
                            length = int(line.split(b":")[1])
                    producer.exactly(length)
                sender.join()
            for index, till in enumerate(tills):
                wanted = [n for n in range(count)
                          if n % 7 == 3 or (n % 7 != 3 and n % 5 == 1 and index < 2)
                          or (n % 7 != 3 and n % 5 != 1 and n % 5 == index)]
                self.assertEqual([till.hear_message()["data"] for _ in wanted], wanted)
                till.close()

    def test_a_unicast_costs_two_mails_and_one_answer(self):
        with Node(workers=16) as node:
            tills = [JsonClient(node, f"c{i}", source=source)
                     for i, source in enumerate(addresses(32))]
            for i in range(200):
                self.assertEqual(node.push(f"c{i % 32}", i)[0], 202)
            for i in range(200):
                self.assertEqual(tills[i % 32].hear()["data"], i)
            unicasts = node.metric("ringpost_unicasts_total")
            mails = node.metric("ringpost_unicast_mails_total")
            self.assertEqual(unicasts, 200)
            self.assertLessEqual(mails, 3 * unicasts)
            self.assertGreater(mails, unicasts)
            for till in tills:
                till.close()


class Payloads(unittest.TestCase):
    def test_data_arrives_as_written(self):
        body = (b'{ "amount" : 12.500e+2,\r\n\t"text": "caf\xc3\xa9 \\u00e9\\ud83d\\ude00 \\/",\n'
                b' "list": [1,  -0, 1E400, {"a":1,"a":2}] }\n')
        with Node() as node:
            with JsonClient(node, "j") as plain, CountedClient(node, "c", source="127.0.0.5") as c:
                for name in ("j", "c"):
                    status = node.api("POST", f"/v1/clients/{name}", body,
                                      {"Content-Type": "application/json"})[0]
                    self.assertEqual(status, 202)
                wanted = body.strip().replace(b"\r\n", b"").replace(b"\n", b"")
                line = plain.line()
                self.assertIn(b'"data":' + wanted, line)
                self.assertEqual(c.hear_message()[3].strip(), wanted)

    def test_webhook_body_arrives_byte_for_byte(self):
        """A provider's signed event: pretty-printed; the signature is over the very bytes."""
        body = json.dumps({"id": "evt_1", "object": "event", "data": {"amount": 1200}},
                          indent=2).encode() + b"\n"
        with Node() as node:
            with JsonClient(node, "till-7", source="127.0.0.11") as plain:
                with CountedClient(node, "till-7", source="127.0.0.12") as counted:
                    status, result, _ = node.api(
                        "POST", "/v1/clients/till-7?raw=1&event=stripe", body,
                        {"Content-Type": "application/json", "Stripe-Signature": "t=1,v1=abc"})
                    self.assertEqual((status, result["recipients"]), (202, 2))
                    message = plain.hear()
                    self.assertEqual(message["encoding"], "base64")
                    import base64
                    self.assertEqual(base64.b64decode(message["data"]), body)
                    _, event, flags, payload = counted.hear_message()
                    self.assertEqual((event, flags, payload), ("stripe", "b", body))

    def test_text_and_forms(self):
        cases = [
            ("text/plain", b'say "hi"\n', 'say "hi"\n'),
            ("application/x-www-form-urlencoded", b'{"a":1}', {"a": 1}),
            ("application/x-www-form-urlencoded", b"a=1&b=2", "a=1&b=2"),
            ("application/cloudevents+json", b"[1]", [1]),
        ]
        with Node() as node, JsonClient(node, "x") as till:
            for kind, body, wanted in cases:
                with self.subTest(kind=kind, body=body):
                    status = node.api("POST", "/v1/clients/x", body, {"Content-Type": kind})[0]
                    self.assertEqual(status, 202)
                    self.assertEqual(till.hear()["data"], wanted)

    def test_large_payloads_and_limits(self):
        with Node("--max-message", "300000") as node, JsonClient(node, "x") as till:
            for size in (4000, 4096, 4200, 65536, 299990):
                text = "y" * size
                self.assertEqual(node.push("x", text)[0], 202)
                self.assertEqual(till.hear()["data"], text)
            status, answer, _ = node.push("x", "y" * 300001)
            self.assertEqual((status, answer["error"]["code"]), (413, "too_large"))

    def test_ids_with_every_kind_of_character(self):
        names = ["a b", "ä/ö", "100%", "a+b", "..", "😀" * 32, "x" * 128, "a?b#c"]
        with Node() as node:
            for name in names:
                with self.subTest(name=name), JsonClient(node, name) as till:
                    self.assertEqual(node.push(name, 1)[0], 202)
                    self.assertEqual(till.hear()["data"], 1)
            for name in ["x" * 129, "a\u2028b", "a\u0085"]:
                self.assertEqual(node.push(name, 1)[0], 400, name)


if __name__ == "__main__":
    unittest.main()
