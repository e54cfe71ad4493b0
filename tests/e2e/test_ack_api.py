"""Acknowledged messages as a producer sees them: waiting, fates, taking back, what is pending."""

import json
import threading
import time
import unittest

from support import JsonClient, Node, Socket, run, wait_until


def request(path, **message):
    body = json.dumps(message).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def post(node, query, **message):
    return node.api("POST", "/v1/messages" + query, json.dumps(message).encode(),
                    {"Content-Type": "application/json"})[:2]


def audit(node):
    return run(["audit", "--api", "{}:{}".format(*node.address("api"))])


class Waiting(unittest.TestCase):
    def test_acked_on_any_worker(self):
        with Node(workers=3) as node:
            tills = [JsonClient(node, f"till-{i}", source=f"127.0.0.{i + 1}") for i in range(6)]

            def acknowledge(till):
                for _ in range(20):
                    till.say(type="ack", id=till.hear_message()["id"])

            threads = [threading.Thread(target=acknowledge, args=(till,)) for till in tills]
            for thread in threads:
                thread.start()
            for i in range(120):
                status, answer = post(node, "?wait=ack", to=f"till-{i % 6}", ack=True)
                self.assertEqual((status, answer["state"]), (200, "acked"), answer)
                self.assertLess(answer["latency_ms"], 4000)
            for thread in threads:
                thread.join()
            self.assertEqual(node.metric("ringpost_ack_pending"), 0)
            self.assertEqual(node.metric("ringpost_messages_total",
                                         **{"class": "ack", "result": "acked"}), 120)
            self.assertEqual(audit(node)[0], 0)
            for till in tills:
                till.close()

    def test_answers_wait_and_requests_do_not(self):
        with Node() as node, JsonClient(node, "till") as till, \
                Socket(node.address("api")) as producer:
            waits = request("/v1/messages?wait=ack&timeout=20", to="away", ack=True, id="m1")
            producer.send(waits + request("/v1/messages", to="till", id="m2"))
            self.assertEqual(till.hear_message()["id"], "m2")
            self.assertTrue(producer.silent())
            with JsonClient(node, "away") as away:
                away.say(type="ack", id=away.hear_message()["id"])
                said = b""
                while b"m2" not in said:
                    said += producer.line()
                self.assertLess(said.index(b'"acked"'), said.index(b"m2"))

    def test_a_producer_that_goes_costs_nothing(self):
        with Node() as node:
            for i in range(50):
                with Socket(node.address("api")) as producer:
                    producer.send(request("/v1/messages?wait=ack&timeout=60",
                                          to="away", ack=True, id=f"m{i}"))
                    if i == 0:
                        wait_until("it waits", lambda: node.metric("ringpost_waits") == 1)
            wait_until("nobody waits", lambda: node.metric("ringpost_waits") == 0)
            self.assertEqual(audit(node)[0], 0)

    def test_a_drain_lets_it_wait(self):
        with Node("--drain-timeout", "1") as node, Socket(node.address("api")) as producer:
            producer.send(request("/v1/messages?wait=ack&timeout=60", to="away", ack=True))
            wait_until("it waits", lambda: node.metric("ringpost_waits") == 1)
            node.signal(15)
            self.assertIn(b'"state":"pending"', producer.rest())
            self.assertEqual(node.wait_exit(), 0)


class Fates(unittest.TestCase):
    def test_a_message_and_its_fate(self):
        with Node() as node:
            self.assertEqual(post(node, "", to="away", ack=True, id="m1"),
                             (202, {"id": "m1", "state": "stored", "recipients": 0}))
            status, answer = post(node, "", to="away", ack=True, id="m1")
            self.assertEqual((status, answer["first"]["state"], answer["now"]),
                             (200, "stored", "pending"))
            self.assertEqual(post(node, "", to="away", id="m1")[0], 409)
            status, fate = node.api("GET", "/v1/messages/m1")[:2]
            self.assertEqual(status, 200)
            self.assertRegex(fate.pop("accepted"), r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            self.assertEqual(fate, {"id": "m1", "state": "pending", "to": {"away": "pending"},
                                    "settled": None})
            status, answer = post(node, "?wait=ack", to=["away", "b"], ack=True, id="m2", ttl=0.2)
            self.assertEqual((status, answer["state"]), (410, "expired"))
            self.assertEqual(answer["to"], {"away": "expired", "b": "expired"})

    def test_an_id_that_the_node_made(self):
        """It is not remembered: a message that is pushed with it is another one."""
        with Node() as node:
            made = post(node, "", to="away", ack=True, data=1)[1]["id"]
            for data, status in ((2, 202), (2, 200), (1, 409)):
                self.assertEqual(post(node, "", to="away", ack=True, id=made, data=data)[0], status)
            self.assertEqual(node.api("GET", "/v1/clients/away/pending")[1]["count"], 2)
            with JsonClient(node, "away") as till:
                self.assertEqual([till.hear_message()["data"] for _ in range(2)], [1, 2])
            self.assertEqual(node.api("GET", f"/v1/messages/{made}")[1]["state"], "pending")

    def test_taking_back(self):
        with Node() as node:
            post(node, "", to=[f"till-{i}" for i in range(50)], ack=True, id="m1")
            fate = node.api("DELETE", "/v1/messages/m1")[1]
            self.assertEqual((fate["state"], fate["reason"]), ("dropped", "withdrawn"))
            self.assertEqual(set(fate["to"].values()), {"dropped"})
            self.assertEqual(node.api("DELETE", "/v1/messages/m1")[1], fate)
            self.assertEqual(node.api("DELETE", "/v1/messages/nope")[0], 404)
            self.assertEqual(node.metric("ringpost_ack_pending"), 0)
            with JsonClient(node, "till-7") as till:
                self.assertTrue(till.silent())

    def test_what_is_pending(self):
        with Node() as node:
            before = time.time()
            for i in range(7):
                post(node, "", to="away", ack=True, id=f"m{i}", event="pay")
            seen, after = [], ""
            while True:
                page = node.api("GET", f"/v1/clients/away/pending?limit=3{after}")[1]
                self.assertEqual(page["count"], 7)
                seen += [message["id"] for message in page["messages"]]
                if page["next"] is None:
                    break
                after = "&after=" + page["next"]
            self.assertEqual(seen, [f"m{i}" for i in range(7)])
            client = node.api("GET", "/v1/clients/away")[1]
            self.assertEqual((client["sessions"], client["pending"]), ([], 7))
            self.assertTrue(client["oldest"].startswith(time.strftime("%Y-", time.gmtime(before))))
