"""A team moves from a node.js consumer of its queue: the publisher stays as it is, and pages with
old and new clients of Socket.IO get the objects that they got."""

import contextlib
import json
import subprocess
import unittest

import redis_server
from rabbit_server import HAVE, Rabbit
from redis_server import Redis
from support import DEADLINE_S, Node, wait_until
from test_sio_clients import HERE, MODULES, NODE_JS, WHY_NOT, Client

QUEUE = "socket_push"
PACKAGE = MODULES / "amqplib"


class Publisher:
    """A program of others, with amqplib."""

    def __init__(self, rabbit):
        self.process = subprocess.Popen(
            [NODE_JS, str(HERE / "npm" / "amqp_publish.js"), str(MODULES), rabbit.url(), QUEUE],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.sent = 0
        self.says("ready")

    def says(self, wanted):
        line = self.process.stdout.readline()
        assert line == wanted + "\n", f"the publisher says {line!r} instead of {wanted}"

    def send(self, message):
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()
        self.sent += 1
        self.says(f"sent {self.sent}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(DEADLINE_S)
        self.process.stdout.close()


@unittest.skipUnless(HAVE, "rabbitmq-server or python3-pika is not there")
@unittest.skipUnless(redis_server.HAVE, "there is no redis-server")
@unittest.skipIf(WHY_NOT, WHY_NOT)
@unittest.skipUnless(PACKAGE.exists(), "amqplib is not there (./dev test installs it)")
class Move(unittest.TestCase):
    def page(self, node, version, name):
        """A page with that client, which registers as pages of the old server did."""
        client = self.enterContext(Client(version))
        client.open("http://%s:%d" % node.address("web"), transports=["websocket"])
        client.wait(got="connect", **{"as": "a"})
        self.assertEqual(client.call("register", {"socketId": name, "groupFlag": "shop"}),
                         [{"ok": True}])
        return client

    def test_pages_get_what_they_got(self):
        rabbit = self.enterContext(Rabbit())
        redis = self.enterContext(Redis())
        publisher = self.enterContext(Publisher(rabbit))
        first = self.enterContext(Node("--node", "a", "--redis", redis.url(), "--amqp",
                                       rabbit.url(), "--amqp-queue", QUEUE))
        second = self.enterContext(Node("--node", "b", "--redis", redis.url()))
        wait_until("the queue is consumed", lambda: first.metric(
            "ringpost_amqp_consuming", queue=QUEUE) == 1)
        wait_until("the nodes know each other", lambda: second.metric(
            "ringpost_redis_nodes") == 1)
        pages = [(self.page(node, version, f"page-{number}"), f"page-{number}")
                 for number, (node, version) in enumerate(
                     [(first, 1), (first, 4), (second, 1), (second, 4)])]
        # `data` is a text of JSON, as the old publisher wrote it; pages get what it says.
        for is_volatile in (True, False):
            for page, name in pages:
                message = {"socketSessionId": name, "isVolatile": is_volatile, "type": "pay",
                           "data": json.dumps({"amount": 12, "text": "\u20ac"})}
                publisher.send(message)
                self.assertEqual(page.message()[0], [
                    {**message, "data": {"amount": 12, "text": "\u20ac"}}])
        message = {"socketSessionId": "", "socketGroupFlag": "shop", "isVolatile": False,
                   "data": "no JSON"}
        publisher.send(message)
        for page, _ in pages:
            self.assertEqual(page.message()[0], [message])
        wait_until("all have left the queue", lambda: first.metric(
            "ringpost_amqp_settled_total", queue=QUEUE, how="acknowledged") == publisher.sent)
        with contextlib.closing(rabbit.connect()) as connection:
            left = connection.channel().queue_declare(QUEUE, passive=True).method.message_count
        self.assertEqual(left, 0)


if __name__ == "__main__":
    unittest.main()
