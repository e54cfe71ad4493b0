"""Sentinels say where Redis is, and nodes follow them: when it fails over in each way, when
Sentinels go, and when they lie."""

import contextlib
import itertools
import select
import time
import unittest

from redis_liar import Close, Liar, bulk, garbage, polite
from redis_server import HAVE as HAVE_REDIS
from redis_server import Redis, cluster, is_up, ready
from sentinels import HAVE, NAME, Failover
from support import DEADLINE_S, SANITIZED, JsonClient, Node, run, wait_until

READY = {"status": "ready"}
COMES_S = 5 if SANITIZED else 1


def server_text(node):
    """What it calls the only server that it speaks to."""
    one, = node.stats()["redis"]["servers"]
    return one["server"]


def server_of(node):
    """The port of the server that it says it is connected to; None: to none."""
    if not is_up(node):
        return None
    return int(server_text(node).removesuffix("/0").rsplit(":", 1)[1])


def metric(node, name):
    return node.metric(f"ringpost_{name}")


class Crossing:
    """Messages from one node to a client of the other, numbered; they arrive once and in order."""

    def __init__(self, node, client, name):
        self.node, self.client, self.name = node, client, name
        self.number = self.heard = 0

    def works(self):
        """Is the next one taken by the other node, and does it come? What is taken at the moment of
        a failover may not."""
        self.number += 1
        status, answer, _ = self.node.message(to=self.name, data=self.number)
        if (status, answer.get("recipients")) != (202, 1):
            return False
        until = time.monotonic() + COMES_S
        while self.heard < self.number:
            if b"\n" not in self.client.buffer and not select.select(
                    [self.client.socket], [], [], max(0, until - time.monotonic()))[0]:
                return False
            data = self.client.hear_message()["data"]
            assert self.heard < data <= self.number, (self.heard, data, self.number)
            self.heard = data
        return True


@contextlib.contextmanager
def crossing(failover):
    """Two nodes, a client at the second, and messages that reach it from the first."""
    with cluster(failover, "a", "b") as (a, b), JsonClient(b, "x") as client:
        cross = Crossing(a, client, "x")
        assert cross.works()
        yield a, b, cross


@unittest.skipUnless(HAVE, "there is no redis-sentinel")
class Fails(unittest.TestCase):
    def follow(self, failover, nodes, cross, old):
        """They go to another server than `old`, and messages cross again."""
        began = time.monotonic()
        wait_until("another is the first", lambda: failover.first() not in (None, old))
        print(f"{self.id()}: another is the first after {time.monotonic() - began:.2f} s")
        wait_until("messages cross there", lambda: cross.works() and all(
            server_of(node) not in (None, old.port) for node in nodes))
        print(f"{self.id()}: messages cross after {time.monotonic() - began:.2f} s")
        for node in nodes:
            self.assertGreaterEqual(metric(node, "redis_failovers_total"), 1)
            wait_until("it is ready", lambda node=node: ready(node) == READY)
            self.assertIn(f"event=redis_failover from=127.0.0.1:{old.port} to=", node.log())

    def stay(self, failover, nodes, cross, old):
        """The old one is a replica at last, and nobody is with it."""
        wait_until("it is a replica", lambda: cross.works() and old.ask("ROLE")[0] == "slave")
        wait_until("nobody is with it", lambda: cross.works() and failover.first() and all(
            server_of(node) == failover.first().port for node in nodes))
        for node in nodes:
            self.assertNotEqual(server_of(node), old.port)

    def test_it_is_killed(self):
        with Failover(replicas=2) as failover, crossing(failover) as (a, b, cross):
            old = failover.first()
            self.assertEqual((server_of(a), server_of(b)), (old.port, old.port))
            old.kill()
            self.follow(failover, (a, b), cross, old)
            # It comes back as what it was, and Sentinels make it a replica.
            old.start()
            self.stay(failover, (a, b), cross, old)

    def test_again_and_again(self):
        with Failover(replicas=2) as failover, crossing(failover) as (a, b, cross):
            for _ in range(2):
                old = failover.first()
                old.kill()
                self.follow(failover, (a, b), cross, old)
                wait_until("they agree", failover.first)

    def test_it_is_paused(self):
        """It goes on as one that takes itself for the first."""
        with Failover() as failover, crossing(failover) as (a, b, cross):
            old = failover.first()
            old.pause()
            self.follow(failover, (a, b), cross, old)
            old.resume()
            self.stay(failover, (a, b), cross, old)

    def test_by_an_operator(self):
        with Failover() as failover, crossing(failover) as (a, b, cross):
            old = failover.first()
            failover.sentinels[0].ask("SENTINEL", "FAILOVER", NAME)
            self.follow(failover, (a, b), cross, old)
            self.stay(failover, (a, b), cross, old)

    def test_with_one_sentinel_that_is_left(self):
        """The nodes' own; the two that decide are not known to them."""
        with Failover() as failover:
            whole = failover.url
            failover.url = lambda: whole().split(",", 1)[0] + "/" + NAME
            with crossing(failover) as (a, b, cross):
                old = failover.first()
                old.kill()
                self.follow(failover, (a, b), cross, old)


