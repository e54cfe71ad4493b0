"""What was lost with a connection to Redis is counted, although nothing comes behind it."""

import contextlib
import json
import os
import signal
import time
import unittest

from redis_server import HAVE, Connection, Redis, cluster, is_up
from support import DEADLINE_S, JsonClient, wait_until

RUN = "00000000000000f0"


class Other:
    """A node that this test plays."""

    def __init__(self, redis):
        self.commands = redis.connect()
        self.words = Connection(redis.port)
        for channel in ("ringpost:all", f"ringpost:node:{RUN}"):
            self.words.ask("SUBSCRIBE", channel)
        self.heard = []
        self.number = 0
        self.say(name="other", lives=True)

    def publish(self, channel, value):
        return self.commands.ask("PUBLISH", f"ringpost:{channel}", json.dumps(value))

    def say(self, channel="all", **word):
        return self.publish(channel, {"node": {"run": RUN, **word}})

    def send(self, to, count, epoch, data):
        self.number += 1
        return self.publish(f"id:{to}", {"node": {
            "run": RUN, "p": self.number, "n": self.number, "s": count, "e": epoch},
            "to": [to], "ttl": 60, "data": data})

    def hear(self, key):
        """The next word of others with that member."""
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end:  # they say every second that they live
            for word in self.heard:
                if key in word:
                    self.heard.remove(word)
                    return word
            _, _, text = self.words.reply()
            self.heard += [word for word in [json.loads(text)["node"]] if word["run"] != RUN]
        raise AssertionError(f"nobody says {key}: {self.heard}")

    def close(self):
        self.commands.close()
        self.words.close()


@contextlib.contextmanager
def beside(redis):
    """A node, and one that the test plays."""
    with cluster(redis, "a") as (a,), contextlib.closing(Other(redis)) as other:
        wait_until("they know each other", lambda: a.metric("ringpost_redis_nodes") == 1)
        yield a, other


def cut(redis, node):
    """Its connections end; it comes back."""
    lost = node.metric("ringpost_redis_lost_total")
    for one in redis.connections("pubsub"):
        redis.ask("CLIENT", "KILL", "ID", one)
    wait_until("it is back", lambda: node.metric("ringpost_redis_lost_total") > lost
               and is_up(node))


@unittest.skipUnless(HAVE, "there is no redis-server")
class Told(unittest.TestCase):
    def test_what_is_lost_is_counted_once(self):
        with Redis() as redis, beside(redis) as (a, other), JsonClient(a, "x") as client:
            other.send("x", 1, 7, "first")
            self.assertEqual(client.hear_message()["data"], "first")
            cut(redis, a)
            word = other.hear("asks_sent")
            self.assertGreaterEqual(word["asks_sent"], 5000)
            # Epoch 8 is of a channel that nobody here has heard.
            for _ in range(2):
                other.say(f"node:{word['run']}", sent=[[7, 5], [8, 9]])
            wait_until("it is counted", lambda: a.metric("ringpost_redis_missed_total"))
            wait_until("it is said", lambda: "event=redis_missed messages=4 channels=1 node=other"
                       in a.log())
            # What comes late after all is delivered, and said to be late.
            other.send("x", 3, 7, "late")
            other.send("x", 6, 7, "next")
            self.assertEqual([client.hear_message()["data"] for _ in "12"], ["late", "next"])
            self.assertEqual(a.metric("ringpost_redis_missed_total"), 4)
            self.assertEqual(a.metric("ringpost_redis_late_total"), 1)

    def test_who_is_back_later_is_asked_too(self):
        """As where Redis was started anew: it has not heard what others asked before."""
        with Redis() as redis, beside(redis) as (a, other), JsonClient(a, "x") as client:
            other.send("x", 1, 7, "first")
            self.assertEqual(client.hear_message()["data"], "first")
            cut(redis, a)
            other.hear("asks_sent")
            other.say(name="other", lives=True, asks_sent=7000)
            word = other.hear("asks_sent")
            self.assertEqual(word["asks_sent"], 7000)
            other.say(f"node:{word['run']}", sent=[[7, 2]])
            wait_until("it is counted", lambda: a.metric("ringpost_redis_missed_total") == 1)

    def test_twice_in_a_row(self):
        """Answers may be lost with the next connection: then it is asked about both times."""
        with Redis() as redis, beside(redis) as (a, other), JsonClient(a, "x"):
            cut(redis, a)
            first = other.hear("asks_sent")["asks_sent"]
            time.sleep(1.5)
            cut(redis, a)
            self.assertGreaterEqual(other.hear("asks_sent")["asks_sent"], first + 1500)

    def test_an_id_that_was_away_has_missed_nothing(self):
        with Redis() as redis, beside(redis) as (a, other):
            for name, epoch in (("x", 1), ("y", 2)):
                with JsonClient(a, name) as client:
                    other.send(name, 1, epoch, "first")
                    self.assertEqual(client.hear_message()["data"], "first")
            wait_until("they have gone", lambda: a.metric("ringpost_redis_names") == 0)
            with JsonClient(a, "x") as client:
                cut(redis, a)
                word = other.hear("asks_sent")
                other.say(f"node:{word['run']}", sent=[[1, 5], [2, 5]])
                other.send("x", 6, 1, "next")
                self.assertEqual(client.hear_message()["data"], "next")
            self.assertEqual(a.metric("ringpost_redis_missed_total"), 0)

    def test_what_is_no_answer(self):
        with Redis() as redis, beside(redis) as (a, other), JsonClient(a, "x") as client:
            other.send("x", 1, 1, "first")
            for word in ({"sent": []}, {"sent": [1, "x", [], [1], [1, "x"], [None, 2], [[1], 2],
                                                 [-1, 2], [1, 1e9], [2 ** 64, 2 ** 64]]},
                         {"sent": [[1, 1000]] * 1000}, {"asks_sent": 2 ** 64 - 1}):
                other.say(**word)
                other.say("id:x", **word)
                other.say(f"node:{'0' * 16}", **word)
            for word in ({"sent": {}}, {"asks_sent": "x"}, {"asks_sent": -1}):
                other.say(**word)
            other.send("x", 1001, 1, "second")
            self.assertEqual([client.hear_message()["data"] for _ in "12"], ["first", "second"])
            self.assertEqual(a.metric("ringpost_redis_missed_total"), 999)
            self.assertEqual(a.metric("ringpost_redis_refused_total", reason="node"), 3)


