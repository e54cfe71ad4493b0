"""Messages with `ack` that one node keeps, for clients of another: once, in order, again after
silence, settled from there; and what becomes of them when a node, a client or Redis goes."""

import json
import signal
import threading
import unittest

from redis_server import HAVE, Redis, cluster, hear_after, node_of
from stored import Data
from support import SANITIZED, CountedClient, JsonClient, wait_until
from test_ack import Acks, fate, hear, ids, pending, push, push_many
from test_sio import Sio
from ws_client import WebSocket

SILENCE_S = 1
FLAGS = ("--ack-silence", str(SILENCE_S))
PATIENT = ("--ack-silence", "600")


class Several(Acks):
    """One Redis with the nodes a and b for all tests of a class."""

    flags = PATIENT

    @classmethod
    def setUpClass(cls):
        if not HAVE:
            raise unittest.SkipTest("there is no redis-server")
        cls.redis = cls.enterClassContext(Redis())
        cls.a, cls.b = cls.enterClassContext(cluster(cls.redis, "a", "b", flags=cls.flags))

    def client(self, node, client_id="till"):
        client = JsonClient(node, client_id)
        self.addCleanup(client.close)
        return client

    def state(self, message_id, node=None):
        return fate(node or self.a, message_id)["state"]

    def becomes(self, message_id, state, node=None):
        wait_until(f"{message_id} is {state}", lambda: self.state(message_id, node) == state)

    def settled_everywhere(self):
        """No node has anything left, of its own or lent."""
        for node in (self.a, self.b):
            wait_until("nothing is pending", lambda node=node: pending(node) == 0)
            wait_until("nothing is lent", lambda node=node: node.metric(
                "ringpost_redis_lent") == 0)


class Delivered(Several):
    def tearDown(self):
        self.settled_everywhere()

    def test_there(self):
        till = self.client(self.b)
        answer = push(self.a, "till", 1, id="d1", event="payment")
        self.assertEqual((answer["state"], answer["recipients"]), ("queued", 1))
        self.assertEqual(till.hear_message(), {
            "type": "message", "id": "d1", "event": "payment", "data": 1, "ack": True})
        self.assertEqual(self.state("d1"), "pending")
        till.say(type="ack", id="d1")
        self.becomes("d1", "acked")

    def test_nobody_and_both(self):
        self.assertEqual(push(self.a, "nobody", 1, id="n1", ttl=1)["state"], "stored")
        here, there = self.client(self.a, "both"), self.client(self.b, "both")
        self.assertEqual(push(self.a, "both", 1, id="n2")["recipients"], 2)
        for client in (here, there):
            self.assertEqual(client.hear_message()["id"], "n2")
        there.say(type="ack", id="n2")
        self.becomes("n2", "acked")
        self.becomes("n1", "expired")
        # Settled for both: one that comes does not hear it.
        self.assertEqual(push(self.b, "both", 2, id="n3")["recipients"], 2)
        self.assertEqual(self.client(self.b, "both").hear_message()["id"], "n3")
        for client in (here, there):
            self.assertEqual(hear_after(client, "n2"), "n3")
        here.say(type="ack", id="n3")
        self.becomes("n3", "acked", self.b)

    def test_waiting(self):
        till = self.client(self.b)
        answers = []
        producer = threading.Thread(target=lambda: answers.append(self.a.api(
            "POST", "/v1/clients/till?ack=1&id=w1&wait=ack&timeout=10", "1")))
        producer.start()
        self.assertEqual(till.hear_message()["id"], "w1")
        till.say(type="ack", id="w1")
        producer.join()
        self.assertEqual((answers[0][0], answers[0][1]["state"]), (200, "acked"))

    def test_several_ids(self):
        tills = [self.client(node, name) for node, name in ((self.a, "s1"), (self.b, "s2"),
                                                            (self.b, "s3"))]
        push(self.a, ["s1", "s2", "s3"], 1, id="m")
        for till in tills:
            self.assertEqual(till.hear_message()["id"], "m")
        for till in tills[1:]:
            till.say(type="ack", id="m")
        wait_until("two have acknowledged it", lambda: fate(self.a, "m")["to"] == {
            "s1": "pending", "s2": "acked", "s3": "acked"})
        tills[0].say(type="ack", id="m")
        self.becomes("m", "acked")

    def test_in_order_and_once(self):
        count = 200 if SANITIZED else 1000
        till = self.client(self.b)
        for start in range(0, count, 100):
            push_many(self.a, [{"to": "till", "id": f"o{n}"} for n in range(start, start + 100)])
        for n in range(count):
            message = till.hear_message()
            self.assertEqual(message["id"], f"o{n}")
            till.say(type="ack", id=message["id"])
        self.becomes(f"o{count - 1}", "acked")

    def test_taken_back(self):
        till = self.client(self.b)
        push(self.a, "till", 1, id="t1")
        self.assertEqual(till.hear_message()["id"], "t1")
        self.assertEqual(self.a.api("DELETE", "/v1/messages/t1")[1]["state"], "dropped")
        till.say(type="ack", id="t1")  # too late
        till.close()
        push(self.a, "till", 2, id="t2")
        till = self.client(self.b)
        self.assertEqual(till.hear_message()["id"], "t2")
        till.say(type="ack", id="t2")
        self.becomes("t2", "acked")
        self.assertEqual(self.state("t1"), "dropped")

    def test_acknowledged_by_who_does_not_have_it(self):
        till, other = self.client(self.b), self.client(self.b, "other")
        push(self.a, "till", 1, id="f1")
        self.assertEqual(till.hear_message()["id"], "f1")
        other.say(type="ack", id="f1")
        push(self.a, "other", 1, id="f2")
        self.assertEqual(other.hear_message()["id"], "f2")
        self.assertEqual(self.state("f1"), "pending")
        other.say(type="ack", id="f2")
        till.say(type="ack", id="f1")
        self.becomes("f1", "acked")

    def test_other_transports(self):
        counted = CountedClient(self.b, "till")
        self.addCleanup(counted.close)
        push(self.a, "till", [1], id="c1")
        self.assertEqual(counted.hear_message()[0], "c1")
        counted.send("ACK c1\r\n")
        self.becomes("c1", "acked")
        counted.close()
        with WebSocket(self.b, "/ws?id=web") as web:
            push(self.a, "web", [1], id="c2")
            self.assertEqual(web.hear()["id"], "c2")
            web.say(type="ack", id="c2")
            self.becomes("c2", "acked")
        with Sio(self.b, connect='0{"id":"sio"}') as sio:
            push(self.a, "sio", [1], id="c3", event="e")
            packet = sio.packet()  # 2<number>["e",[1]]
            number, data = packet[1:packet.index("[")], packet[packet.index("["):]
            self.assertEqual(json.loads(data), ["e", [1]])
            sio.say_packet(f"3{number}[]")
            self.becomes("c3", "acked")


