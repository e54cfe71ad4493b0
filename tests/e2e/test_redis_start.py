"""Where Redis is and how it is entered; nodes that start without it, and that end."""

import os
import re
import signal
import tempfile
import time
import unittest

from redis_server import HAVE, Connection, Redis, cluster, is_up, missed, node_of, ready
from streams import Stream
from support import SANITIZED, JsonClient, Node, free_port, run, wait_until
from test_sio import Polls, Sio
from ws_client import WebSocket

DEGRADED = {"status": "ready", "degraded": ["redis"]}
READY = {"status": "ready"}


@unittest.skipUnless(HAVE, "there is no redis-server")
class Entering(unittest.TestCase):
    def check_works(self, *urls):
        """Nodes that were given these URLs reach each other."""
        with Node("--redis", urls[0], "--node", "a") as a, \
                Node("--redis", urls[-1], "--node", "b") as b, JsonClient(b, "x") as client:
            self.assertEqual((ready(a), ready(b)), (READY, READY))
            self.assertEqual(a.message(to="x", data=1)[1]["recipients"], 1)
            self.assertEqual(client.hear_message()["data"], 1)
            for node in (a, b):
                self.assertNotIn("s3cret", node.log())

    def test_a_password(self):
        with Redis(password="s3cret/@:%") as redis:
            self.check_works(redis.url(password="s3cret%2F%40%3A%25"))

    def test_a_user_who_may_do_little(self):
        with Redis() as redis:
            redis.ask("ACL", "SETUSER", "till", "on", ">s3cret", "resetchannels", "&ringpost:*",
                      "-@all", "+subscribe", "+unsubscribe", "+publish", "+ping")
            self.check_works(redis.url(user="till", password="s3cret"))

    def test_what_a_user_may_not_do_is_said(self):
        with Redis() as redis:
            redis.ask("ACL", "SETUSER", "till", "on", ">s3cret", "resetchannels", "&other:*",
                      "+@all")
            with Node("--redis", redis.url(user="till", password="s3cret")) as node:
                node.wait_log(r"event=redis_lost .*NOPERM")
                with JsonClient(node, "x") as client:
                    self.assertEqual(node.message(to="x", data=1)[0], 202)
                    self.assertEqual(client.hear_message()["data"], 1)
                time.sleep(2)
                self.assertLess(node.metric("ringpost_redis_lost_total"), 7)

    def test_a_wrong_password(self):
        with Redis(password="right") as redis:
            for url, problem in ((redis.url(password="s3cret"), "WRONGPASS"),
                                 (redis.url(user="nobody", password="s3cret"), "WRONGPASS"),
                                 (redis.url(), "NOAUTH")):
                with self.subTest(problem=problem), Node("--redis", url) as node:
                    line = node.wait_log(rf"level=error event=redis_lost .*{problem}").group(0)
                    self.assertNotIn("s3cret", node.log())
                    self.assertEqual(ready(node), DEGRADED, line)
                    with JsonClient(node, "x") as client:
                        status, answer, _ = node.message(to="x", data=1)
                        self.assertEqual((status, answer["cluster"]), (202, "unavailable"))
                        self.assertEqual(client.hear_message()["data"], 1)

    def test_a_password_that_nobody_asks_for(self):
        with Redis() as redis, Node("--redis", redis.url(password="s3cret")) as node:
            node.wait_log(r"event=redis_lost ")
            self.assertEqual(ready(node), READY if is_up(node) else DEGRADED)

    def test_a_db(self):
        """Channels know no dbs: the number is taken, or said to be none."""
        with Redis() as redis:
            self.check_works(redis.url(db=3), redis.url(db=0))
            with Node("--redis", redis.url(db=99)) as node:
                node.wait_log(r"event=redis_lost .*DB index")

    def test_a_file_with_the_url(self):
        with Redis(password="s3cret") as redis, tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "redis")
            with open(path, "w", encoding="utf-8") as file:
                file.write(f"# of the shop\n\n  {redis.url(password='s3cret')}  \n")
            with Node("--redis-file", path) as node:
                self.assertEqual(ready(node), READY)
                with open(f"/proc/{node.pid}/cmdline", encoding="utf-8") as file:
                    self.assertNotIn("s3cret", file.read())
            with Node(env={"RINGPOST_REDIS": redis.url(password="s3cret")}) as node:
                self.assertEqual(ready(node), READY)
            for text, problem, exits in (("", "no URL", 1),
                                         ("redis://a\nredis://A\n", "another one", 2)):
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
                status, _, errors = run(["serve", "--api", "127.0.0.1:0", "--redis-file", path])
                self.assertEqual(status, exits)
                self.assertIn(problem, errors)
            status, _, errors = run(["serve", "--api", "127.0.0.1:0", "--redis-file", path,
                                     "--redis", redis.url()])
            self.assertEqual(status, 1)
            self.assertIn("leave one of them out", errors)
            status, _, errors = run(["serve", "--api", "127.0.0.1:0", "--redis-file", "/nowhere"])
            self.assertEqual(status, 1)

    def test_a_replica(self):
        with Redis() as first, Redis("--replicaof", f"127.0.0.1 {first.port}") as replica:
            with Node("--redis", replica.url()) as node:
                node.wait_log(r"event=redis_lost .*it is a replica")
                self.assertEqual(ready(node), DEGRADED)
                replica.ask("REPLICAOF", "NO", "ONE")
                wait_until("it is taken once it is the first", lambda: is_up(node))

    def test_names_of_nodes(self):
        """Redis allows fewer of them than a node does."""
        with Redis() as redis:
            for name in ("a b", "z\u00fcrich", "x" * 64):
                status, _, errors = run(["serve", "--check", "--api", "127.0.0.1:0",
                                         "--node", name])
                if status != 0:
                    continue
                with self.subTest(name=name), node_of(redis, name) as node:
                    self.assertEqual(ready(node), READY, errors)


