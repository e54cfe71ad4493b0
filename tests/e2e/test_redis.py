"""Several nodes and one Redis: what is pushed to one node reaches clients of all."""

import base64
import json
import subprocess
import threading
import unittest

from redis_server import HAVE, NodesTest, Redis, cluster, missed, node_of
from streams import Stream
from support import SANITIZED, CountedClient, JsonClient, wait_until
from test_sio import Polls, Sio
from ws_client import WebSocket

FLAGS = ("--namespaces", "/,/admin", "--steer", "tuple")
ODD = "a\u2028b\u2029c\u0000\"\\/\U0001F600é"


class Shared(NodesTest):
    """One Redis with the nodes a, b and c for all tests of a class."""

    names = ("a", "b", "c")

    @classmethod
    def setUpClass(cls):
        if not HAVE:
            raise unittest.SkipTest("there is no redis-server")
        cls.redis = cls.enterClassContext(Redis())
        cls.nodes = cls.enterClassContext(cluster(cls.redis, *cls.names, flags=FLAGS))
        cls.a, cls.b = cls.nodes[:2]


class Addresses(Shared):
    def setUp(self):
        self.c = self.nodes[2]
        self.x = self.client(self.b, "x", ["g1", "g2", "g3"])
        self.y = self.client(self.c, "y", ["g1"])
        self.here = self.client(self.a, "here", ["g1"])

    def tearDown(self):
        for client in (self.x, self.y, self.here):
            client.close()
        wait_until("they are gone everywhere", lambda: not [
            one for one in self.redis.ask("PUBSUB", "CHANNELS", "ringpost:*")
            if ":id:" in one or ":group:" in one])

    def end(self):
        """Nothing else came to anybody."""
        self.assertEqual(self.result(self.a, to=["x", "y", "here"], data="end")[:2],
                         (202, "queued"))
        for client in (self.x, self.y, self.here):
            self.hears(client, "end")

    def test_ids(self):
        self.assertEqual(self.result(self.a, to="x", data=1), (202, "queued", 1))
        self.assertEqual(self.result(self.a, to=["x", "y"], data=2), (202, "queued", 2))
        self.assertEqual(self.result(self.a, to=["here", "y", "z"], data=3), (202, "queued", 2))
        self.assertEqual(self.result(self.b, to="x", data=4), (202, "queued", 1))
        self.assertEqual(self.result(self.c, to=["x", "here"], data=5), (202, "queued", 2))
        self.hears(self.x, 1, 2, 4, 5)
        self.hears(self.y, 2, 3)
        self.hears(self.here, 3, 5)
        self.end()

    def test_several_sessions_of_an_id(self):
        """Sessions here are counted, other nodes are."""
        more = [self.client(self.b, "x") for _ in range(3)] + [self.client(self.a, "x")
                                                              for _ in range(2)]
        self.assertEqual(self.result(self.a, to="x", data=1), (202, "queued", 3))
        self.assertEqual(self.result(self.b, to="x", data=2), (202, "queued", 5))
        self.assertEqual(self.result(self.c, to="x", data=3), (202, "queued", 2))
        for client in (self.x, *more):  # messages of several nodes have no order between them
            self.assertEqual(sorted(client.hear_message()["data"] for _ in range(3)), [1, 2, 3])
            client.close()

    def test_groups(self):
        self.assertEqual(self.result(self.a, group="g1", data=1), (202, "queued", 3))
        # Two copies to the node of x, so that counts twice; x gets one.
        self.assertEqual(self.result(self.a, group=["g2", "g3"], data=2), (202, "queued", 2))
        self.assertEqual(self.result(self.a, to="x", group=["g1", "g2"], data=3),
                         (202, "queued", 5))
        self.assertEqual(self.result(self.c, group="nobody", data=4), (202, "queued", 0))
        self.hears(self.x, 1, 2, 3)
        self.hears(self.y, 1, 3)
        self.hears(self.here, 1, 3)
        self.end()
        self.assertGreaterEqual(self.b.metric("ringpost_redis_repeated_total"), 3)
        self.assertEqual(missed(self.nodes), 0)

    def test_the_group_that_is_told(self):
        self.a.message(group="g1", data=1)
        self.a.message(group=["g1", "g2"], data=2)
        self.assertEqual(self.x.hear_message()["group"], "g1")
        self.assertEqual(self.x.hear_message()["group"], ["g1", "g2"])
        self.hears(self.y, 1, 2)
        self.hears(self.here, 1, 2)

    def test_broadcast_and_except(self):
        self.assertEqual(self.result(self.a, broadcast=True, data=1), (202, "queued", 3))
        self.assertEqual(self.result(self.a, broadcast=True, except_=["x"], data=2)[:2],
                         (202, "queued"))
        self.assertEqual(self.result(self.a, group="g1", except_=["y", "here"], data=3)[:2],
                         (202, "queued"))
        self.hears(self.x, 1, 3)
        self.hears(self.y, 1, 2)
        self.hears(self.here, 1, 2)
        self.end()

    def test_more_than_sixteen_addresses(self):
        """They go once to all nodes, and these are counted, whoever is there."""
        before = self.a.metric("ringpost_redis_published_total")
        some = [f"n{i}" for i in range(15)]
        self.assertEqual(self.result(self.a, to=[*some, "x", "here"], data=1),
                         (202, "queued", 3))
        self.assertEqual(self.result(self.a, to=[*some, "z1", "z2"], data=2),
                         (202, "queued", 2))
        self.assertEqual(self.result(self.a, group=["g1", *some, "g2"], data=3)[:2],
                         (202, "queued"))
        self.assertEqual(self.a.metric("ringpost_redis_published_total") - before, 3)
        self.assertEqual(self.result(self.a, to=[*some, "y"], data=4), (202, "queued", 1))
        self.assertEqual(self.a.metric("ringpost_redis_published_total") - before, 19)
        self.hears(self.x, 1, 3)
        self.hears(self.y, 3, 4)
        self.hears(self.here, 1, 3)
        self.end()

    def test_absent_and_dropped(self):
        self.assertEqual(self.result(self.a, to="z", data=1), (404, "absent", 0))
        self.assertEqual(self.result(self.a, to=["z", "zz"], data=1), (404, "absent", 0))
        self.assertEqual(self.result(self.a, to="z", data=1, volatile=True), (202, "dropped", 0))
        self.assertEqual(self.result(self.a, group="z", data=1, volatile=True),
                         (202, "dropped", 0))
        self.assertEqual(self.result(self.a, to="x", data=1, volatile=True), (202, "queued", 1))
        self.hears(self.x, 1)
        self.x.close()
        wait_until("x is gone", lambda: self.result(self.a, to="x", data=2)[0] == 404)
        self.x = self.client(self.c, "x", ["g1", "g2"])
        self.assertEqual(self.result(self.a, to="x", data=3), (202, "queued", 1))
        self.hears(self.x, 3)
        self.end()

    def test_an_id_is_remembered_where_it_was_asked_for(self):
        self.assertEqual(self.a.message(to="x", id="m1", data=1)[1]["state"], "queued")
        again = self.a.message(to="x", id="m1", data=1)[1]
        self.assertEqual((again["state"], again["first"]["recipients"]), ("duplicate", 1))
        self.assertEqual(self.x.hear_message()["id"], "m1")
        self.end()

    def test_groups_that_are_joined_later(self):
        self.assertEqual(self.b.api("PUT", "/v1/groups/late/clients/x")[1], {"sessions": 1})
        wait_until("the group is known", lambda: self.result(
            self.a, group="late", data=1)[2] == 1)
        self.hears(self.x, 1)
        self.b.api("DELETE", "/v1/groups/late/clients/x")
        wait_until("it is not any more", lambda: self.result(
            self.a, group="late", data=2)[2] == 0)
        self.end()

    def test_what_stands_in_redis(self):
        """A program that subscribes sees the message, and counts as a node."""
        with self.redis.connect() as program:
            self.assertEqual(program.ask("SUBSCRIBE", "ringpost:id:z")[0], "subscribe")
            self.assertEqual(self.result(self.a, to=["z", "x"], event="e", ttl=60, id="m9",
                                         data={"odd": ODD}), (202, "queued", 2))
            kind, channel, text = program.reply()
        self.assertEqual((kind, channel), ("message", "ringpost:id:z"))
        message = json.loads(text)
        ttl = message.pop("ttl")
        self.assertTrue(55 < ttl <= 60.001, ttl)
        self.assertEqual(set(message.pop("node")), {"run", "n", "p", "s", "e"})
        self.assertEqual(set(message.pop("to")), {"x", "z"})
        self.assertEqual(message, {"id": "m9", "event": "e", "data": {"odd": ODD}})
        self.hears(self.x, {"odd": ODD})