class Comes(Several):
    def tearDown(self):
        self.settled_everywhere()

    def test_what_it_missed_in_order(self):
        answers = push_many(self.a, [{"to": "late", "id": f"l{n}"} for n in range(20)])
        self.assertEqual({answer["state"] for answer in answers}, {"stored"})
        till = self.client(self.b, "late")
        self.assertEqual(ids(hear(till, 20)), [f"l{n}" for n in range(20)])
        till.say(type="ack", ids=[f"l{n}" for n in range(20)])
        self.becomes("l19", "acked")

    def test_it_moves(self):
        """Again and again, before it has acknowledged: it is told that it may have had it."""
        push(self.a, "moves", 1, id="v1")
        for turn, node in enumerate((self.b, self.a, self.b, self.b, self.a)):
            till = self.client(node, "moves")
            message = till.hear_message()
            self.assertEqual(message["id"], "v1")
            if turn != 0:
                self.assertIs(message["redelivered"], True)
            till.close()
        till = self.client(self.b, "moves")
        self.assertEqual(till.hear_message()["id"], "v1")
        till.say(type="ack", id="v1")
        self.becomes("v1", "acked")

    def test_two_nodes_keep_for_it(self):
        push(self.a, "two", 1, id="a1")
        push(self.b, "two", 1, id="b1")
        push(self.a, "two", 2, id="a2")
        till = self.client(self.b, "two")
        heard = ids(hear(till, 3))
        self.assertEqual(sorted(heard), ["a1", "a2", "b1"])
        self.assertLess(heard.index("a1"), heard.index("a2"))
        till.say(type="ack", ids=heard)
        for node, name in ((self.a, "a1"), (self.a, "a2"), (self.b, "b1")):
            self.becomes(name, "acked", node)


