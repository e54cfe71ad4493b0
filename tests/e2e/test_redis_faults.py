"""Redis goes away in all ways while messages flow, and comes back."""

import collections
import json
import os
import socket
import threading
import time
import unittest

from redis_server import HAVE, Redis, cluster, is_up, ready
from support import DEADLINE_S, SANITIZED, JsonClient, Socket, wait_until

RATE = 200 if SANITIZED else 2000  # of each producer
TICK_S = 0.01
GAP_S = 10 if SANITIZED else 1
# A build with a sanitizer may be pushed more than it can serve, on a machine with much to do.
TOO_SLOW = [(503, "overloaded", None)] if SANITIZED else []


class Producer(threading.Thread):
    """Posts messages at a rate to addresses in turn, `data` being [name, number], and does not wait
    for the answers, which another thread reads."""

    def __init__(self, node, name, addresses):
        super().__init__()
        self.name_, self.addresses = name, addresses
        self.connection = Socket(node.address("api"))
        self.results = []
        self.sent = 0
        self.ends = threading.Event()
        self.reader = threading.Thread(target=self.read)
        self.start()

    def run(self):
        each = int(RATE * TICK_S)
        due = time.monotonic()
        requests = 0
        while not self.ends.is_set():
            lines = [json.dumps({**self.addresses[i % len(self.addresses)],
                                 "data": [self.name_, i]})
                     for i in range(self.sent, self.sent + each)]
            self.sent += each
            body = "\n".join(lines)
            self.connection.send("POST /v1/messages HTTP/1.1\r\nHost: localhost\r\n"
                                 "Content-Type: application/x-ndjson\r\n"
                                 f"Content-Length: {len(body)}\r\n\r\n{body}")
            requests += 1
            if requests == 1:
                self.reader.start()
            due = max(due + TICK_S, time.monotonic() - 1)
            self.ends.wait(max(0, due - time.monotonic()))

    def read(self):
        while (status := self.connection.line()) is not None:
            head = {}
            while line := self.connection.line().strip():
                name, value = line.decode().split(": ", 1)
                head[name] = value
            body = self.connection.exactly(int(head["Content-Length"]))
            assert status.startswith(b"HTTP/1.1 200") or b" 503 " in status, (status, body)
            lines = [json.loads(one) for one in body.splitlines()]
            if b" 503 " in status:
                lines = [{"status": 503, **lines[0]}] * int(RATE * TICK_S)
            self.results += lines

    def stop(self):
        self.ends.set()
        self.join(DEADLINE_S)
        self.connection.socket.shutdown(socket.SHUT_WR)
        self.reader.join(DEADLINE_S)
        assert len(self.results) == self.sent, (len(self.results), self.sent)
        self.connection.close()

    def of(self, number):
        """The answers of those to one of the addresses, with the numbers of the messages."""
        return [(i, one) for i, one in enumerate(self.results)
                if i % len(self.addresses) == number]


class Lateness(threading.Thread):
    """How late this machine is for whoever sleeps 10 ms: a stop of it is none of the node's."""

    def __init__(self):
        super().__init__(daemon=True)
        self.worst = 0
        self.ends = threading.Event()
        self.start()

    def run(self):
        before = time.monotonic()
        while not self.ends.wait(0.01):
            now = time.monotonic()
            self.worst = max(self.worst, now - before)
            before = now


class Listener(threading.Thread):
    """A client that notes what it gets, and when."""

    def __init__(self, node, name):
        super().__init__()
        self.client = JsonClient(node, name)
        self.heard = collections.defaultdict(list)  # by producer: (number, when)
        self.ends = False
        self.start()

    def run(self):
        while (message := self.client.hear_message())["data"] != "end":
            name, number = message["data"]
            self.heard[name].append((number, time.monotonic()))

    def numbers(self, name):
        return [number for number, _ in self.heard[name]]

    def last(self, name):
        return self.heard[name][-1][0] if self.heard[name] else -1