class Framings(Shared):
    names = ("a", "b")

    def push(self, data, **more):
        self.assertEqual(self.result(self.a, to="till", data=data, **more), (202, "queued", 1))

    def push_bytes(self, data):
        status, answer, _ = self.a.api("POST", "/v1/clients/till?raw=1&event=raw", data)
        self.assertEqual((status, answer["state"], answer["recipients"]), (202, "queued", 1))

    def check(self, client, hear):
        """`hear` gives event and data, bytes as such."""
        raw = bytes(range(256)) * 3
        self.addCleanup(client.close)
        self.push({"text": ODD}, event="e")
        self.push_bytes(raw)
        self.push("x" * 65000)
        self.push([1], volatile=True)
        self.assertEqual(hear(), ("e", {"text": ODD}))
        self.assertEqual(hear(), ("raw", raw))
        self.assertEqual(hear(), ("message", "x" * 65000))
        self.assertEqual(hear(), ("message", [1]))
        client.close()
        wait_until("it is gone", lambda: self.a.message(to="till", data=0)[0] == 404)

    @staticmethod
    def of_object(message):
        data = message["data"]
        if message.get("encoding") == "base64":
            data = base64.b64decode(data)
        return message["event"], data

    def test_lines(self):
        client = JsonClient(self.b, "till")
        self.check(client, lambda: self.of_object(client.hear_message()))

    def test_counted(self):
        client = CountedClient(self.b, "till")

        def hear():
            _, event, flags, payload = client.hear_message()
            return event, payload if "b" in flags else json.loads(payload)
        self.check(client, hear)

    def test_websocket(self):
        client = WebSocket(self.b, "/ws?id=till")
        self.check(client, lambda: self.of_object(client.hear()))

    def test_events(self):
        client = Stream(self.b, "till")

        def hear():
            event, data = client.message()[1:]
            return event, base64.b64decode(data) if event == "raw" else data
        self.check(client, hear)

    def test_socketio_websocket(self):
        client = Sio(self.b, connect='0{"id":"till"}')

        def hear():
            packet = client.packet()
            if packet.startswith("51-"):
                event, place = json.loads(packet[3:])[:2]
                self.assertTrue(place["_placeholder"])
                return event, client.attachment()
            return tuple(json.loads(packet[1:])[:2])
        self.check(client, hear)

    def test_socketio_polling(self):
        for eio in (3, 4):
            client = Polls(self.b, eio=eio)
            client.close = lambda one=client: one.say("1")
            if eio == 4:
                client.say('0{"id":"till"}')
            client.poll()
            if eio == 3:
                client.say('20["register",{"id":"till"}]')
                client.poll()
            self.push({"text": "e"}, event="e")
            self.push("x" * 65000)
            packets = []
            while len(packets) < 2:
                packets += client.poll()
            self.assertEqual([json.loads(one[1:])[:2] for one in packets],
                             [["e", {"text": "e"}], ["message", "x" * 65000]])
            client.close()
            wait_until("it is gone", lambda: self.a.message(to="till", data=0)[0] == 404)

    def test_namespaces(self):
        """Channels are those of ids, whatever the namespace; a node counts all the same."""
        with Sio(self.b, connect='0/admin,{"id":"till","groups":["g"]}') as client:
            self.assertEqual(self.result(self.a, to="till", namespace="/admin", data=1),
                             (202, "queued", 1))
            self.assertEqual(self.result(self.a, to="till", data=2), (202, "queued", 1))
            self.assertEqual(self.result(self.a, group="g", namespace="/admin", data=3),
                             (202, "queued", 1))
            self.a.message(broadcast=True, namespace="/admin", data=4)
            self.a.message(broadcast=True, data=5)
            self.a.message(to="till", namespace="/admin", data=6)
            for data in (1, 3, 4, 6):
                self.assertEqual(json.loads(client.packet()[len("2/admin,"):])[1], data)


