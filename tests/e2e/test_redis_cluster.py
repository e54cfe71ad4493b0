"""Redis Cluster: channels are spread over its shards, and followed wherever they go."""

import json
import threading
import unittest

from redis_cluster import RedisCluster, slot_of
from redis_server import HAVE, NodesTest, Redis, live_on, missed, ready
from support import JsonClient, Node, run, wait_until


class Shards(NodesTest):
    """A Cluster of its own for each test, and two nodes."""

    replicas = 0

    def setUp(self):
        if not HAVE:
            self.skipTest("there is no redis-server")
        self.redis = self.enterContext(RedisCluster(self.replicas, password="s3cret"))
        self.a, self.b = self.nodes = [
            self.enterContext(Node("--node", name, "--redis", self.redis.url()))
            for name in ("a", "b")]
        self.wait_all()

    def wait_all(self):
        wait_until("the nodes know each other, and all shards", lambda: all(
            node.metric("ringpost_redis_nodes") == 1 and
            node.metric("ringpost_redis_connected") == 3 and
            node.metric("ringpost_redis_shards") == 3 for node in self.nodes))

    def names_on(self, kind, count=2):
        """So many names on each shard."""
        found = {node.port: [] for node in self.redis.primaries()}
        owners = self.redis.owners(self.redis.alive()[0])
        for i in range(10000):
            at = found[owners[slot_of(f"ringpost:{kind}:{kind}{i}")]]
            if len(at) < count:
                at.append(f"{kind}{i}")
            if all(len(names) == count for names in found.values()):
                return [name for names in found.values() for name in names]
        raise AssertionError("the channels are not spread")

    def on(self, node, kind="id", number=0):
        """A name whose channel that node has."""
        owners = self.redis.owners(node)
        found = [f"{kind}{i}" for i in range(10000)
                 if owners[slot_of(f"ringpost:{kind}:{kind}{i}")] == node.port]
        return found[number]

    def reached(self, name, client):
        """Until it is again, without a word that it is absent; what comes on the way is heard."""
        def once():
            status, answer, _ = self.a.message(to=name, data="again")
            assert answer.get("state") != "absent", answer
            return status == 202 and answer["recipients"] == 1
        wait_until(f"{name} is reached", once)
        self.assertEqual(client.hear_message()["data"], "again")


class Messages(Shards):
    def test_messages(self):
        ids, groups = self.names_on("id"), self.names_on("group")
        clients = {name: self.client(self.b, name, groups) for name in ids}
        here = self.client(self.a, "here", [groups[0]])
        for number, name in enumerate(ids):
            self.assertEqual(self.result(self.a, to=name, data=number), (202, "queued", 1))
            self.assertEqual(self.result(self.a, to=f"{name}-not", data=0), (404, "absent", 0))
        self.assertEqual(self.result(self.a, to=ids, data="ids"), (202, "queued", 6))
        self.assertEqual(self.result(self.a, group=groups, data="groups"), (202, "queued", 7))
        self.assertEqual(self.result(self.a, broadcast=True, data="all"), (202, "queued", 2))
        many = [*ids, *(f"nobody{i}" for i in range(20))]
        self.assertEqual(self.result(self.a, to=many, data="many"), (202, "queued", 1))
        self.assertEqual(self.result(self.a, to=ids, data="end"), (202, "queued", 6))
        for number, name in enumerate(ids):
            heard = [clients[name].hear_message()["data"] for _ in range(6)]
            self.assertEqual(sorted(map(str, heard)),
                             sorted(map(str, [number, "ids", "groups", "all", "many", "end"])))
        self.assertEqual({here.hear_message()["data"] for _ in range(2)}, {"groups", "all"})
        self.assertEqual(missed(self.nodes), 0)
        for node in self.nodes:
            self.assertEqual(ready(node), {"status": "ready"})
            self.assertNotIn("s3cret", node.log())

    def test_acks_and_calls(self):
        ids, groups = self.names_on("id"), self.names_on("group")
        clients = {name: self.client(self.b, name, groups) for name in ids}
        for name in ids:
            answers = []
            asks = threading.Thread(target=lambda to=name, into=answers: into.append(
                self.a.push(to, "kept", "?ack=1&wait=ack")))
            asks.start()
            message = clients[name].hear_message()
            clients[name].say(type="ack", id=message["id"])
            asks.join()
            self.assertEqual(answers[0][1]["state"], "acked", answers)
            status, seen, _ = self.a.api("GET", f"/v1/clients/{name}")
            self.assertEqual((status, [one["node"] for one in seen["sessions"]]), (200, ["b"]))
            self.assertNotIn("cluster", seen)
        for group in groups:
            def counted():
                members = self.a.api("GET", f"/v1/groups/{group}")[1]
                if "cluster" in members:  # the other node had no CPU for a second, and that is said
                    return False
                self.assertEqual(members["count"], 6)
                return True
            wait_until("all nodes have answered", counted)

    def test_a_program_publishes(self):
        name = self.on(self.redis.nodes[1])
        client = self.client(self.b, name)
        channel = f"ringpost:id:{name}"
        said = json.dumps({"data": 7})
        self.assertEqual(self.redis.at(channel).ask("SPUBLISH", channel, said), 1)
        self.assertEqual(client.hear_message()["data"], 7)


