"""Messages from queues of a real RabbitMQ: every form, to every kind of client; what becomes of a
delivery."""

import json
import shutil
import signal
import time
import unittest

from rabbit_server import HAVE, Publisher, Rabbit, pika
from support import CountedClient, JsonClient, Node, run, wait_until
from test_sio import Sio
from ws_client import WebSocket


def node_of(rabbit, *flags, queues=("q",), **more):
    named = [word for queue in queues for word in ("--amqp-queue", queue)]
    return Node("--amqp", rabbit.url(), *named, *flags, **more)


def settled(node, how, queue="q"):
    return node.metric("ringpost_amqp_settled_total", queue=queue, how=how)


def is_up(node, queue="q"):
    return node.metric("ringpost_amqp_consuming", queue=queue) == 1


def balance(node, queue="q"):
    """What the metrics of a queue do not account for."""
    def value(name, **labels):
        return node.metric("ringpost_amqp_" + name, queue=queue, **labels)
    return (value("deliveries_total") - value("settled_total") - value("held")
            - value("under_way"))


class Shared(unittest.TestCase):
    """One broker for all tests of a class; each test has queues of its own."""

    tls = False

    @classmethod
    def setUpClass(cls):
        if not HAVE:
            raise unittest.SkipTest("rabbitmq-server or python3-pika is not there")
        cls.rabbit = cls.enterClassContext(Rabbit(tls=cls.tls))

    def setUp(self):
        self.queue = self.id().rpartition(".")[2]
        self.publisher = self.enterContext(Publisher(self.rabbit))
        self.publisher.queue(self.queue)

    def node(self, *flags, **more):
        """A node that consumes the queue of this test."""
        node = self.enterContext(node_of(self.rabbit, *flags, queues=(self.queue,), **more))
        wait_until("the queue is consumed", lambda: is_up(node, self.queue))
        return node

    def client(self, node, *args, **more):
        client = JsonClient(node, *args, **more)
        self.addCleanup(client.close)
        return client

    def send(self, body, headers=None, **properties):
        self.publisher.send(self.queue, body, headers, **properties)

    def wait_settled(self, node, **counts):
        """The deliveries of this test's queue have become that, and are all there were."""
        def all_are():
            return all(settled(node, how, self.queue) == count for how, count in counts.items())
        wait_until(f"settled: {counts}", all_are)
        self.assertEqual(balance(node, self.queue), 0)
        status, out, _ = run(["audit", "--api", "%s:%d" % node.address("api")])
        self.assertEqual(status, 0, out)
        self.assertRegex(out, r"balanced: \d+ deliveries of 1 queue ")
        self.assertEqual(node.metric("ringpost_amqp_settled_total", queue=self.queue),
                         sum(counts.values()))