class BadSettings(unittest.TestCase):
    def test_they_are_refused_in_one_sentence(self):
        for url in ("", "localhost", "localhost:6379", "http://localhost", "redis://",
                    "redis:///1", "redis://:@h", "redis://h:0", "redis://h:x", "redis://h:65536",
                    "redis://h/x", "redis://h/-1", "redis://h/1/2", "redis://h?db=1",
                    "redis://::1", "redis://[::1", "redis://[1.2.3.4]", "redis://h h",
                    "redis://u:s3cret@@h", "redis://u:s3cret/@h", "redis://u:s3%ret@h",
                    "redis://h1,h2", "rediss://h"):
            with self.subTest(url=url):
                status, _, errors = run(["serve", "--api", "127.0.0.1:0", "--redis", url])
                later = url.startswith("rediss:")
                self.assertEqual(status, 1 if later else 2, errors)
                self.assertNotIn("s3", errors)
                self.assertEqual(len(errors.strip().splitlines()), 1, errors)

    def test_hosts_without_an_address(self):
        status, _, errors = run(["serve", "--api", "127.0.0.1:0",
                                 "--redis", "redis://nowhere.invalid"])
        self.assertEqual(status, 1)
        self.assertIn("nowhere.invalid", errors)

    def test_the_store_has_to_be_said(self):
        with tempfile.TemporaryDirectory() as folder:
            status, _, errors = run(["serve", "--api", "127.0.0.1:0", "--redis",
                                     "redis://127.0.0.1", "--data", folder])
        self.assertEqual(status, 1)
        self.assertIn("--store disk", errors)

    def test_prefixes(self):
        status, _, errors = run(["serve", "--api", "127.0.0.1:0", "--redis", "redis://127.0.0.1",
                                 "--redis-prefix", "x" * 65])
        self.assertEqual(status, 1, errors)