class Silence(Several):
    flags = FLAGS

    def test_again(self):
        till = self.client(self.b)
        push(self.a, "till", 1, id="q1")
        self.assertEqual(till.hear_message()["id"], "q1")
        self.assertEqual(till.hear_message()["redelivered"], True)
        till.say(type="ack", id="q1")
        self.becomes("q1", "acked")
        self.settled_everywhere()


class Away(Acks):
    """Somebody goes while messages are under way."""

    def setUp(self):
        if not HAVE:
            self.skipTest("there is no redis-server")
        self.redis = self.enterContext(Redis())

    def test_redis(self):
        with cluster(self.redis, "a", "b", flags=PATIENT) as (a, b), \
                JsonClient(b, "till") as till:
            self.redis.kill()
            wait_until("it is noticed", lambda: a.metric("ringpost_redis_connected") == 0)
            answer = push(a, "till", 1, id="r1")
            self.assertEqual((answer["state"], answer["cluster"]), ("stored", "unavailable"))
            self.redis.restart()
            self.assertEqual(till.hear_message()["id"], "r1")
            till.say(type="ack", id="r1")
            wait_until("it is settled", lambda: fate(a, "r1")["state"] == "acked")

    def test_an_acknowledgement_while_redis_is_away(self):
        with cluster(self.redis, "a", "b", flags=FLAGS) as (a, b), JsonClient(b, "till") as till:
            push(a, "till", 1, id="k1")
            self.assertEqual(till.hear_message()["id"], "k1")
            self.redis.kill()
            wait_until("it is noticed", lambda: b.metric("ringpost_redis_connected") == 0)
            till.say(type="ack", id="k1")
            wait_until("it is settled there", lambda: b.metric("ringpost_redis_lent") == 0)
            self.redis.restart()
            wait_until("it is settled", lambda: fate(a, "k1")["state"] == "acked")
            till.say(type="ping")
            self.assertEqual(till.hear()["type"], "pong")  # and was not told again

    def test_the_node_of_the_client(self):
        with node_of(self.redis, "a", *FLAGS) as a:
            with node_of(self.redis, "b", *FLAGS) as b:
                till = JsonClient(b, "till")
                push(a, "till", 1, id="g1")
                self.assertEqual(till.hear_message()["id"], "g1")
                b.kill()
                b.process.returncode = 0  # as it was meant
                till.close()
                with JsonClient(a, "till") as again:
                    self.assertEqual(again.hear_message(), {
                        "type": "message", "id": "g1", "event": "message", "data": 1,
                        "ack": True, "redelivered": True})
                    again.say(type="ack", id="g1")
                    wait_until("it is settled", lambda: fate(a, "g1")["state"] == "acked")

    def test_the_node_that_keeps_it_with_a_store(self):
        data = Data("--store", "disk", "--redis", self.redis.url(), "--node", "a", *FLAGS)
        self.addCleanup(data.folder.cleanup)
        self.addCleanup(lambda: [node.kill() for node in data.nodes])
        with node_of(self.redis, "b", *FLAGS) as b, JsonClient(b, "till") as till:
            a = data.node()
            wait_until("they know each other", lambda: a.metric("ringpost_redis_nodes") == 1)
            push(a, "till", 1, id="z1")
            self.assertEqual(till.hear_message()["id"], "z1")
            a.signal(signal.SIGKILL)
            a.process.wait()
            a = data.node()
            message = till.hear_message()
            self.assertEqual((message["id"], message["redelivered"]), ("z1", True))
            till.say(type="ack", id="z1")

            def look():
                """The next run of a may lend it once more: the client says so again."""
                till.say(type="ping")
                while till.hear()["type"] != "pong":
                    till.say(type="ack", id="z1")
                return fate(a, "z1")["state"] == "acked"
            wait_until("it is settled", look)
            wait_until("nothing is lent", lambda: b.metric("ringpost_redis_lent") == 0)
            a.stop()

    def test_the_client_forever(self):
        """What was lent to its node ends there, and with its ttl where it is kept."""
        with cluster(self.redis, "a", "b", flags=FLAGS) as (a, b):
            till = JsonClient(b, "till")
            push(a, "till", 1, id="x1", ttl=3)
            self.assertEqual(till.hear_message()["id"], "x1")
            till.close()
            wait_until("it has expired", lambda: fate(a, "x1")["state"] == "expired")
            wait_until("nothing is lent", lambda: b.metric("ringpost_redis_lent") == 0)
            self.settled(a)


if __name__ == "__main__":
    unittest.main()