class Moves(Shards):
    def test_slots_that_move(self):
        """One by one, with who is there and who publishes unaware, and back."""
        source, to = self.redis.nodes[:2]
        for name, kind, client in (
                (self.on(source), "id", None), (self.on(source, "group"), "group", None)):
            channel = f"ringpost:{kind}:{name}"
            client = self.client(self.b, name) if kind == "id" else self.client(
                self.b, "member", [name])
            for there in (to, source):
                self.redis.move(slot_of(channel), there)
                wait_until("it is subscribed there", lambda there=there, channel=channel: there.ask(
                    "PUBSUB", "SHARDNUMSUB", channel)[1] == 1)
                if kind == "id":
                    self.reached(name, client)
                else:
                    wait_until("the group is reached", lambda name=name: self.result(
                        self.a, group=name, data="again") == (202, "queued", 1))
                    self.assertEqual(client.hear_message()["data"], "again")
            client.close()
        self.assertGreater(sum(node.metric("ringpost_redis_moved_total") for node in self.nodes), 0)
        self.assertEqual(sum(node.metric("ringpost_redis_lost_total") for node in self.nodes), 0)

    def test_what_is_for_all_moves(self):
        client = self.client(self.b, "x")
        to = self.redis.nodes[0]
        if self.redis.at("ringpost:all") is to:
            to = self.redis.nodes[1]
        self.redis.move(slot_of("ringpost:all"), to)
        wait_until("both have subscribed there", lambda: to.ask(
            "PUBSUB", "SHARDNUMSUB", "ringpost:all")[1] == 2)
        wait_until("it is published there", lambda: self.result(
            self.a, broadcast=True, data="all") == (202, "queued", 1))
        self.assertEqual(client.hear_message()["data"], "all")
        live_on(to, self.nodes, "SSUBSCRIBE")

    def test_reshard_under_traffic(self):
        """Whatever is answered `queued` with a node that took it has come, once."""
        source, to = self.redis.nodes[:2]
        slots = sorted(slot for slot, port in self.redis.owners(source).items()
                       if port == source.port)[:60]  # the first that redis-cli takes
        names = [f"id{i}" for i in range(100000)
                 if slot_of(f"ringpost:id:id{i}") in set(slots)][:20]
        clients = [self.client(self.b, name) for name in names]
        answers, ends = [], threading.Event()

        def produce():
            number = 0
            while not ends.is_set():
                number += 1
                name = names[number % len(names)]
                status, answer, _ = self.a.message(to=name, data=number)
                answers.append((name, number, status, answer))
        producer = threading.Thread(target=produce)
        producer.start()
        try:
            self.redis.reshard(source, to, len(slots))
            wait_until("all are subscribed there", lambda: all(to.ask(
                "PUBSUB", "SHARDNUMSUB", f"ringpost:id:{name}")[1] == 1 for name in names))
            before = len(answers)
            wait_until("messages flow", lambda: len(answers) > before + 200)
        finally:
            ends.set()
            producer.join()
        for name, client in zip(names, clients, strict=True):
            self.reached_last(name, client, [one for one in answers if one[0] == name])
        for name, _, status, answer in answers:
            self.assertIn(status, (202, 503), answer)
            if status == 503:
                self.assertEqual(answer["error"]["code"], "cluster_unavailable")
        self.assertTrue(all(status == 202 for _, _, status, _ in answers[-100:]))

    def test_a_shard_without_slots(self):
        """It is one no more, and nobody waits for it."""
        source, to = self.redis.nodes[:2]
        name = self.on(source)
        client = self.client(self.b, name)
        slots = [slot for slot, port in self.redis.owners(source).items() if port == source.port]
        self.redis.give(slots, to)
        wait_until("it is a shard no more", lambda: all(
            node.metric("ringpost_redis_shards") == 2 for node in self.nodes))
        self.reached(name, client)
        wait_until("all is well", lambda: all(
            ready(node) == {"status": "ready"} for node in self.nodes))

    def reached_last(self, name, client, answers):
        self.assertEqual(self.a.message(to=name, data="last")[0], 202)
        heard = []
        while (data := client.hear_message()["data"]) != "last":
            heard.append(data)
        self.assertEqual(heard, sorted(set(heard)))
        taken = {number for _, number, status, answer in answers
                 if status == 202 and answer["recipients"] == 1}
        # What was taken by the old place as the slot left it may have been lost with it, which the
        # node that missed it cannot know.
        self.assertLessEqual(len(taken - set(heard)), 1)
        maybe = {number for _, number, status, answer in answers if status == 503}
        self.assertLessEqual(set(heard) - taken, maybe)