@unittest.skipUnless(HAVE, "there is no redis-server")
class Without(unittest.TestCase):
    def test_a_node_starts_without_it(self):
        with Redis(start=False) as redis:
            began = time.monotonic()
            with node_of(redis, "a") as a:
                self.assertLess(time.monotonic() - began, 10 if SANITIZED else 4)
                self.assertEqual(ready(a), DEGRADED)
                self.assertEqual(a.api("GET", "/healthz")[0], 200)
                began = time.monotonic()
                with JsonClient(a, "x", ["g"]) as client:
                    self.assertLess(time.monotonic() - began, 1)
                    self.check_degraded(a, client)
                    redis.start()
                    wait_until("it is there", lambda: is_up(a))
                    a.wait_log("event=redis_connected")
                    self.assertEqual(ready(a), READY)
                    # It is the first connection: no node has lost its names.
                    self.assertEqual(a.message(to="nobody", data=1)[0], 404)
                    with node_of(redis, "b") as b:
                        self.assertEqual(b.message(to="x", data=4)[1]["recipients"], 1)
                        self.assertEqual(client.hear_message()["data"], 4)

    def test_it_hangs_at_the_start(self):
        with Redis() as redis:
            redis.pause()
            with node_of(redis, "a") as a:
                line = a.wait_log("event=redis_lost .*").group(0)
                self.assertIn('problem="it does not answer"', line)

    def check_degraded(self, node, client):
        """What a node says whose Redis is gone; the client is `x` in the group `g`."""
        status, answer, _ = node.message(to="x", data=1)
        self.assertEqual((status, answer["state"], answer["recipients"], answer["cluster"]),
                         (202, "queued", 1, "unavailable"))
        status, answer, headers = node.message(to="nobody", data=1)
        self.assertEqual((status, answer["error"]["code"], answer["error"].get("maybe")),
                         (503, "cluster_unavailable", None))
        self.assertGreaterEqual(int(headers["Retry-After"]), 1)
        for address in ({"group": "g"}, {"broadcast": True}):
            status, answer, _ = node.message(**address, data=2)
            self.assertEqual((status, answer["state"], answer["cluster"]),
                             (202, "queued", "unavailable"))
        status, answer, _ = node.message(group="empty", data=1)
        self.assertEqual((status, answer["recipients"], answer["cluster"]),
                         (202, 0, "unavailable"))
        batch = node.api("POST", "/v1/messages", [{"to": "x", "data": 3},
                                                  {"to": "nobody", "data": 3}])[1]
        self.assertEqual([one["status"] for one in batch], [202, 503])
        self.assertEqual(batch[0]["cluster"], "unavailable")
        for data in (1, 2, 2, 3):
            self.assertEqual(client.hear_message()["data"], data)

    def test_what_clients_send_without_it(self):
        """Clients have one word for all that is not possible now."""
        with Redis(start=False) as redis, node_of(redis, "a", "--client-send", "on") as node, \
                JsonClient(node, "x") as client:
            answer = client.asks(type="send", to="nobody", data=1, ref="r")
            self.assertEqual((answer["type"], answer["code"], answer["ref"]),
                             ("error", "unavailable", "r"))
            client.say(type="send", to="x", data=2, ref="s")
            heard = [client.hear(), client.hear()]
            self.assertEqual({one["type"] for one in heard}, {"ok", "message"})

    def test_the_metrics_and_the_log_without_it(self):
        with Redis(start=False) as redis, node_of(redis, "a") as node:
            line = node.wait_log("level=error event=redis_lost .*").group(0)
            for word in (f"127.0.0.1:{redis.port}", "refused", "remedy="):
                self.assertIn(word, line)
            self.assertEqual(node.metric("ringpost_redis_connected"), 0)
            node.message(to="x", data=1)
            self.assertEqual(node.metric("ringpost_redis_unavailable_total"), 1)