class Order(Shared):
    def test_it_is_kept_for_each_producer_and_address(self):
        count = 300 if SANITIZED else 2000
        x = self.client(self.nodes[2], "x", ["g"])

        def produce(node, name):
            for start in range(0, count, 100):
                node.api("POST", "/v1/messages", [
                    {**({"to": "x"} if i % 3 else {"group": "g"}), "data": [name, i]}
                    for i in range(start, start + 100)])
        producers = [threading.Thread(target=produce, args=(node, name))
                     for node, name in zip(self.nodes, self.names)]
        for producer in producers:
            producer.start()
        came = {name: {0: [], 1: []} for name in self.names}
        for _ in range(count * len(producers)):
            name, i = x.hear_message()["data"]
            came[name][1 if i % 3 else 0].append(i)
        for producer in producers:
            producer.join()
        for name in self.names:
            self.assertEqual(came[name][0], [i for i in range(count) if i % 3 == 0])
            self.assertEqual(came[name][1], [i for i in range(count) if i % 3])
        self.assertTrue(x.silent())
        self.assertEqual(missed(self.nodes), 0)


class Programs(Shared):
    """Whoever can reach Redis may publish."""

    names = ("a", "b")

    def setUp(self):
        self.x = self.client(self.b, "x", ["g"])
        self.other = self.client(self.a, "other", ["g"])

    def tearDown(self):
        for client in (self.x, self.other):
            client.close()

    def publish(self, channel, text):
        return self.redis.publish("ringpost:" + channel,
                                  text if isinstance(text, (str, bytes)) else json.dumps(text))

    def test_the_command_line(self):
        done = subprocess.run(
            ["redis-cli", "-p", str(self.redis.port), "publish", "ringpost:id:x",
             '{"event":"payment","data":{"a":1.50}}'], capture_output=True, check=True)
        self.assertEqual(done.stdout.strip(), b"1")
        line = self.x.line()
        self.assertIn(b'"event":"payment"', line)
        self.assertIn(b'"data":{"a":1.50}', line)

    def test_what_is_taken(self):
        before = self.b.metric("ringpost_messages_total")
        for message in ({}, {"to": "x"}, {"to": ["x"]}, {"ttl": 5}, {"volatile": True},
                        {"ack": False}, {"id": "same"}, {"id": "same"}, {"event": None},
                        {"node": None}, {"except": ["nobody"]}):
            self.assertEqual(self.publish("id:x", {**message, "data": 1}), 1)
            heard = self.x.hear_message()
            self.assertEqual((heard["data"], heard.get("id", "same")[:4], heard.get("group")),
                             (1, heard["id"][:4], None))
        for message in ({}, {"group": "g"}, {"group": ["g"]}, {"except": ["y"]}):
            self.assertEqual(self.publish("group:g", {**message, "data": 2}), 2)
            heard = self.x.hear_message()
            self.assertEqual((heard["data"], heard["group"]), (
                2, ["g"] if message.get("group") == ["g"] else "g"))
            self.assertEqual(self.other.hear_message()["data"], 2)
        for message in ({}, {"broadcast": True}):
            self.assertEqual(self.publish("all", {**message, "data": 3}), 2)
            self.assertEqual(self.x.hear_message()["data"], 3)
            self.assertEqual(self.other.hear_message()["data"], 3)
        self.publish("group:g", {"except": ["x"], "data": 4})
        self.assertEqual(self.other.hear_message()["data"], 4)
        self.publish("id:x", {"data": "end"})
        self.assertEqual(self.x.hear_message()["data"], "end")
        self.assertEqual(self.b.metric("ringpost_messages_total"), before)

    def refused(self):
        return {name: self.b.metric("ringpost_redis_refused_total", reason=name)
                for name in ("channel", "bad_json", "bad_message", "too_large", "address", "ack",
                             "node", "overloaded", "draining")}

    def test_what_is_refused(self):
        cases = [("address", "id:x", {"to": "y"}), ("address", "id:x", {"to": ["x", "y"]}),
                 ("address", "id:x", {"to": "x", "group": "g"}),
                 ("address", "id:x", {"group": "x"}), ("address", "id:x", {"broadcast": True}),
                 ("address", "id:x", {"broadcast": False}),
                 ("address", "group:g", {"group": "h"}), ("address", "group:g", {"to": "g"}),
                 ("address", "group:g", {"group": ["g", "h"]}),
                 ("address", "group:g", {"broadcast": True}),
                 ("address", "all", {"broadcast": False}), ("address", "all", {"to": "x"}),
                 ("address", "all", {"broadcast": True, "group": "g"}),
                 ("ack", "id:x", {"ack": True}),
                 ("node", "id:x", {"node": {}}), ("node", "id:x", {"node": {"run": 1}}),
                 ("node", "all", {"node": {"name": "me", "lives": True}}),
                 ("bad_message", "id:x", {"node": 5}), ("bad_message", "id:x", {"datum": 5}),
                 ("bad_message", "id:x", {"ttl": -1}),
                 ("bad_message", "id:x", {"volatile": True, "ack": True}),
                 ("bad_message", "id:x", {"namespace": "/nowhere"}),
                 ("too_large", "id:x", {"data": "x" * 5000000})]
        cases = [(reason, channel, json.dumps({"data": 1, **message}))
                 for reason, channel, message in cases]
        cases += [("bad_json", "id:x", "hello"), ("bad_json", "id:x", ""),
                  ("bad_json", "id:x", '{"data":1'), ("bad_json", "id:x", '{"data":1} 2'),
                  ("bad_json", "id:x", b'{"data":"\xff"}'), ("bad_message", "id:x", "[]")]
        received = self.b.metric("ringpost_redis_received_total")
        for reason, channel, text in cases:
            with self.subTest(reason=reason, channel=channel, text=text[:80]):
                before = self.refused()
                took = self.publish(channel, text)
                self.assertEqual(took, 2 if channel in ("all", "group:g") else 1)
                wait_until("it is counted", lambda: self.refused() != before)
                self.assertEqual(self.refused(), {**before, reason: before[reason] + 1})
        self.assertEqual(self.b.metric("ringpost_redis_received_total"), received)
        self.publish("id:x", {"data": "end"})
        self.assertEqual(self.x.hear_message()["data"], "end")
        self.assertTrue(self.other.silent())
        self.assertIn("event=redis_message_refused reason=address", self.b.log())

    def test_the_channels_of_nodes_are_theirs(self):
        channels = self.redis.ask("PUBSUB", "CHANNELS", "ringpost:node:*")
        self.assertEqual(len(channels), 2)
        for channel in channels:
            self.assertEqual(self.redis.publish(channel, '{"data":1}'), 1)
        wait_until("both have refused it", lambda: all(node.metric(
            "ringpost_redis_refused_total", reason="channel") == 1 for node in self.nodes))
        self.assertTrue(self.x.silent())

    def test_what_nobody_listens_to(self):
        for channel in ("id:z", "group:z", "", "al", "allx", "id:", "elsewhere"):
            self.assertEqual(self.publish(channel, '{"data":1}'), 0)


