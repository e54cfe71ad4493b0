"""What calls itself a Redis Cluster says whatever it likes: nothing spins, and nobody notices."""

import itertools
import time
import unittest

from redis_liar import Close, Liar, confirmed, polite
from redis_server import ready
from support import JsonClient, Node, run, wait_until

HALVES = ("0-8191", "8192-16383")


def text(said):
    return b"$%d\r\n%s\r\n" % (len(said), said.encode())


def line(number, port, slots, epoch=1, flags="master"):
    return f"n{number} 127.0.0.1:{port}@1 {flags} - 0 0 {epoch} connected {slots}\n"


def a_map(*liars, epoch=1):
    return "".join(line(number, liar.port, slots, epoch)
                   for number, (liar, slots) in enumerate(zip(liars, HALVES, strict=True)))


class Nodes:
    """Two nodes of a Cluster that answer as a test says."""

    def __init__(self, answers=None, says=None):
        self.answers, self.says = answers or {}, says
        self.looks = 0
        self.liars = [Liar(lambda words, number=number: self.answer(number, words))
                      for number in range(2)]
        self.url = "redis+cluster://" + ",".join(
            f"127.0.0.1:{liar.port}" for liar in self.liars)

    def map(self):
        return a_map(*self.liars)

    def answer(self, number, words):
        word = words[0].upper()
        if word in self.answers:
            return self.answers[word](self, number, words)
        if word == b"PUBSUB":
            return b"*0\r\n" if len(words) == 2 else b"*2\r\n" + text(
                words[2].decode()) + b":0\r\n"
        if word == b"CLUSTER":
            self.looks += 1
            said = self.says(self) if self.says else self.map()
            return said if isinstance(said, bytes) else text(said)
        if word in (b"SSUBSCRIBE", b"SUNSUBSCRIBE"):
            return confirmed(word, words[1:])
        if word == b"SPUBLISH":
            return b":0\r\n"
        return polite(words)

    def commands(self):
        return sum(liar.commands for liar in self.liars)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for liar in self.liars:
            liar.__exit__()


def moved(cluster, number, _):
    return b"-MOVED 1 127.0.0.1:%d\r\n" % cluster.liars[1 - number].port


