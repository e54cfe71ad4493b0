"""RabbitMQ that is killed, hangs, sends the node away or does not let it in; what producers put
into headers to harm it; several nodes on one queue."""

import json
import struct

from rabbit_server import Publisher, frames_publish
from support import Node, wait_until
from test_rabbit import Shared, balance, is_up, node_of, settled


class Faults(Shared):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()

    def test_a_broker_that_is_killed_gives_the_rest_afterwards(self):
        """With ids a node that lived delivers nothing twice."""
        count = 200
        node = self.node("--amqp-prefetch", "20", "--amqp-settle", "acked", "--ack-silence", "60")
        till = self.client(node, "till")
        for number in range(count):
            self.send({"to": "till", "data": number, "ack": True}, delivery_mode=2,
                      message_id=f"m{number}")
        heard = []

        def hear(until):
            while len(heard) < until:
                message = till.hear_message()
                heard.append(message["data"])
                till.say(type="ack", id=message["id"])
        hear(count // 2)
        self.rabbit.kill()
        node.wait_log("amqp_lost")
        self.assertEqual(node.api("GET", "/readyz")[1]["degraded"], ["amqp"])
        self.assertEqual(node.push("other", 1)[0], 404)
        self.rabbit.start()
        wait_until("it consumes again", lambda: is_up(node, self.queue))
        hear(count)
        self.assertEqual(sorted(heard), list(range(count)))
        wait_until("the queue is empty", lambda: not self.left() and node.metric(
            "ringpost_amqp_under_way", queue=self.queue) == 0)

    def left(self):
        with Publisher(self.rabbit) as publisher:
            return publisher.length(self.queue)

    def test_a_broker_that_hangs_costs_its_deliveries_alone(self):
        node = self.node()
        till = self.client(node, "till")
        self.rabbit.pause()
        try:
            for number in range(100):
                self.assertEqual(node.push("till", number)[0], 202)
                self.assertEqual(till.hear_message()["data"], number)
            other = node_of(self.rabbit, queues=(self.queue,))
            self.addCleanup(other.kill)
            other.wait_log("amqp_lost .*does not greet")
        finally:
            self.rabbit.resume()
        self.send({"to": "till", "data": "after"})
        self.assertEqual(till.hear_message()["data"], "after")

    def test_a_hanging_broker_holds_up_no_end(self):
        node = node_of(self.rabbit, queues=(self.queue,))
        self.addCleanup(node.kill)
        wait_until("the queue is consumed", lambda: is_up(node, self.queue))
        self.rabbit.pause()
        try:
            node.stop()
        finally:
            self.rabbit.resume()

    def test_who_is_not_let_in_says_so(self):
        url = f"amqp://guest:hidden@127.0.0.1:{self.rabbit.port}"
        with Node("--amqp", url, "--amqp-queue", self.queue) as node:
            node.wait_log("amqp_lost .*ACCESS_REFUSED")
            self.assertEqual(node.api("GET", "/readyz")[1]["degraded"], ["amqp"])
            self.assertNotIn("hidden", node.log())
        with Node("--amqp", self.rabbit.url(vhost="none"), "--amqp-queue", self.queue) as node:
            node.wait_log("amqp_lost .*(NOT_ALLOWED|not found)")

    def test_a_file_with_the_url(self):
        path = self.rabbit.path("url")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"# the broker\n{self.rabbit.url('guest', 'guest')}\n")
        with Node("--amqp-file", path, "--amqp-queue", self.queue) as node:
            wait_until("the queue is consumed", lambda: is_up(node, self.queue))
            self.assertNotIn("guest", node.log())

    def test_who_is_sent_away_comes_back(self):
        node = self.node("--node", "comes-back")
        till = self.client(node, "till")
        self.assertIn('"comes-back"', self.rabbit.control("list_connections",
                                                          "client_properties"))
        self.rabbit.control("close_all_connections", "gone")
        self.publisher = self.enterContext(Publisher(self.rabbit))
        node.wait_log("amqp_lost .*gone")
        wait_until("it consumes again", lambda: is_up(node, self.queue))
        self.send({"to": "till", "data": 1})
        self.assertEqual(till.hear_message()["data"], 1)

    def test_a_broker_that_does_not_wait_for_a_client(self):
        """consumer_timeout (30 minutes by default) closes the channel of what stays open."""
        for name, usual_ms in (("consumer_timeout", 1800000), ("channel_tick_interval", 60000)):
            command = f"application:set_env(rabbit, {name}, {{}})."
            self.addCleanup(self.rabbit.control, "eval", command.format(usual_ms))
            self.rabbit.control("eval", command.format(1000))
        node = self.node("--amqp-settle", "acked")
        till = self.client(node, "till")
        self.send({"to": "till", "data": 1, "ack": True, "id": "m1"})
        message = till.hear_message()
        self.assertEqual(message["data"], 1)
        node.wait_log("event=amqp.*(consumer_timeout|timed out|timeout)")
        wait_until("it is consumed again", lambda: is_up(node, self.queue))
        till.say(type="ack", id=message["id"])
        wait_until("the queue is empty", lambda: self.publisher.length(self.queue) == 0 and
                   settled(node, "acknowledged", self.queue) == 1)
        self.assertEqual(balance(node, self.queue), 0)

    def test_headers_nested_to_the_bottom(self):
        node = self.node()
        till = self.client(node, "till")
        deep = b""
        for _ in range(25000):
            deep = b"A" + struct.pack(">I", len(deep)) + deep
        table = b"\x02toS" + struct.pack(">I", 4) + b"till" + b"\x01x" + deep
        frames_publish(self.rabbit, self.queue, table, b"1")
        self.assertEqual(till.hear_message()["data"], 1)
        wait_until("it is settled", lambda: settled(node, "acknowledged", self.queue) == 1)

    def test_several_nodes_share_a_queue(self):
        first, second = (self.node("--amqp-prefetch", "1") for _ in range(2))
        one, two = self.client(first, "till"), self.client(second, "till")
        with Publisher(self.rabbit) as publisher:
            for number in range(200):
                publisher.send(self.queue, {"to": "till", "data": number})
        wait_until("all are settled", lambda: settled(first, "acknowledged", self.queue)
                   + settled(second, "acknowledged", self.queue) == 200)
        for node, client in ((first, one), (second, two)):
            count = int(settled(node, "acknowledged", self.queue))
            self.assertGreater(count, 0)
            heard = [client.hear_message()["data"] for _ in range(count)]
            self.assertEqual(heard, sorted(heard))

    def test_publishers_without_pause_lose_nothing(self):
        node = self.node("--amqp-prefetch", "1000")
        till = self.client(node, "till")
        with Publisher(self.rabbit) as publisher:
            publisher.channel = publisher.connection.channel()  # without confirms
            for number in range(5000):
                publisher.send(self.queue, json.dumps({"to": "till", "data": number}))
        for number in range(5000):
            self.assertEqual(till.hear_message()["data"], number)
        self.wait_settled(node, acknowledged=5000)

    def test_a_broker_in_alarm_is_still_told(self):
        """It takes nothing that is published, and gets acknowledgements all the same."""
        self.publisher.queue(self.queue + ".dead")
        self.publisher.channel.exchange_declare(self.queue, "fanout", durable=True)
        self.publisher.channel.queue_bind(self.queue + ".dead", self.queue)
        self.send(b"no JSON")
        for number in range(50):
            self.send({"to": "till", "data": number, "ack": True})
        self.rabbit.control("set_vm_memory_high_watermark", "0")
        try:
            node = self.node("--amqp-refused", self.queue)
            till = self.client(node, "till")
            for number in range(50):
                self.assertEqual(till.hear_message()["data"], number)
            wait_until("they are acknowledged", lambda: settled(
                node, "acknowledged", self.queue) == 50)
            node.wait_log("event=amqp_blocked")
            self.assertEqual(node.api("GET", "/readyz")[1]["degraded"], ["amqp"])
            self.assertEqual(settled(node, "refused", self.queue), 0)
        finally:
            self.rabbit.control("set_vm_memory_high_watermark", "0.4")
        self.wait_settled(node, acknowledged=50, refused=1)
        wait_until("all is well", lambda: "degraded" not in node.api("GET", "/readyz")[1])