@unittest.skipUnless(HAVE, "there is no redis-sentinel")
class Sentinels(unittest.TestCase):
    def test_they_say_where_it_is(self):
        with Failover(password="s3cret") as failover, crossing(failover) as (a, b, _):
            for node in (a, b):
                self.assertEqual(server_of(node), failover.servers[0].port)
                self.assertEqual(ready(node), READY)
                self.assertEqual((metric(node, "redis_sentinel_connected"),
                                  metric(node, "redis_sentinels_lost_total"),
                                  metric(node, "redis_failovers_total")), (1, 0, 0))
                node.wait_log(rf"event=redis_sentinel_connected sentinel=127.0.0.1:"
                              rf"{failover.sentinels[0].port} name={NAME}")
                self.assertNotIn("s3cret", node.log())

    def test_they_ask_for_the_same_password(self):
        with Failover(password="s3cret", own="s3cret") as failover, \
                crossing(failover) as (a, b, _):
            for node in (a, b):
                self.assertEqual(metric(node, "redis_sentinel_connected"), 1)
                self.assertNotIn("s3cret", node.log())

    def test_they_ask_for_another_password(self):
        with Failover(password="s3cret", own="0ther") as failover, \
                Node("--redis", failover.url()) as node:
            node.wait_log(r"event=redis_sentinel_lost .*WRONGPASS.*remedy=.*password")
            node.wait_log(r"event=redis_lost .*no Sentinel has said yet where it is")
            self.assertEqual(ready(node)["degraded"], ["redis"])
            self.assertNotIn("s3cret", node.log())

    def test_they_are_killed_one_after_the_other(self):
        with Failover() as failover, crossing(failover) as (a, b, cross):
            for number, one in enumerate(failover.sentinels):
                one.kill()
                for node in (a, b):
                    node.wait_log(rf"event=redis_sentinel_lost sentinel=127.0.0.1:{one.port} ")
                if number < 2:
                    after = failover.sentinels[number + 1].port
                    for node in (a, b):
                        node.wait_log(rf"event=redis_sentinel_connected "
                                      rf"sentinel=127.0.0.1:{after} ")
                self.assertTrue(cross.works())
            # All are gone, and the server lives: nothing is worse, but that nobody is followed.
            began = time.monotonic()
            while time.monotonic() - began < 3:
                self.assertTrue(cross.works())
            for node in (a, b):
                self.assertEqual(metric(node, "redis_sentinel_connected"), 0)
                self.assertEqual(metric(node, "redis_lost_total"), 0)
                self.assertEqual(ready(node), READY)
                self.assertLess(node.log().count("event=redis_sentinel_lost"), 10)
            failover.sentinels[1].start()
            for node in (a, b):
                wait_until("it is asked again",
                           lambda node=node: metric(node, "redis_sentinel_connected") == 1)
                self.assertEqual(metric(node, "redis_failovers_total"), 0)
            self.assertTrue(cross.works())

    def test_a_name_that_they_do_not_know(self):
        with Failover() as failover, \
                Node("--redis", failover.url("another")) as node, JsonClient(node, "x") as client:
            for one in failover.sentinels:
                node.wait_log(rf"level=warn event=redis_sentinel_lost sentinel=127.0.0.1:"
                              rf'{one.port} problem="it knows no server by the name another"')
            node.wait_log(r"event=redis_lost .*no Sentinel has said yet where it is")
            self.assertEqual(ready(node)["degraded"], ["redis"])
            self.assertEqual(server_text(node), "another, by Sentinel")
            status, answer, _ = node.message(to="x", data=1)
            self.assertEqual((status, answer["cluster"]), (202, "unavailable"))
            self.assertEqual(client.hear_message()["data"], 1)
            for one in failover.sentinels[:1]:  # it is told of that server
                one.ask("SENTINEL", "MONITOR", "another", "127.0.0.1", failover.servers[0].port, 1)
            wait_until("it is known now", lambda: is_up(node))

    def test_none_is_there_at_the_start(self):
        with Failover() as failover:
            for one in failover.sentinels:
                one.kill()
            with Node("--redis", failover.url()) as node:
                node.wait_log("event=redis_lost ")
                self.assertEqual(ready(node)["degraded"], ["redis"])
                failover.sentinels[2].start()
                wait_until("it is found", lambda: is_up(node))
                self.assertEqual(server_of(node), failover.servers[0].port)


