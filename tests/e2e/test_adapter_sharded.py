"""The same seat among stock servers that have the sharded adapter, in the mode that they have
unless they say another, and in the one in which all of them hear everything."""

import json
import unittest

import test_adapter
from redis_server import Redis
from support import JsonClient, Node, run, wait_until

FLAGS = (*test_adapter.FLAGS, "--socketio-redis-adapter", "sharded")


class Sharded:
    mode = ("dynamic",)
    flags = FLAGS
    ways = ("emit",)

    @classmethod
    def servers(cls):
        return cls.redis.ask("PUBSUB", "SHARDNUMSUB", "key#/#")[1]


class FromServers(Sharded, test_adapter.FromServers):
    def test_a_room_has_a_channel(self):
        """For as long as somebody is in it; in each namespace."""
        def heard():
            return {name for name in self.redis.ask("PUBSUB", "SHARDCHANNELS", "key#*")
                    if "#sale-" in name}
        with JsonClient(self.a, "seller", ["sale-1", "sale-2"]) as seller:
            self.assertEqual(heard(), {f"key#{nsp}#sale-{number}#" for nsp in ("/", "/admin")
                                       for number in (1, 2)})
            self.stock.do("emit", event="e", args=[1], rooms=["sale-2"])
            self.assertEqual(seller.hear_message()["data"], 1)
        wait_until("they are given up", lambda: not heard())
        self.end()

    def test_rooms_as_long_as_ids(self):
        """Servers take these for ids of sockets, which have no channel."""
        name = "twenty-characters-ab"
        with JsonClient(self.a, "long", [name]) as long:
            self.stock.do("emit", event="e", args=[1], rooms=[name])
            self.assertEqual(long.hear_message()["data"], 1)
        self.end()


class FromStaticServers(Sharded, test_adapter.FromServers):
    mode = ("static",)


class ToServers(Sharded, test_adapter.ToServers):
    pass


class Requests(Sharded, test_adapter.Requests):
    test_requests_of_version_6 = None  # there was no such adapter


class Seat(Sharded, test_adapter.Seat):
    pass


class Hostile(Sharded, test_adapter.Shared):
    def test_whatever_comes(self):
        """Nothing that is published there ends a node, or what it says to servers."""
        event = {"type": 3, "uid": "u", "nsp": "/",
                 "data": {"packet": {"type": 2, "data": ["e", 7]}, "opts": {"rooms": []}}}
        lies = [b"", b"{", b"{}", b"[]", b"\xc1", b"\x93\xa1u\x80\x80", b"\x84\xa4type",
                b'{"type":3,"data":' + b"[" * 1000, b'{"type":3,"nsp":"/","data":{}}',
                b'{"type":1e999}', b"\x81\xa4type\x03\xc0", b"z" * 65535, bytes(range(256))]
        asked = [b'{"type":14,"nsp":"/"}', b'{"type":6,"nsp":"/","data":{}}',
                 b'{"type":4,"nsp":"/","data":{"opts":{},"rooms":5}}',
                 b'{"type":7,"nsp":"/","uid":"u","data":{"requestId":"q","opts":{"rooms":["'
                 + b'a","' * 2000 + b'"]}}}']
        with test_adapter.cluster(self.redis, "c", flags=(
                "--redis-prefix", "other:", "--socketio-redis-key", "lies",
                "--socketio-redis-adapter", "sharded")) as (node,):
            with self.redis.connect() as redis:
                for text in (*lies, *asked):
                    for channel in "lies#/#", "lies#/#nobody#", "lies#/", "lies#/none#":
                        redis.ask("SPUBLISH", channel, text)
                till = self.own(JsonClient(node, "t"))
                redis.ask("SPUBLISH", "lies#/#", json.dumps(event))
                self.assertEqual(till.hear_message()["data"], 7)
            refused = {reason: node.metric(test_adapter.METRIC + "refused_total", reason=reason)
                       for reason in ("bad_packet", "bad_request", "unknown_request", "rooms")}
            self.assertEqual(refused, {"bad_packet": 13, "bad_request": 2, "unknown_request": 1,
                                       "rooms": 1})
            self.assertEqual(node.metric("ringpost_redis_lost_total"), 0)

    def test_more_requests_than_at_once(self):
        """Each is answered, to whoever asked alone."""
        count = 1000
        with self.redis.connect() as hears, self.redis.connect() as redis:
            hears.ask("SSUBSCRIBE", "key#/#asker#")
            for number in range(count):
                redis.send("SPUBLISH", "key#/#", json.dumps(
                    {"type": 7, "uid": "asker", "nsp": "/",
                     "data": {"requestId": f"q{number}", "opts": {"rooms": [], "except": []}}}))
            answers = {}
            while len(answers) < count or any(len(one) < 3 for one in answers.values()):
                answer = json.loads(hears.reply()[2])
                self.assertEqual((answer["type"], answer["nsp"]), (8, "/"))
                answers.setdefault(answer["data"]["requestId"], set()).add(answer["uid"])
        self.assertEqual(len({uid for one in answers.values() for uid in one}), 3)


class Refused(unittest.TestCase):
    def test_settings(self):
        for words, why in (
                (("--redis", "redis://h", "--redis", "redis://h2", "--socketio-redis-key", "k",
                  "--socketio-redis-adapter", "sharded"), "works over one Redis"),
                (("--redis", "redis+cluster://h", "--socketio-redis-key", "k",
                  "--socketio-redis-adapter", "sharded"), "no place in a Redis Cluster"),
                (("--socketio-redis-adapter", "streams"), "none of the words")):
            with self.subTest(why=why):
                status, _, said = run(["serve", "--api", "127.0.0.1:0", *words])
                self.assertNotEqual(status, 0)
                self.assertIn(why, said)

    @unittest.skipIf(test_adapter.WHY_NOT, test_adapter.WHY_NOT)
    def test_a_redis_without_sharded_channels(self):
        """One that is older than 7.0 has no such commands; clients here go on."""
        with Redis("--rename-command", "SSUBSCRIBE", "") as redis, Node(
                "--redis", redis.url(), *FLAGS) as node:
            node.wait_log("event=redis_lost .*SSUBSCRIBE")
            with JsonClient(node, "x") as client:
                self.assertEqual(node.message(to="x", data=1)[0], 202)
                self.assertEqual(client.hear_message()["data"], 1)


if __name__ == "__main__":
    unittest.main()