class Queues(Shared):
    tls = shutil.which("openssl") is not None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()

    def test_three_forms_to_every_client(self):
        node = self.node()
        self.assertEqual(node.api("GET", "/readyz")[0], 200)
        tcp = self.client(node, "till")
        counted = CountedClient(node, "till")
        self.addCleanup(counted.close)
        web = WebSocket(node, "/ws?id=till", welcomed=True)
        self.addCleanup(web.close)
        old = Sio(node, eio=3, query="&id=till")
        self.addCleanup(old.close)
        new = Sio(node)
        self.addCleanup(new.close)
        new.say_packet('20["register",{"socketId":"till"}]')
        self.assertEqual(new.packet(), '30[{"ok":true}]')
        self.send({"to": "till", "event": "pay", "data": {"n": 1}})
        self.send(b'{"n": 2}', {"to": ["till"], "event": "pay"}, content_type="application/json")
        self.send({"socketSessionId": "till", "socketGroupFlag": "", "isVolatile": False,
                   "data": json.dumps({"n": 3})})
        whole = {"socketSessionId": "till", "socketGroupFlag": "", "isVolatile": False,
                 "data": {"n": 3}}
        expected = [("pay", {"n": 1}), ("pay", {"n": 2}), ("message", whole)]
        for client in (tcp, web):
            got = [client.hear() for _ in expected]
            self.assertEqual([(one["event"], one["data"]) for one in got], expected)
        self.assertEqual([(one[1], json.loads(one[3])) for one in
                          (counted.hear_message() for _ in expected)], expected)
        for client in (old, new):
            got = [json.loads(client.packet().lstrip("2")) for _ in expected]
            self.assertEqual([(event, data) for event, data in got], expected)
        self.wait_settled(node, acknowledged=3)

    def test_bytes_text_and_properties(self):
        node = self.node()
        till = self.client(node, "till", ["g"])
        self.send(b"\x00\xff", {"to": "till"}, content_type="application/octet-stream",
                  message_id="m1", type="raw", expiration="60000")
        self.send("käse", {"group": "g"}, content_type="text/plain")
        self.send("1", {"broadcast": True, "to": None})
        heard = [till.hear_message() for _ in range(3)]
        self.assertEqual([one["data"] for one in heard], ["AP8=", "käse", 1])
        self.assertEqual((heard[0]["id"], heard[0]["event"], heard[0]["encoding"]),
                         ("m1", "raw", "base64"))
        self.assertEqual(heard[1]["group"], "g")
        self.wait_settled(node, acknowledged=3)

    def test_ids_make_repeats_harmless(self):
        node = self.node()
        till = self.client(node, "till")
        for body in ({"to": "till", "data": 1}, {"to": "till", "data": 1},
                     {"to": "till", "data": 2}):
            self.send(body, message_id="m1")
        self.send({"to": "till", "data": 3})
        self.assertEqual([till.hear_message()["data"] for _ in range(2)], [1, 3])
        self.wait_settled(node, acknowledged=3, rejected=1)

    def test_refused_goes_where_the_queue_says(self):
        self.publisher.queue(self.queue + ".dead")
        self.publisher.channel.queue_delete(self.queue)
        self.publisher.queue(self.queue, **{"x-dead-letter-exchange": "",
                                            "x-dead-letter-routing-key": self.queue + ".dead"})
        node = self.node("--max-body", "100000", "--max-message", "1000")
        till = self.client(node, "till")
        bad = [b"no JSON", b"[]", json.dumps({"to": "till", "ttll": 1}).encode(),
               json.dumps({"to": "till", "data": "x" * 2000}).encode(), b"x" * 300000]
        for body in bad:
            self.send(body)
        self.send({"to": "till"}, content_encoding="gzip")
        self.send({"to": "till", "data": 1}, message_id="not good")
        self.send("1", {"to": 7})
        self.send({"to": "till", "data": "end"})
        self.assertEqual(till.hear_message()["data"], "end")
        self.wait_settled(node, acknowledged=1, rejected=8)
        wait_until("all are there", lambda: self.publisher.length(self.queue + ".dead") == 8)
        self.assertEqual(self.publisher.get(self.queue + ".dead")[1], bad[0])

    def test_nobody_is_no_failure(self):
        node = self.node()
        self.send({"to": "nobody", "data": 1})
        self.send({"to": "nobody", "data": 1, "volatile": True})
        self.send({"group": "nobody", "data": 1})
        self.send({"to": "late", "data": 2, "ack": True})
        self.wait_settled(node, acknowledged=4)
        late = self.client(node, "late")
        self.assertEqual(late.hear_message()["data"], 2)

    def test_what_cannot_be_taken_is_held_in_order(self):
        node = self.node("--ack-backlog", "2", "--ack-silence", "60")
        for number in range(6):
            self.send({"to": "away", "ack": True, "data": number})
        here = self.client(node, "here")
        self.send({"to": "here", "data": "passes"})
        self.assertEqual(here.hear_message()["data"], "passes")
        wait_until("four are held",
                   lambda: node.metric("ringpost_amqp_held", queue=self.queue) == 4)
        self.send({"to": "here", "data": "passes too"})
        self.assertEqual(here.hear_message()["data"], "passes too")
        self.send({"to": ["here", "away"], "data": "waits"})
        self.send({"to": "here", "data": "waits behind it"})
        wait_until("six are held",
                   lambda: node.metric("ringpost_amqp_held", queue=self.queue) == 6)
        away = self.client(node, "away")
        heard = []
        for _ in range(7):
            message = away.hear_message()
            heard.append(message["data"])
            if message.get("ack"):
                away.say(type="ack", id=message["id"])
        self.assertEqual(heard, [0, 1, 2, 3, 4, 5, "waits"])
        self.assertEqual([here.hear_message()["data"] for _ in range(2)],
                         ["waits", "waits behind it"])
        self.wait_settled(node, acknowledged=10)

    def test_held_too_long_or_too_many_is_refused(self):
        node = self.node("--ack-backlog", "1", "--amqp-hold", "0.2", "--amqp-prefetch", "4")
        for number in range(3):
            self.send({"to": "away", "ack": True, "data": number})
        self.wait_settled(node, acknowledged=1, rejected=2)
        self.send({"to": "away", "ack": True, "data": 3, "ttl": 0.05})
        self.wait_settled(node, acknowledged=1, rejected=3)

    def test_acked_leaves_the_queue_when_it_is(self):
        node = node_of(self.rabbit, "--amqp-settle", "acked", queues=(self.queue,))
        self.addCleanup(node.kill)
        self.send({"to": "till", "ack": True, "data": 1, "id": "m1"}, delivery_mode=2)
        self.send({"to": "till", "ack": True, "data": 1, "id": "m1"}, delivery_mode=2)
        self.send({"to": "till", "ack": True, "data": 2, "ttl": 0.1}, delivery_mode=2)
        self.send({"to": "till", "ack": True, "data": 3, "ttl": 100000}, delivery_mode=2)
        self.wait_settled(node, acknowledged=1)
        self.assertEqual(node.metric("ringpost_amqp_ttl_cut_total"), 1)
        node.kill()
        other = self.node("--amqp-settle", "acked", "--ack-silence", "60")
        till = self.client(other, "till")
        first, second = till.hear_message(), till.hear_message()
        self.assertEqual((first["data"], first["id"], first["redelivered"]), (1, "m1", True))
        self.assertEqual(second["data"], 3)
        self.assertEqual(settled(other, "acknowledged", self.queue), 0)
        till.say(type="ack", ids=[first["id"], second["id"]])
        self.wait_settled(other, acknowledged=3)

    def test_a_queue_that_is_not_there(self):
        self.publisher.channel.queue_delete(self.queue)
        node = self.enterContext(node_of(self.rabbit, queues=(self.queue, "other")))
        node.wait_log("amqp_queue_lost .*code=404")
        self.assertEqual(node.api("GET", "/readyz")[1]["degraded"], ["amqp"])
        self.publisher.queue("other")
        self.publisher.queue(self.queue)
        wait_until("both are consumed",
                   lambda: is_up(node, self.queue) and is_up(node, "other"))
        wait_until("all is well", lambda: "degraded" not in node.api("GET", "/readyz")[1])
        self.publisher.channel.queue_delete(self.queue)
        wait_until("it is lost", lambda: not is_up(node, self.queue))
        till = self.client(node, "till")
        self.publisher.send("other", {"to": "till", "data": 1})
        self.assertEqual(till.hear_message()["data"], 1)
        self.publisher.queue(self.queue)
        wait_until("it is found again", lambda: is_up(node, self.queue))
        self.send({"to": "till", "data": 2})
        self.assertEqual(till.hear_message()["data"], 2)

    def test_declares(self):
        self.publisher.channel.queue_delete(self.queue)
        with node_of(self.rabbit, "--amqp-declare", "quorum", queues=(self.queue,)) as node:
            wait_until("it is consumed", lambda: is_up(node, self.queue))
        with node_of(self.rabbit, "--amqp-declare", "classic", queues=(self.queue,)) as node:
            node.wait_log("amqp_queue_lost .*code=406")
        with node_of(self.rabbit, "--amqp-declare", "off", queues=(self.queue,)) as node:
            wait_until("it is consumed", lambda: is_up(node, self.queue))

    def test_a_drain_settles_or_gives_back(self):
        node = self.node("--ack-backlog", "1", "--ack-silence", "60")
        self.send({"to": "away", "ack": True, "data": 1})
        self.send({"to": "away", "ack": True, "data": 2})
        wait_until("one is held",
                   lambda: node.metric("ringpost_amqp_held", queue=self.queue) == 1)
        node.signal(signal.SIGTERM)
        self.assertEqual(node.wait_exit(), 0)
        self.assertEqual(json.loads(self.publisher.get(self.queue)[1])["data"], 2)
        self.assertIsNone(self.publisher.get(self.queue))

    def test_a_drain_of_a_queue_that_was_consumed_for_long(self):
        """The broker has 10 s to answer the cancel, from the cancel on."""
        node = self.node()
        time.sleep(10.5)
        node.signal(signal.SIGTERM)
        self.assertEqual(node.wait_exit(), 0)
        self.assertNotIn("amqp_lost", node.log())

    def test_refused_is_published_with_the_reason(self):
        dead = self.queue + ".dead"
        self.publisher.channel.exchange_declare(self.queue, "fanout")
        node = self.node("--amqp-refused", self.queue)
        self.send(b"no JSON", {"mine": ["kept", {"deep": 1}]}, message_id="m1", content_type="x/y",
                  app_id="app")
        wait_until("it is degraded", lambda: node.api("GET", "/readyz")[1].get("degraded"))
        self.publisher.queue(dead)
        self.publisher.channel.queue_bind(dead, self.queue)
        wait_until("it has left", lambda: self.publisher.length(dead) == 1)
        properties, body = self.publisher.get(dead)
        self.assertEqual(body, b"no JSON")
        self.assertEqual((properties.message_id, properties.content_type, properties.app_id),
                         ("m1", "x/y", "app"))
        headers = properties.headers
        self.assertEqual(headers["mine"], ["kept", {"deep": 1}])
        self.assertEqual((headers["x-ringpost-code"], headers["x-ringpost-queue"],
                          headers["x-ringpost-offset"]), ("bad_json", self.queue, 1))
        self.assertIn("x-ringpost-time", headers)
        self.wait_settled(node, refused=1)
        wait_until("all is well", lambda: "degraded" not in node.api("GET", "/readyz")[1])
        for body in (b"[]", b"{}", b"x" * 200000):
            self.send(body)
        self.wait_settled(node, refused=4)
        self.assertEqual(self.publisher.length(dead), 3)

    def test_who_asks_is_told(self):
        """By direct reply-to, and by a queue of the producer's own."""
        node = self.node("--amqp-replies", f"direct,{self.queue}.answers")
        till = self.client(node, "till")
        answers = self.queue + ".answers"
        self.publisher.queue(answers)
        self.send({"to": "till", "ack": True, "data": 1}, reply_to=answers, correlation_id="c1",
                  message_id="m1")
        message = till.hear_message()
        self.assertEqual(message["id"], "m1")

        def answer():
            got = wait_until("an answer", lambda: self.publisher.get(answers))
            return got[0].type, got[0].correlation_id, got[0].message_id, json.loads(got[1])
        self.assertEqual(answer(), ("ringpost.result", "c1", "m1", {
            "status": 202, "id": "m1", "state": "queued", "recipients": 1}))
        till.say(type="ack", id="m1")
        kind, correlation, _, fate = answer()
        self.assertEqual((kind, correlation, fate["id"], fate["state"]),
                         ("ringpost.fate", "c1", "m1", "acked"))
        self.assertEqual(node.api("GET", "/v1/messages/m1")[1], fate)
        told = []
        channel = self.publisher.connection.channel()
        channel.basic_consume("amq.rabbitmq.reply-to", lambda _, __, properties, body: told.append(
            (properties.correlation_id, json.loads(body))), auto_ack=True)
        channel.basic_publish("", self.queue, json.dumps({"to": "nobody", "id": "m2"}),
                              pika.BasicProperties(reply_to="amq.rabbitmq.reply-to",
                                                   correlation_id="c2"))

        def is_told():
            self.publisher.connection.process_data_events(0)
            return told
        wait_until("it is told", is_told)
        self.assertEqual(told, [("c2", {"status": 404, "id": "m2", "state": "absent",
                                        "recipients": 0})])
        # To a queue that is consumed here, or is not allowed, nothing goes.
        self.send({"to": "nobody"}, reply_to=self.queue)
        self.send({"to": "nobody"}, reply_to="elsewhere")
        self.wait_settled(node, acknowledged=4)
        self.assertEqual(node.metric("ringpost_amqp_replies_total"), 3)

    def test_outcomes_of_all_messages_are_published(self):
        self.publisher.channel.exchange_declare(self.queue, "direct", durable=True)
        for state in ("acked", "expired"):
            self.publisher.queue(f"{self.queue}.{state}")
            self.publisher.channel.queue_bind(f"{self.queue}.{state}", self.queue, state)
        node = self.node("--amqp-results", self.queue)
        till = self.client(node, "till")
        self.send({"to": "till", "ack": True, "id": "m1"})
        self.assertEqual(node.message(to="till", ack=True, id="m2")[0], 202)
        self.assertEqual(node.message(to=["away"], ack=True, id="m3", ttl=0.05)[0], 202)
        for _ in range(2):
            till.say(type="ack", id=till.hear_message()["id"])

        def outcomes(state):
            queue = f"{self.queue}.{state}"
            got = wait_until("an outcome", lambda: self.publisher.get(queue))
            fate = json.loads(got[1])
            self.assertEqual((got[0].type, got[0].message_id, got[0].delivery_mode, fate["state"]),
                             ("ringpost.fate", fate["id"], 2, state))
            return fate["id"]
        self.assertEqual({outcomes("acked"), outcomes("acked")}, {"m1", "m2"})
        self.assertEqual(outcomes("expired"), "m3")
        wait_until("all are confirmed", lambda: node.metric("ringpost_amqp_results_total") == 3)

    def by_tls(self, host, ca, *flags):
        if not self.tls:
            self.skipTest("openssl is not there")
        return Node("--amqp", f"amqps://{host}:{self.rabbit.tls_port}", "--amqp-ca",
                    self.rabbit.path(ca), "--amqp-queue", self.queue, *flags)

    def test_tls(self):
        with self.by_tls("localhost", "ca.pem") as node:
            wait_until("the queue is consumed", lambda: is_up(node, self.queue))
            with JsonClient(node, "till") as till:
                for number in range(100):
                    self.send({"to": "till", "data": ["x" * 10000, number]})
                for number in range(100):
                    self.assertEqual(till.hear_message()["data"][1], number)
            self.wait_settled(node, acknowledged=100)
        for host, ca in (("127.0.0.1", "ca.pem"), ("localhost", "other.pem")):
            with self.by_tls(host, ca) as node:
                node.wait_log("amqp_lost .*(verif|handshake|SSL)")
                self.assertEqual(node.metric("ringpost_amqp_connected"), 0)

    def test_tls_with_a_certificate_of_its_own(self):
        def own(name):
            return ("--amqp-cert", self.rabbit.path(f"{name}.pem"), "--amqp-key",
                    self.rabbit.path("key.pem"))
        with self.by_tls("localhost", "ca.pem", *own("till")) as node:
            wait_until("the queue is consumed", lambda: is_up(node, self.queue))
            self.assertIn("CN=till", self.rabbit.control("list_connections", "peer_cert_subject"))
        with self.by_tls("localhost", "ca.pem", *own("stranger")) as node:
            node.wait_log("amqp_lost ")
            self.assertEqual(node.metric("ringpost_amqp_connected"), 0)

    def test_tls_with_a_certificate_that_has_expired(self):
        with self.by_tls("localhost", "ca.pem") as node:
            wait_until("the queue is consumed", lambda: is_up(node, self.queue))
        shutil.copyfile(self.rabbit.path("server.pem"), self.rabbit.path("good.pem"))
        self.rabbit.certificate("expired")
        try:
            with self.by_tls("localhost", "ca.pem") as node:
                node.wait_log("amqp_lost .*(verif|handshake|SSL|expired)")
                self.assertEqual(node.metric("ringpost_amqp_connected"), 0)
        finally:
            self.rabbit.certificate("good")