class Statistics(unittest.TestCase):
    @unittest.skipUnless(HAVE, "there is no redis-server")
    def test_they_tell_of_redis_and_the_nodes(self):
        with Redis() as redis, cluster(redis, "a", "b") as (a, b), JsonClient(a, "x", ["g"]):
            told = a.api("GET", "/v1/stats")[1]
            self.assertEqual((told["redis"]["connected"], told["redis"]["nodes"],
                              told["redis"]["names"], told["redis"]["lost_total"]), (1, 1, 2, 0))
            self.assertFalse([name for name in told["redis"] if name.startswith("redis")])
            self.assertEqual([(one["node"], one.get("self")) for one in told["nodes"]],
                             [("a", True), ("b", None)])
            self.assertEqual(told["nodes"][1]["run"],
                             b.api("GET", "/v1/stats")[1]["nodes"][0]["run"])


class Prefixes(unittest.TestCase):
    @unittest.skipUnless(HAVE, "there is no redis-server")
    def test_two_clusters_do_not_meet(self):
        with Redis() as redis, node_of(redis, "a", "--redis-prefix", "one:") as a, \
                node_of(redis, "a", "--redis-prefix", "one:two:") as b, \
                JsonClient(a, "x", ["g"]) as one, JsonClient(b, "x", ["g"]) as two:
            self.assertEqual({name for name in redis.ask("PUBSUB", "CHANNELS")
                              if ":node:" not in name},
                             {f"{p}{n}" for p in ("one:", "one:two:")
                              for n in ("id:x", "group:g", "all")})
            for node in (a, b):
                self.assertEqual(node.message(to="x", data=1)[1]["recipients"], 1)
                self.assertEqual(node.message(group="g", data=2)[1]["recipients"], 1)
                self.assertEqual(node.message(broadcast=True, data=3)[1]["recipients"], 1)
            for client in (one, two):
                self.assertEqual([client.hear_message()["data"] for _ in range(3)], [1, 2, 3])
                self.assertTrue(client.silent())
            self.assertEqual(a.metric("ringpost_redis_nodes"), 0)
            self.assertNotIn("redis_node", a.log() + b.log())


if __name__ == "__main__":
    unittest.main()