class Said:
    """What a Sentinel of this file says, to each question."""

    def __init__(self, reply):
        self.reply = reply

    def __call__(self, words):
        assert words[0] == b"SENTINEL", words
        return self.reply() if callable(self.reply) else self.reply


def address(port):
    return bulk("127.0.0.1", str(port))


class Lies(unittest.TestCase):
    """One that lies comes first, and one that does not behind it."""

    def check(self, reply=b"", first=lambda: b"", problem=""):
        with Liar(polite) as redis, Liar(Said(reply), first) as liar, \
                Liar(Said(address(redis.port))) as honest:
            url = f"redis+sentinel://127.0.0.1:{liar.port},127.0.0.1:{honest.port}/m"
            with Node("--redis", url, "--memory", "64M") as node, JsonClient(node, "x") as client:
                wait_until("it is up", lambda: is_up(node))
                self.assertEqual(server_of(node), redis.port)
                line = node.wait_log(rf"event=redis_sentinel_lost sentinel=127.0.0.1:{liar.port} "
                                     rf".*").group(0)
                self.assertIn(problem, line)
                self.assertIn("remedy=", line)
                self.assertEqual(node.message(to="x", data=1)[0], 202)
                self.assertEqual(client.hear_message()["data"], 1)
                self.assertLess(liar.connections, 5)
                return line

    def test_noise(self):
        numbers = itertools.count()
        for said in (b"HTTP/1.1 400 Bad Request\r\n\r\n", lambda: garbage(5000, next(numbers)),
                     b"%1\r\n+a\r\n+b\r\n", b"+" + b"x" * 200000, b"*1\r\n" * 1000):
            with self.subTest(said=said):
                self.check(said)
        self.check(first=lambda: b"+OK\r\n")

    def test_it_does_not_know_the_name(self):
        self.check(b"*-1\r\n", problem="knows no server by the name m")

    def test_a_host_name(self):
        line = self.check(bulk("redis-1.example", "6379"), problem="redis-1.example")
        self.assertIn("sentinel announce-hostnames no", line)

    def test_answers_of_the_wrong_kind(self):
        for said in (b"+OK\r\n", b":1\r\n", b"*0\r\n", bulk("127.0.0.1"), bulk("127.0.0.1", "0"),
                     bulk("127.0.0.1", "65536"), bulk("127.0.0.1", "x"), bulk("", "6379"),
                     bulk("127.0.0.1\0", "6379"), b"-ERR unknown command 'SENTINEL'\r\n",
                     bulk("127.0.0.1", "1", "2")):
            with self.subTest(said=said):
                self.check(said)

    def test_large_announcements(self):
        for head in (b"$2000000000\r\n", b"$60000000\r\n", b"*1000000\r\n",
                     b"*2\r\n$9\r\n127.0.0.1\r\n$60000000\r\n", b"*2\r\n$60000000\r\n"):
            with self.subTest(head=head):
                self.check(lambda head=head: itertools.chain(
                    [head], itertools.repeat(b"x" * 65536, 2000)))

    def test_silence(self):
        self.check(b"", problem="it does not answer")

    def test_it_hangs_up(self):
        def close():
            raise Close
        self.check(close, problem="closed the connection")

    def test_it_is_no_sentinel(self):
        """But the server itself, as whoever forgets the scheme's other half has it."""
        self.check(b"-ERR unknown command 'SENTINEL', with args beginning with: \r\n",
                   problem="unknown command")

    def test_it_names_another_each_time(self):
        """The links go to and fro, once a second at most."""
        with Liar(polite) as one, Liar(polite) as two:
            ports = itertools.cycle((one.port, two.port))
            with Liar(Said(lambda: address(next(ports)))) as liar, \
                    Node("--redis", f"redis+sentinel://127.0.0.1:{liar.port}/m") as node, \
                    JsonClient(node, "x") as client:
                began = time.monotonic()
                wait_until("it was followed", lambda: metric(node, "redis_failovers_total") >= 3)
                took = time.monotonic() - began
                self.assertGreater(took, 1.5)
                self.assertLess(metric(node, "redis_failovers_total"), took + 3)
                self.assertLess(one.connections + two.connections, 2 * (took + 4))
                self.assertEqual(node.message(to="x", data=1)[0], 202)
                self.assertEqual(client.hear_message()["data"], 1)

    @unittest.skipUnless(HAVE_REDIS, "there is no redis-server")
    def test_it_names_a_replica(self):
        """Which is not taken; as soon as it is the first, or another is named, that is."""
        with Redis() as first, Redis("--replicaof", f"127.0.0.1 {first.port}") as replica:
            named = [replica.port]
            with Liar(Said(lambda: address(named[0]))) as sentinel, \
                    Node("--redis", f"redis+sentinel://127.0.0.1:{sentinel.port}/m") as node:
                node.wait_log(r"event=redis_lost .*it is a replica")
                self.assertEqual(server_text(node), f"redis://127.0.0.1:{replica.port}/0")
                self.assertFalse(is_up(node))
                asked = sentinel.commands
                began = time.monotonic()
                wait_until("it is asked again and again", lambda: sentinel.commands > asked + 5)
                self.assertLess(time.monotonic() - began, DEADLINE_S / 2)
                named[0] = first.port
                wait_until("it is up", lambda: server_of(node) == first.port)
                self.assertEqual(metric(node, "redis_failovers_total"), 1)