@unittest.skipUnless(HAVE, "there is no redis-server")
class Asked(unittest.TestCase):
    def test_it_tells_what_it_has_sent_lately(self):
        with Redis() as redis, beside(redis) as (a, other):
            for i in range(3):
                for name in ("x", "y"):
                    a.message(to=name, data=i)
            a.message(broadcast=True, data=1)
            other.say(name="other", lives=True, asks_sent=60000)
            self.assertEqual(sorted(count for _, count in other.hear("sent")["sent"]), [1, 3, 3])
            # The one that has lost a connection may have lost what it had not sent yet.
            self.assertEqual(other.hear("asks_sent")["asks_sent"], 60000)

    def test_of_many_channels(self):
        count = 3000
        with Redis() as redis, beside(redis) as (a, other):
            lines = [{"to": f"c{i}", "data": i} for i in range(count)]
            for at in range(0, count, 1000):
                self.assertEqual(a.api("POST", "/v1/messages", lines[at:at + 1000])[0], 200)
            other.say(name="other", lives=True, asks_sent=60000)
            told = {}
            while len(told) < count * 99 // 100:  # more than four may share their places
                told.update(dict(other.hear("sent")["sent"]))
            self.assertEqual(set(told.values()), {1})


@unittest.skipUnless(HAVE, "there is no redis-server")
class Between(unittest.TestCase):
    def test_what_redis_held_for_a_node_that_it_cut(self):
        """The node stands still, its sockets fill, and what Redis holds for it beyond them is lost
        with its connection."""
        size, count = 60000, 250
        with Redis("--client-output-buffer-limit", "pubsub 0 0 0") as redis, \
                cluster(redis, "a", "b", flags=("--outbox-bytes", "64M")) as (a, b), \
                JsonClient(b, "x") as client:
            self.assertEqual(a.message(to="x", data="first")[0], 202)
            self.assertEqual(client.hear_message()["data"], "first")
            [line] = [one for one in redis.ask("CLIENT", "LIST", "TYPE", "pubsub").splitlines()
                      if "name=ringpost-b " in one]
            os.kill(b.pid, signal.SIGSTOP)
            try:
                for _ in range(count):
                    self.assertEqual(a.message(to="x", data="x" * size)[0], 202)
                redis.ask("CLIENT", "KILL", "ID", line.split("id=")[1].split(" ")[0])
            finally:
                os.kill(b.pid, signal.SIGCONT)
            wait_until("it is counted", lambda: b.metric("ringpost_redis_missed_total"))
            heard = b.metric("ringpost_redis_received_total")
            self.assertGreater(heard, 1)
            self.assertEqual(b.metric("ringpost_redis_missed_total"), count + 1 - heard)
            print(f"{count + 1 - heard} of {count + 1} were lost")
            for _ in range(int(heard) - 1):
                self.assertEqual(len(client.hear_message()["data"]), size)
            self.assertEqual(a.message(to="x", data="last")[0], 202)
            self.assertEqual(client.hear_message()["data"], "last")
            self.assertEqual(b.metric("ringpost_redis_missed_total"), count + 1 - heard)
            self.assertEqual(b.metric("ringpost_redis_late_total"), 0)