class Failover(Shards):
    replicas = 1

    def test_a_primary_is_killed(self):
        victim = self.redis.primaries()[0]
        name = self.on(victim)
        others = [self.on(node) for node in self.redis.primaries()[1:]]
        clients = {one: self.client(self.b, one) for one in (name, *others)}
        self.assertEqual(self.result(self.a, to=name, data=1), (202, "queued", 1))
        self.assertEqual(clients[name].hear_message()["data"], 1)
        victim.kill()
        answers = [self.a.message(to=name, data="while") for _ in range(3)]
        for status, answer, _ in answers:
            self.assertEqual((status, answer["error"]["code"]), (503, "cluster_unavailable"))
        for one in others:
            self.assertEqual(self.result(self.a, to=one, data="here"), (202, "queued", 1))
            self.assertEqual(clients[one].hear_message()["data"], "here")
        self.reached(name, clients[name])
        self.wait_all()
        for node in self.nodes:
            wait_until("all is well", lambda node=node: ready(node) == {"status": "ready"})
        victim.start()  # as a replica
        wait_until("it has come back", lambda: any(
            port == victim.port and "slave" in flags
            for _, port, flags, _ in self.redis.lines(victim)))
        self.reached(name, clients[name])

    def test_a_replica_is_told_to_take_over(self):
        victim = self.redis.primaries()[0]
        name = self.on(victim)
        client = self.client(self.b, name)
        ident = self.redis.id_of(victim)
        replica = next(node for node in self.redis.nodes if any(
            "myself" in flags and words == [] and ident in node.ask("CLUSTER", "NODES")
            .split("myself,slave ")[-1].split(" ")[0] for _, _, flags, words
            in self.redis.lines(node)))
        wait_until("it may take over", lambda: replica.ask("CLUSTER", "FAILOVER") == "OK")
        wait_until("it has the slots", lambda: replica.port in
                   self.redis.owners(replica).values())
        self.reached(name, client)
        self.wait_all()


@unittest.skipUnless(HAVE, "there is no redis-server")
class Refused(unittest.TestCase):
    def test_settings(self):
        for words, status, why in (
                (("--redis", "redis+cluster://h", "--redis", "redis://h2"), 2, "may be repeated"),
                (("--redis", "redis+cluster://h,"), 2, "has no host"),
                (("--redis", "redis+cluster://h/1"), 2, "has one database"),
                (("--redis", "redis+cluster://h", "--socketio-redis-key", "socket.io"), 1,
                 "no place in a Redis Cluster"),
                (("--redis", "redis+cluster://no-such-host.invalid"), 1, "without an address")):
            with self.subTest(why=why):
                got, _, said = run(["serve", "--api", "127.0.0.1:0", *words])
                self.assertEqual(got, status, said)
                self.assertIn(why, said)

    def test_a_server_that_is_no_cluster(self):
        with Redis() as redis, Node(
                "--redis", redis.url().replace("redis://", "redis+cluster://")) as node:
            node.wait_log("event=redis_lost .*cluster support disabled")
            self.assertEqual(ready(node)["degraded"], ["redis"])
            with JsonClient(node, "x") as client:
                self.assertEqual(node.message(to="x", data=1)[0], 202)
                self.assertEqual(client.hear_message()["data"], 1)
            self.assertEqual(node.message(to="y", data=1)[0], 503)


if __name__ == "__main__":
    unittest.main()