@unittest.skipUnless(HAVE, "there is no redis-server")
class Names(unittest.TestCase):
    def test_two_nodes_of_one_name(self):
        with Redis() as redis, cluster(redis, "same", "other") as (one, other), \
                node_of(redis, "same") as two:
            for node in (one, two, other):
                node.wait_log("level=error event=redis_node_name_twice .*node=same")
            time.sleep(2.5)
            for node in (one, two, other):
                self.assertEqual(node.log().count("event=redis_node_name_twice"), 1, node.log())

    def test_a_node_that_dies(self):
        with Redis() as redis, cluster(redis, "a", "b") as (a, b), JsonClient(b, "x"):
            some = [f"n{i}" for i in range(17)]
            self.assertEqual(a.message(to=["x", "y"], data=1)[1]["recipients"], 1)
            self.assertEqual(a.message(to=some, data=1)[1]["recipients"], 1)
            began = time.monotonic()
            os.kill(b.pid, signal.SIGKILL)
            b.process.wait()
            wait_until("it is not counted", lambda: a.message(to="x", data=1)[0] == 404, 3)
            self.assertEqual(a.message(to=some, data=1)[0], 404)
            a.wait_log("level=warn event=redis_node_silent node=b")
            self.assertLess(time.monotonic() - began, 20 if SANITIZED else 4.5)
            self.assertEqual(a.metric("ringpost_redis_nodes"), 0)
            b.process.returncode = 0  # as it was to be
            b.audited = False

    def test_a_node_that_goes(self):
        with Redis() as redis, cluster(redis, "a", "b") as (a, b), JsonClient(b, "x") as client:
            b.signal(signal.SIGTERM)
            wait_until("nothing is sent to it", lambda: a.message(
                to=[f"n{i}" for i in range(17)], data=1)[0] == 404, 3)
            self.assertEqual(a.message(to="x", data=1)[0], 404)
            b.wait_exit()
            a.wait_log("level=info event=redis_node_left node=b")
            wait_until("it is not counted", lambda: a.metric("ringpost_redis_nodes") == 0, 1)
            self.assertNotIn("redis_node_silent", a.log())
            client.close()

    def test_what_a_node_that_goes_was_sent_before_arrives(self):
        """What counted it as a recipient reaches its session, goodbye or not."""
        count = 20 if SANITIZED else 200
        with Redis() as redis, cluster(redis, "a", "b") as (a, b), JsonClient(b, "x") as client:
            queued = []
            for i in range(count):
                if i == count // 2:
                    b.signal(signal.SIGTERM)
                if a.message(to="x", data=i)[0] == 202:
                    queued.append(i)
            heard = []
            while (line := client.hear()) is not None:
                if line["type"] == "message":
                    heard.append(line["data"])
            self.assertEqual(heard, queued)
            self.assertLess(len(queued), count)
            b.wait_exit()