class Lies(unittest.TestCase):
    def goes_on(self, node, seconds=2):
        """Its own clients notice nothing."""
        with JsonClient(node, "x", ["g"]) as client:
            end = time.monotonic() + seconds
            for number in itertools.count():
                status, answer, _ = node.message(to="x", data=number)
                self.assertEqual(status, 202, answer)
                self.assertEqual(client.hear_message()["data"], number)
                time.sleep(0.02)
                if time.monotonic() > end:
                    return number

    def test_moved_and_moved_again(self):
        with Nodes({b"SSUBSCRIBE": moved, b"SPUBLISH": moved}) as cluster, \
                Node("--redis", cluster.url) as node:
            wait_until("both are up", lambda: node.metric("ringpost_redis_connected") == 2)
            looks, commands = cluster.looks, cluster.commands()
            messages = self.goes_on(node, 3)
            self.assertLess(cluster.looks - looks, 25)
            # Each message once; names, words, looks and greetings.
            self.assertLess(cluster.commands() - commands, messages + 300)
            self.assertGreater(node.metric("ringpost_redis_moved_total"), 3)
            status, answer, _ = node.message(to="elsewhere", data=1)
            self.assertEqual((status, answer["error"]["code"]), (503, "cluster_unavailable"))
            self.assertEqual(node.metric("ringpost_redis_lost_total"), 0)

    def test_a_map_that_always_changes(self):
        def says(cluster):
            liars = cluster.liars if cluster.looks % 2 else cluster.liars[::-1]
            return a_map(*liars, epoch=cluster.looks)
        with Nodes({b"SSUBSCRIBE": moved}, says) as cluster, Node("--redis", cluster.url) as node:
            looks = cluster.looks
            self.goes_on(node, 3)
            self.assertLess(cluster.looks - looks, 25)

    def test_maps_that_are_none(self):
        good = line(0, 7001, "0-16383")
        for said in ("", "noise", good.replace("16383", "16382"), good + good,
                     good.replace("master", "slave"), good.replace("127.0.0.1", "host"),
                     good.replace("7001", "0"), "x" * (2 << 20),
                     "".join(line(i, 7000 + i, f"{i}") for i in range(200)),
                     b":7\r\n", b"*0\r\n", b"$-1\r\n", b"+OK\r\n", b"-ERR no\r\n", b"$5\r\nab",
                     b"noise\r\n"):
            with self.subTest(said=said[:40]), \
                    Nodes(says=lambda _, said=said: said) as cluster, \
                    Node("--redis", cluster.url, "--memory", "64M") as node:
                node.wait_log("event=redis_(lost|map_refused) ")
                self.goes_on(node, 0.3)
                self.assertEqual(ready(node), {"status": "ready", "degraded": ["redis"]})
                self.assertEqual(node.metric("ringpost_redis_shards"), 0)
                self.assertLess(len(node.log().splitlines()), 60)

    def test_the_one_before_stays(self):
        def says(cluster):
            return cluster.map() if cluster.looks == 1 else "noise"

        def gone(cluster, _, words):
            if cluster.looks == 1:
                raise Close  # so that the map is looked at
            return confirmed(words[0], words[1:])
        with Nodes({b"SSUBSCRIBE": gone}, says) as cluster, Node("--redis", cluster.url) as node:
            wait_until("a map was refused", lambda: node.metric(
                "ringpost_redis_maps_refused_total") > 0)
            wait_until("both are up", lambda: node.metric("ringpost_redis_connected") == 2)
            self.assertEqual(node.metric("ringpost_redis_shards"), 2)

    def test_an_older_map(self):
        """A node that was cut off knows less than what is known."""
        def says(cluster):
            return cluster.map() if cluster.looks == 1 else line(0, 1, "0-16383", 0)
        with Nodes({b"SPUBLISH": moved}, says) as cluster, Node("--redis", cluster.url) as node:
            wait_until("it was refused", lambda: node.metric(
                "ringpost_redis_maps_refused_total") > 0)
            node.wait_log("event=redis_map_refused .*older than what is known")
            # If nobody knows better, it counts after all.
            wait_until("it is taken", lambda: node.metric("ringpost_redis_shards") == 1)

    def test_what_nobody_asked_for(self):
        """Subscriptions that were never there are ended, and those that are, without end."""
        def noise(cluster, _, words):
            ended = b"".join(confirmed(b"SUNSUBSCRIBE", [one]) for one in
                             (b"ringpost:id:x", b"ringpost:id:never", b"ringpost:all", b"other"))
            return confirmed(words[0], words[1:]) + ended
        with Nodes({b"SSUBSCRIBE": noise}) as cluster, Node("--redis", cluster.url) as node:
            looks, commands = cluster.looks, cluster.commands()
            messages = self.goes_on(node, 3)
            self.assertLess(cluster.looks - looks, 25)
            self.assertLess(cluster.commands() - commands, 3 * messages + 400)

    def test_an_older_redis(self):
        def unknown(_, __, ___):
            return b"-ERR Unknown subcommand or wrong number of arguments for 'SHARDNUMSUB'\r\n"
        with Nodes({b"PUBSUB": unknown}) as cluster:
            status, _, said = run(["serve", "--api", "127.0.0.1:0", "--redis", cluster.url])
            self.assertEqual(status, 1)
            self.assertIn("Redis Cluster older than 7.0", said)

    def test_replicas_that_say_nothing(self):
        """A primary that is none any more does not make anybody absent."""
        roles = {"now": b"master"}

        def role(_, __, ___):
            return b"*3\r\n$%d\r\n%s\r\n:0\r\n*0\r\n" % (len(roles["now"]), roles["now"])
        with Nodes({b"ROLE": role}) as cluster, Node("--redis", cluster.url) as node:
            wait_until("both are up", lambda: node.metric("ringpost_redis_connected") == 2)
            self.assertEqual(node.message(to="y", data=1)[0], 404)
            roles["now"] = b"slave"
            self.assertEqual(node.message(to="y", data=1)[0], 503)
            node.wait_log("event=redis_lost .*it has become a replica")


if __name__ == "__main__":
    unittest.main()