@unittest.skipUnless(HAVE, "there is no redis-server")
class Faults(unittest.TestCase):
    def under_load(self, fault, lost=1, absent=False):
        """Two nodes with a producer and a client each; `fault` gets Redis, and takes its time.
        `absent`: a node may be told that nobody has the id, where Redis has cut off the other one
        and not it. Returns the producers."""
        self.absent = absent
        self.lateness = Lateness()
        self.addCleanup(self.lateness.ends.set)
        with Redis() as redis, cluster(redis, "a", "b") as (a, b):
            listeners = {"a": Listener(a, "ca"), "b": Listener(b, "cb")}
            # Each pushes to the client at its own node, and to the one at the other.
            producers = {"a": Producer(a, "a", [{"to": "ca"}, {"to": "cb"}]),
                         "b": Producer(b, "b", [{"to": "cb"}, {"to": "ca"}])}
            other = {"a": "b", "b": "a"}
            wait_until("all flows", lambda: all(
                listeners[one].last(two) > RATE / 4 for one in "ab" for two in "ab"))
            fault(redis, a, b)
            marks = {one: producers[one].sent for one in "ab"}
            began = time.monotonic()
            wait_until("all flows again", lambda: all(
                listeners[one].last(other[one]) > marks[other[one]] for one in "ab"))
            print(f"{self.id()}: flows again after {time.monotonic() - began:.2f} s")
            wait_until("they are ready", lambda: all(
                "degraded" not in ready(one) for one in (a, b)))
            for producer in producers.values():
                producer.stop()
            # By the other node, behind all that this one still has on its way.
            for node, name in ((b, "ca"), (a, "cb")):
                self.assertEqual(node.message(to=name, data="end")[0], 202)
            for listener in listeners.values():
                listener.join(DEADLINE_S)
                self.assertFalse(listener.is_alive())
                listener.client.close()
            for name in "ab":
                self.check(name, producers[name], listeners[name], listeners[other[name]],
                           {"a": b, "b": a}[name])
            for node in (a, b):
                self.assertEqual(node.metric("ringpost_redis_lost_total"), lost)
                self.assertEqual(node.log().count("event=redis_connected"), 1 + lost)
                self.assertLess(len(node.log().splitlines()), 200)
                self.assertNotIn("redis_node_silent", node.log())
            return producers

    def check(self, name, producer, here, there, node_there):
        # At the own node all arrive, in order, without a stop.
        answers = producer.of(0)
        words = collections.Counter((one["status"], one.get("state") or one["error"]["code"],
                                     one.get("cluster")) for _, one in answers)
        print(f"  {name}, here:  {dict(words)}")
        self.assertTrue(set(words) <= {(202, "queued", None), (202, "queued", "unavailable"),
                                       *TOO_SLOW}, words)
        self.assertEqual(here.numbers(name), [i for i, one in answers if one["status"] == 202])
        times = [when for _, when in here.heard[name]]
        gap = max(after - before for before, after in zip(times, times[1:]))
        print(f"  {name}, here:  the longest gap was {gap * 1000:.0f} ms, "
              f"of the machine {self.lateness.worst * 1000:.0f} ms")
        self.assertLess(gap, GAP_S + 2 * self.lateness.worst)
        # At the other they arrive in order, and what is answered as not sent did not.
        answers = producer.of(1)
        words = collections.Counter((one["status"], one.get("error", {}).get("code"),
                                     one.get("error", {}).get("maybe")) for _, one in answers)
        print(f"  {name}, there: {dict(words)}")
        self.assertTrue({(status, code) for status, code, _ in words} <=
                        {(202, None), (503, "cluster_unavailable"),
                         *((status, code) for status, code, _ in TOO_SLOW),
                         *([(404, None)] if self.absent else [])}, words)
        heard = there.numbers(name)
        self.assertEqual(heard, sorted(set(heard)))
        came = set(heard)
        never = {i for i, one in answers if one["status"] == 404 or (
            one["status"] == 503 and not one["error"].get("maybe"))}
        self.assertFalse(came & never)
        last = max((i for i, one in answers if one["status"] != 202), default=-1)
        lost = {i for i, one in answers if i > last and one["status"] == 202} - came
        if self.absent:  # it was counted before its node had noticed: not delivered, but not silent
            self.assertLessEqual(len(lost), node_there.metric("ringpost_redis_missed_total"))
        else:
            self.assertFalse(lost)

    def test_it_is_killed(self):
        def fault(redis, a, b):
            redis.kill()
            wait_until("they know", lambda: not is_up(a) and not is_up(b))
            self.assertEqual(ready(a)["degraded"], ["redis"])
            time.sleep(1.5)
            redis.start()
        self.under_load(fault)

    def test_it_is_paused(self):
        def fault(redis, *_):
            redis.pause()
            time.sleep(3)
            redis.resume()
        producers = self.under_load(fault, lost=0)
        for producer in producers.values():
            self.assertTrue([one for _, one in producer.of(0) if "cluster" in one])
            self.assertTrue([one for _, one in producer.of(1)
                             if one["status"] == 503 and one["error"].get("maybe")])

    def test_it_is_paused_for_long(self):
        def fault(redis, a, b):
            redis.pause()
            wait_until("they give up", lambda: not is_up(a) and not is_up(b))
            redis.resume()
        self.under_load(fault)

    def check_cut(self, kind):
        def fault(redis, a, b):
            for one in redis.connections(kind):
                redis.ask("CLIENT", "KILL", "ID", one)
            wait_until("they know", lambda: all(
                node.metric("ringpost_redis_lost_total") == 1 for node in (a, b)))
        self.under_load(fault, absent=True)

    def test_the_connection_for_commands_is_cut(self):
        self.check_cut("normal")

    def test_the_connection_of_the_subscriber_is_cut(self):
        self.check_cut("pubsub")

    def test_redis_cuts_who_reads_too_slowly(self):
        def fault(redis, a, b):
            redis.ask("CONFIG", "SET", "client-output-buffer-limit", "pubsub 1 1 1")
            redis.publish("ringpost:all", json.dumps({"data": ["big", 0], "event": "x" * 100,
                                                      "except": ["n" * 100 + str(i)
                                                                 for i in range(500)]}))
            wait_until("they know", lambda: all(
                node.metric("ringpost_redis_lost_total") for node in (a, b)))
            redis.ask("CONFIG", "SET", "client-output-buffer-limit", "pubsub 32mb 8mb 60")
        self.under_load(fault, absent=True)