class Start(unittest.TestCase):
    def test_bad_urls(self):
        for url in ("", "h", "h:26379", "h/", "/m", ",/m", "h,/m", "h,,g/m", "h:0/m", "h:x/m",
                    "h:65536,g/m", "::1/m", "1::2/m", "[::1/m", "h/m/x", "h/m/0/1", "h/m?db=1",
                    "h;g/m", "h, g/m", "h/m\u00fc",
                    "u:s3cret@@h/m", "u:s3cret/@h/m", "u:s3%ret@h/m", "@h/m",
                    ",".join(["h"] * 17) + "/m", "h/" + "m" * 129):
            with self.subTest(url=url):
                status, _, errors = run(["serve", "--api", "127.0.0.1:0", "--redis",
                                         f"redis+sentinel://{url}"])
                self.assertEqual(status, 2, errors)
                self.assertNotIn("s3", errors)
                self.assertEqual(len(errors.strip().splitlines()), 1, errors)

    def test_hosts_without_an_address(self):
        status, _, errors = run(["serve", "--api", "127.0.0.1:0", "--redis",
                                 "redis+sentinel://nowhere.invalid,elsewhere.invalid/m"])
        self.assertEqual(status, 1)
        self.assertIn("elsewhere.invalid", errors.splitlines()[-1])

    def test_one_host_without_an_address(self):
        with Liar(polite) as redis, Liar(Said(address(redis.port))) as sentinel, \
                Node("--redis", f"redis+sentinel://nowhere.invalid,127.0.0.1:{sentinel.port}/m"
                     ) as node:
            wait_until("it is up", lambda: is_up(node))
            node.wait_log(r"event=redis_sentinel_lost sentinel=nowhere.invalid:26379 ")


if __name__ == "__main__":
    unittest.main()