@unittest.skipUnless(HAVE, "there is no redis-server")
class Welcome(unittest.TestCase):
    def test_whoever_has_it_is_reached(self):
        """A push to another node right after the welcome: it is there, always."""
        count = 10 if SANITIZED else 40
        with Redis() as redis, cluster(redis, "a", "b", flags=("--steer", "none")) as (a, b):
            made = (lambda name: JsonClient(b, name),
                    lambda name: WebSocket(b, f"/ws?id={name}"),
                    lambda name: Stream(b, name),
                    lambda name: Sio(b, connect=f'0{{"id":"{name}"}}'),
                    lambda name: Polls(b, query=f"&id={name}"))
            longest = 0
            for kind, make in enumerate(made):
                for number in range(count):
                    name = f"c{kind}-{number}"
                    began = time.monotonic()
                    client = make(name)
                    if kind == 4:
                        client.say(f'0{{"id":"{name}"}}')
                        self.assertTrue(client.poll()[0].startswith("0{"))
                    longest = max(longest, time.monotonic() - began)
                    status, answer, _ = a.message(to=name, data=1)
                    self.assertEqual((status, answer.get("recipients")), (202, 1), name)
                    if kind != 4:
                        client.close()
            print(f"the longest wait for a welcome: {longest * 1000:.1f} ms")
            self.assertLess(longest, 10 if SANITIZED else 0.9)

    def test_many_at_once(self):
        count = 200 if SANITIZED else 1000
        with Redis() as redis, cluster(redis, "a", "b") as (a, b):
            clients = [JsonClient(b, hello=False) for _ in range(count)]
            for i, client in enumerate(clients):
                client.say(type="hello", id=f"c{i}", groups=[f"g{i % 7}", f"h{i}"])
            absent = 0
            for i, client in enumerate(clients):
                self.assertEqual(client.hear()["type"], "welcome")
                absent += a.message(to=f"c{i}", data=i)[0] == 404
            self.assertEqual(absent, 0)
            for i, client in enumerate(clients):
                self.assertEqual(client.hear_message()["data"], i)
                client.close()
            self.assertEqual(missed((a, b)), 0)

    def test_names_that_come_and_go(self):
        """An id that ends here while it begins elsewhere is found, or was never there."""
        rounds = 10 if SANITIZED else 100
        with Redis() as redis, cluster(redis, "a", "b", "c") as (a, b, c):
            before = JsonClient(b, "x")
            for i in range(rounds):
                after = JsonClient((c, b)[i % 2], "x")
                before.close()
                status, answer, _ = a.message(to="x", data=i)
                self.assertEqual(status, 202)
                self.assertIn(answer["recipients"], (1, 2))
                heard = after.hear_message()["data"]
                if heard == i - 1:  # its copy had not come here yet, and the id has come back
                    heard = after.hear_message()["data"]
                self.assertEqual(heard, i)
                before = after
            before.close()
            wait_until("nobody has it", lambda: a.message(to="x", data=1)[0] == 404)
            for node in (a, b, c):
                wait_until("no names are left", lambda one=node: one.metric(
                    "ringpost_redis_names") == 0)
            self.assertEqual(missed((a, b, c)), 0)


@unittest.skipUnless(HAVE, "there is no redis-server")
class Draining(unittest.TestCase):
    def check(self, name, prepare):
        with self.subTest(redis=name), Redis() as redis:
            node = node_of(redis, "a", "--drain-timeout", "5")
            try:
                client = JsonClient(node, "x", ["g"])
                prepare(redis, node)
                began = time.monotonic()
                node.signal(signal.SIGTERM)
                self.assertEqual(node.wait_exit(), 0, node.log())
                took = time.monotonic() - began
                if not SANITIZED:
                    self.assertLess(took, 7)
                self.assertIsNotNone(re.search('"type":"goodbye"', client.rest().decode()))
                client.close()
            finally:
                node.kill()
                node.folder.cleanup()
                if redis.paused:
                    redis.resume()

    def test_it_ends_in_time(self):
        def paused(redis, node):
            redis.pause()
            node.message(to="x", data=1)

        def paused_now(redis, _):
            redis.pause()

        def killed(redis, node):
            redis.kill()
            wait_until("it is lost", lambda: not is_up(node))
        for name, prepare in (("is there", lambda *_: None), ("is paused", paused),
                              ("has been paused just now", paused_now), ("is gone", killed)):
            self.check(name, prepare)

    def test_before_redis_was_there(self):
        with Redis(start=False) as redis, node_of(redis, "a"):
            pass
        port = free_port()
        with Node("--redis", f"redis://192.0.2.1:{port}"):  # an address that nobody has
            pass

    def test_connections_are_named(self):
        with Redis() as redis, node_of(redis, "till-7"), Connection(redis.port) as connection:
            lines = [line for line in connection.ask("CLIENT", "LIST").splitlines()
                     if "name=ringpost-till-7 " in line]
            self.assertEqual(len(lines), 2)


if __name__ == "__main__":
    unittest.main()