@unittest.skipUnless(HAVE, "there is no redis-server")
class Afterwards(unittest.TestCase):
    def test_nobody_is_called_absent_at_first(self):
        with Redis() as redis, cluster(redis, "a", "b") as (a, b), JsonClient(b, "x") as client:
            self.assertEqual(a.message(to="nobody", data=1)[0], 404)
            redis.restart()
            wait_until("it is lost", lambda: a.metric("ringpost_redis_lost_total"))
            seen = []

            def absent():
                status, answer, headers = a.message(to="nobody", data=1)
                up = is_up(a)
                if up and not seen:
                    seen.append(time.monotonic())
                if status == 503:
                    self.assertEqual(answer["error"]["code"], "cluster_unavailable")
                    self.assertNotIn("maybe", answer["error"])
                    self.assertIn("Retry-After", headers)
                return status == 404
            wait_until("it is known again", absent)
            took = time.monotonic() - seen[0]
            self.assertTrue(4 < took < (20 if SANITIZED else 7), took)
            self.assertEqual(a.message(to="x", data=1)[1]["recipients"], 1)
            self.assertEqual(client.hear_message()["data"], 1)

    def test_what_was_missed_is_counted(self):
        """By the numbers of copies: exactly, once the next one comes."""
        with Redis() as redis, cluster(redis, "a", "b") as (a, b), JsonClient(b, "x") as client:
            self.assertEqual(a.message(to="x", data=0)[1]["recipients"], 1)
            self.assertEqual(client.hear_message()["data"], 0)
            before = a.metric("ringpost_redis_published_total")
            subscriber = [one for one in redis.ask("CLIENT", "LIST", "TYPE", "pubsub").splitlines()
                          if "name=ringpost-b " in one]
            fields = dict(word.split("=", 1) for word in subscriber[0].split(" "))
            # Redis takes what comes for b, and b does not get it.
            os.kill(b.pid, 19)
            for i in range(7):
                self.assertEqual(a.message(to="x", data=i)[0], 202)
            redis.ask("CLIENT", "KILL", "ID", fields["id"])
            for i in range(5):
                self.assertIn(a.message(to="x", data=i)[0], (404, 202))
            sent = a.metric("ringpost_redis_published_total") - before
            self.assertEqual(sent, 12)
            os.kill(b.pid, 18)
            b.wait_log("event=redis_lost")
            wait_until("it is back", lambda: is_up(b))
            wait_until("x is known", lambda: a.message(to="x", data="again")[0] == 202)
            heard = []
            while not heard or heard[-1] != "again":
                heard.append(client.hear_message()["data"])
            sent = a.metric("ringpost_redis_published_total") - before
            self.assertEqual(b.metric("ringpost_redis_missed_total"), sent - len(heard), heard)
            self.assertIn("event=redis_missed", b.log())

    def test_who_has_lost_redis_calls_nobody_silent(self):
        with Redis() as redis, cluster(redis, "a", "b") as (a, b):
            redis.kill()
            wait_until("nobody is heard of", lambda: all(
                node.metric("ringpost_redis_nodes") == 0 for node in (a, b)))
            redis.start()
            wait_until("they are back", lambda: all(
                node.metric("ringpost_redis_nodes") == 1 for node in (a, b)))
            for node in (a, b):
                self.assertNotIn("redis_node_silent", node.log())
                self.assertEqual(node.log().count("event=redis_node_found"), 2)

    def test_who_alone_was_cut_off_is_back_soon(self):
        with Redis() as redis, cluster(redis, "a", "b") as (a, b), JsonClient(b, "x") as client:
            self.assertEqual(a.message(to="x", data=1)[0], 202)
            self.assertEqual(client.hear_message()["data"], 1)
            [line] = [one for one in redis.ask("CLIENT", "LIST", "TYPE", "pubsub").splitlines()
                      if "name=ringpost-b " in one]
            began = time.monotonic()
            redis.ask("CLIENT", "KILL", "ID", line.split("id=")[1].split(" ")[0])
            wait_until("it is there again", lambda: a.message(to="x", data="again")[0] == 202)
            print(f"others did not find its client for {time.monotonic() - began:.3f} s")
            self.assertEqual(client.hear_message()["data"], "again")

    def test_names_that_change_meanwhile(self):
        """Clients that came and went while Redis was gone."""
        with Redis() as redis, cluster(redis, "a", "b") as (a, b):
            stays, goes = JsonClient(b, "stays", ["g"]), JsonClient(b, "goes", ["g", "h"])
            redis.kill()
            wait_until("it is lost", lambda: not is_up(b))
            comes = JsonClient(b, "comes", ["g", "i"])
            goes.close()
            wait_until("it is gone", lambda: b.api("GET", "/v1/clients/goes")[0] != 200)
            redis.start()
            wait_until("both are back", lambda: is_up(a) and is_up(b))
            wait_until("all is subscribed", lambda: {
                name for name in redis.ask("PUBSUB", "CHANNELS") if "node:" not in name} == {
                    f"ringpost:{name}" for name in ("id:stays", "id:comes", "group:g", "group:i",
                                                    "all")})
            self.assertEqual(a.message(group=["g", "h", "i"], data=1)[1]["recipients"], 2)
            for client in (stays, comes):
                self.assertEqual(client.hear_message()["data"], 1)
                client.close()
            wait_until("nobody is there", lambda: not [
                name for name in redis.ask("PUBSUB", "CHANNELS", "ringpost:[ig]*")])

    def test_many_names_are_subscribed_again(self):
        count = 200 if SANITIZED else 1000
        with Redis() as redis, cluster(redis, "a", "b") as (a, b):
            clients = [JsonClient(b, hello=False) for _ in range(count)]
            for i, client in enumerate(clients):
                client.say(type="hello", id=f"c{i}", groups=[f"g{i}-{j}" for j in range(10)])
            for client in clients:
                self.assertEqual(client.hear()["type"], "welcome")
            self.assertEqual(b.metric("ringpost_redis_names"), 11 * count)
            redis.restart()
            wait_until("they know", lambda: b.metric("ringpost_redis_lost_total"))
            began = time.monotonic()
            wait_until("it is back", lambda: is_up(a) and is_up(b))
            last = [{"to": f"c{i}", "data": i} for i in range(count)]

            def all_known():
                status, answers, _ = a.api("POST", "/v1/messages", last)
                return status == 200 and all(one["status"] == 202 for one in answers)
            wait_until("all are known", all_known)
            print(f"{11 * count} names are there again after {time.monotonic() - began:.2f} s")
            self.assertEqual(b.metric("ringpost_redis_names"), 11 * count)
            for i, client in enumerate(clients):
                self.assertEqual(client.hear_message()["data"], i)
                client.close()


if __name__ == "__main__":
    unittest.main()
