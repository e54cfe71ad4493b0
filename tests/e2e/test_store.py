"""Acknowledged messages over restarts, with a store on disk: what is known of each message, what
comes again and what does not, and that other settings lose nothing."""

import base64
import re
import signal
import threading
import time
import unittest

from stored import ONCE, ONCE_WHY, STRACE, Data, Stored, degraded, disk_that, fates
from support import CountedClient, JsonClient, wait_until
from test_ack import fate, hear, ids, pending, push, push_many


def end(node, how):
    if how == "killed":
        node.kill()
    else:
        node.stop()


class Restart(Stored):
    def test_what_became_of_each(self):
        for how in ("killed", "drained"):
            with self.subTest(how=how), Data() as data:
                node = data.node(workers=3)
                with JsonClient(node, "a") as a, JsonClient(node, "b") as b:
                    push_many(node, [{"to": ["a", "b"], "id": "both"},
                                     {"to": ["a", "b", "away"], "id": "one"},
                                     {"to": "a", "id": "back"}, {"to": "a", "id": "left"}])
                    push(node, "away", id="late", ttl=0.2)
                    a.say(type="ack", ids=[name for name in ids(hear(a, 4)) if name != "left"
                                           and name != "back"])
                    self.assertEqual(ids(hear(b, 2)), ["both", "one"])
                    b.say(type="ack", id="both")
                    node.api("DELETE", "/v1/messages/back")
                    wait_until("it expires", lambda: fate(node, "late")["state"] == "expired")
                    wait_until("they are told", lambda: fate(node, "both")["state"] == "acked" and
                               fate(node, "one")["to"]["a"] == "acked")
                names = ["both", "one", "back", "left", "late"]
                told = fates(node, names)
                self.assertEqual([told[name]["state"] for name in names],
                                 ["acked", "pending", "dropped", "pending", "expired"])
                self.assertEqual(told["one"]["to"],
                                 {"a": "acked", "b": "pending", "away": "pending"})
                waiting = [node.api("GET", f"/v1/clients/{name}/pending")[1]
                           for name in ("a", "b", "away")]
                end(node, how)
                node = data.node(workers=3)
                self.assertEqual(fates(node, names), told)
                self.assertEqual([node.api("GET", f"/v1/clients/{name}/pending")[1]
                                  for name in ("a", "b", "away")], waiting)
                for name, to, was in (("both", ["b", "a"], "acked"), ("back", "a", "dropped"),
                                      ("left", "a", "pending"), ("late", "away", "expired")):
                    status, again, _ = node.message(to=to, ack=True, id=name, data=None)
                    self.assertEqual((status, again["state"], again["now"]),
                                     (200, "duplicate", was))
                    self.assertEqual(again["first"]["id"], name)
                for other in ({"to": "a"}, {"data": 1}, {"event": "e"}):
                    status, answer, _ = node.message(**{"to": ["a", "b"], "ack": True,
                                                        "id": "both", "data": None, **other})
                    self.assertEqual((status, answer["error"]["code"]), (409, "id_reused"))
                with JsonClient(node, "a") as a, JsonClient(node, "b") as b:
                    (left,), (one,) = hear(a, 1), hear(b, 1)
                    self.assertEqual((left["id"], left["redelivered"]), ("left", True))
                    self.assertEqual((one["id"], one["redelivered"]), ("one", True))
                    b.say(type="ack", id="one")
                    a.say(type="ack", id="left")
                    # What was settled before is not acknowledged anew.
                    a.say(type="ack", ids=["back", "late", "both"])
                    self.assertTrue(a.silent(0.05))
                self.assertEqual(node.api("DELETE", "/v1/messages/both")[1], told["both"])
                self.assertEqual(node.api("DELETE", "/v1/messages/one")[1]["to"],
                                 {"a": "acked", "b": "acked", "away": "dropped"})
                self.settled(node)
                node.stop()

    def test_the_ttl_ends_while_the_node_is_down(self):
        with Data() as data:
            node = data.node()
            push(node, "a", id="short", ttl=1)
            push(node, ["a", "b"], id="shared", ttl=1)
            push(node, "a", id="long")
            with JsonClient(node, "b") as b:
                b.say(type="ack", id=b.hear_message()["id"])
                wait_until("it is told", lambda: fate(node, "shared")["to"]["b"] == "acked")
            node.kill()
            over = time.time() + 1.1
            wait_until("its ttl is over", lambda: time.time() > over)
            node = data.node()
            with JsonClient(node, "a") as a:
                self.assertEqual(a.hear_message()["id"], "long")
                wait_until("it is told", lambda: fate(node, "short")["state"] == "expired" and
                           fate(node, "shared")["state"] == "expired")
                self.assertEqual(fate(node, "shared")["to"], {"a": "expired", "b": "acked"})
                a.say(type="ack", id="long")
                self.settled(node)
                self.assertTrue(a.silent(0.05))
            told = fates(node, ["short", "shared", "long"])
            node.kill()
            with data.node() as node:
                self.assertEqual(fates(node, ["short", "shared", "long"]), told)
                self.settled(node)

    def test_in_the_order_accepted_with_any_number_of_workers(self):
        names = [f"till-{i}" for i in range(12)]
        with Data() as data:
            expected = {name: [] for name in names}
            for round_number, workers in enumerate((2, 5, 1, 3)):
                node = data.node(workers=workers)
                some = [{"to": name, "id": f"{name}.{round_number}.{i}"}
                        for i in range(5) for name in names]
                push_many(node, some)
                acked = []
                for one in some:
                    expected[one["to"]].append(one["id"])
                for i, name in enumerate(names):
                    with JsonClient(node, name, source=f"127.0.0.{i + 1}") as till:
                        heard = ids(hear(till, len(expected[name])))
                        self.assertEqual(heard, expected[name])
                        gone = [heard[i % len(heard)], heard[-1]]
                        till.say(type="ack", ids=gone)
                        acked += gone
                        expected[name] = [one for one in heard if one not in gone]
                left = sum(map(len, expected.values()))
                self.told(node, acked)
                end(node, "killed" if round_number % 2 else "drained")
            with data.node(workers=2) as node:
                self.assertEqual(pending(node), left)
                self.assertEqual(node.metric("ringpost_store_restored"), left)
                for name in names:
                    with JsonClient(node, name) as till:
                        heard = ids(hear(till, len(expected[name])))
                        self.assertEqual(heard, expected[name])
                        till.say(type="ack", ids=heard)
                self.settled(node)

    def test_every_byte_of_it(self):
        payloads = ["", "ä\u2028\0\n", 1e300, -0.0, [[[]]], {"": {}}, True, None, "x" * 65000,
                    {"a": list(range(1000))}]
        with Data() as data:
            node = data.node("--client-send", "on", workers=3)
            for i, payload in enumerate(payloads):
                push(node, ["json", "counted"], payload, id=f"m{i}", event=f"e ü{i}")
            raw = bytes(range(256)) * 10
            self.assertEqual(node.api("POST", "/v1/clients/json?ack=1&raw=1&to=counted&id=raw",
                                      raw.decode("latin1"))[0], 400)
            for name in ("json", "counted"):
                status, answer, _ = node.api("POST", f"/v1/clients/{name}?ack=1&raw=1&id={name}",
                                             headers={"Content-Type": "image/png"}, body=raw)
                self.assertEqual(status, 202, answer)
            with JsonClient(node, "sender") as sender:
                sent = sender.asks(type="send", to="json", ack=True, id="m1", data=[7], ref=1)
                self.assertEqual((sent["type"], sent["state"]), ("ok", "stored"))
            with JsonClient(node, "json") as first, CountedClient(node, "counted") as second:
                were = hear(first, len(payloads) + 2)
                others = [second.hear_message() for _ in range(len(payloads) + 1)]
            self.assertEqual([message["data"] for message in were[:-2]], payloads)
            self.assertEqual(base64.b64decode(were[-2]["data"]), raw)
            node.kill()
            with data.node("--client-send", "on", workers=2) as node:
                with JsonClient(node, "sender") as sender:
                    again = sender.asks(type="send", to="json", ack=True, id="m1", data=[7], ref=2)
                    self.assertEqual((again["type"], again["state"]), ("ok", "duplicate"))
                with JsonClient(node, "json") as first, CountedClient(node, "counted") as second:
                    heard = hear(first, len(were))
                    self.assertEqual(heard, [{**was, "redelivered": True} for was in were])
                    got = [second.hear_message() for _ in others]
                    self.assertEqual(got, [(name, event, flags.replace("a", "ar"), payload)
                                           for name, event, flags, payload in others])
                    for message in heard:  # one by one, since two have the same id
                        first.say(type="ack", id=message["id"])
                    second.send("ACK " + " ".join(one[0] for one in got) + "\r\n")
                    self.settled(node)


class Settings(Stored):
    def test_a_smaller_max_message(self):
        with Data() as data:
            node = data.node("--max-message", "200K", "--max-body", "1M")
            sizes = (150000, 10, 70000, 1000)
            for size in sizes:
                push(node, "till-7", "x" * size, id=f"m{size}")
            node.kill()
            with data.node("--max-message", "1000") as node, JsonClient(node, "till-7") as till:
                self.assertEqual(node.message(to="till-7", ack=True, data="x" * 1000)[0], 413)
                heard = hear(till, len(sizes))
                self.assertEqual([len(message["data"]) for message in heard], list(sizes))
                till.say(type="ack", ids=ids(heard))
                self.settled(node)

    def test_a_memory_that_is_too_small(self):
        with Data() as data:
            node = data.node()
            count = 100
            push_many(node, [{"to": "till-7", "id": f"m{i}", "data": "x" * 60000}
                             for i in range(count)])
            node.kill()
            said = data.refused("--memory", "4M")
            value = re.search("not the memory for what is in it .* raise --memory to ([0-9]+M)",
                              said).group(1)
            with data.node("--memory", value) as node, JsonClient(node, "till-7") as till:
                for i in range(count):
                    message = till.hear_message()
                    self.assertEqual((message["id"], len(message["data"])), (f"m{i}", 60000))
                    till.say(type="ack", id=message["id"])
                self.settled(node)

    def test_fates_give_way(self):
        """More of them than the memory holds: a start forgets the oldest."""
        count = 20000
        with Data() as data:
            node = data.node()
            for begin in range(0, count, 500):
                push_many(node, [{"to": "away", "id": f"m{i}", "ttl": 0.05}
                                 for i in range(begin, begin + 500)])
                wait_until("all have expired", lambda: pending(node) == 0)
            last = f"m{count - 1}"
            wait_until("the last is told", lambda: fate(node, last).get("state") == "expired")
            node.kill()
            with data.node("--memory", "2M") as node:
                self.assertEqual(fate(node, last)["state"], "expired")
                self.assertNotIn("state", fate(node, "m0"))
                wait_until("there is room", lambda: node.message(to="away", ack=True)[0] == 202)

    def test_smaller_limits(self):
        """What was taken within other limits is kept."""
        with Data() as data:
            node = data.node()
            push_many(node, [{"to": "till-7", "id": f"m{i}"} for i in range(50)])
            node.kill()
            with data.node("--ack-backlog", "5", "--ack-window", "3", "--fsync", "never") as node:
                self.assertEqual(pending(node), 50)
                self.assertEqual(node.message(to="till-7", ack=True)[0], 503)
                with JsonClient(node, "till-7") as till:
                    for i in range(50):
                        self.assertEqual(till.hear_message()["id"], f"m{i}")
                        till.say(type="ack", id=f"m{i}")
                    wait_until("there is room", lambda: pending(node) == 0)
                    push(node, "till-7", id="m50")
                    till.say(type="ack", id=till.hear_message()["id"])
                self.settled(node)

    def test_a_session_without_an_id_is_another_after_a_start(self):
        """It stands in the same place, and its ids are its own."""
        with Data("--client-send", "on") as data:
            for data_of_run in (1, 1, 2):
                node = data.node(workers=1)
                with JsonClient(node) as till:
                    for state in ("stored", "duplicate"):
                        self.assertEqual(till.asks(type="send", to="away", id="x1", ack=True,
                                                   data=data_of_run, ref=1)["state"], state)
                node.kill()
            with data.node() as node:
                self.assertEqual(pending(node), 3)

    def test_fewer_fates(self):
        with Data() as data:
            node = data.node()
            names = [f"m{i}" for i in range(40)]
            with JsonClient(node, "till-7") as till:
                for name in names:
                    push(node, "till-7", id=name)
                    till.say(type="ack", id=till.hear_message()["id"])
                    wait_until("it is told", lambda: fate(node, name)["state"] == "acked")
            push(node, "away", id="still")
            told = fates(node, names)
            node.kill()
            node = data.node("--fate-max", "10")
            known = fates(node, names)
            self.assertEqual([name for name in names if known[name]], names[-10:])
            for name in names[-10:]:
                self.assertEqual(known[name], told[name])
            self.assertEqual(fate(node, "still")["state"], "pending")
            node.kill()
            node = data.node("--fate-window", "0")
            self.assertFalse(any(fates(node, names).values()))
            self.assertEqual(fate(node, "still")["state"], "pending")
            # A repeat is one as long as --dedup-window wants.
            for name in (names[0], names[-1]):
                status, again, _ = node.message(to="till-7", ack=True, id=name, data=None)
                self.assertEqual((status, again["state"], again["now"]),
                                 (200, "duplicate", "acked"))
                self.assertEqual(node.message(to="away", ack=True, id=name)[0], 409)
            node.kill()
            with data.node("--fate-window", "0", "--dedup-window", "0") as node:
                self.assertEqual(push(node, "away", id="m0")["state"], "stored")
                self.assertEqual(pending(node), 2)
                for name in ("still", "m0"):
                    node.api("DELETE", f"/v1/messages/{name}")
                self.settled(node)

    def test_fates_of_clients_push_out_only_each_other(self):
        """Neither while the node runs, nor at a start with a smaller --fate-max."""
        flags = ("--client-send", "on", "--dedup-window", "0")
        with Data(*flags) as data:
            for of_run, of_start in ((40, 40), (200, 40)):
                node = data.node("--fate-max", str(of_run))
                with JsonClient(node, "till-7") as till, JsonClient(node, "safe") as safe:
                    push(node, "till-7", id="p")
                    till.say(type="ack", id=till.hear_message()["id"])
                    self.told(node, ["p"])
                    names = [f"m{i}" for i in range(60)]
                    for name in names:
                        safe.say(type="send", to="till-7", id=name, ack=True)
                        till.say(type="ack", id=till.hear_message()["id"])
                    self.told(node, names[-1:])
                    known = fates(node, names)
                    self.assertEqual([name for name in names if known[name]],
                                     names[-min(60, of_run // 4):])
                node.kill()
                with data.node("--fate-max", str(of_start)) as node:
                    self.told(node, ["p"])
                    known = fates(node, names)
                    self.assertEqual([name for name in names if known[name]],
                                     names[-of_start // 4:])


class Memory(Stored):
    def fill(self, node, addresses):
        """Until memory refuses; gives how many were taken."""
        taken = full = number = 0
        while full < 4:
            status, answer, _ = node.api("POST", "/v1/messages", [
                {"to": [f"c{number}-{i}-{j}" for j in range(addresses)], "ack": True, "data": 1}
                for i in range(100)])
            number += 1
            got = 0 if status == 503 else sum(one["status"] == 202 for one in answer)
            taken += got
            full += got < 100
        return taken

    def test_full_and_started_again(self):
        for how, addresses in (("drained", 5), ("killed", 1)):
            with self.subTest(how=how), Data("--memory", "16M", "--fsync", "never") as data:
                node = data.node(workers=2)
                self.fill(node, addresses)
                waiting = pending(node)
                for workers in (2, 8, 1):
                    end(node, how)
                    node = data.node(workers=workers)
                    self.assertEqual(pending(node), waiting)
                with JsonClient(node, "c0-0-0") as till:
                    till.say(type="ack", ids=ids(hear(till, 1)))
                    wait_until("it is acknowledged", lambda: pending(node) == waiting - 1)
                node.kill()

    def test_beyond_the_ceiling(self):
        """All of it is there, nothing is added, and it ends when enough is settled."""
        with Data("--fsync", "never") as data:
            node = data.node("--memory", "18M", workers=2)
            for begin in range(0, 200, 50):
                push_many(node, [{"to": "till-7", "id": f"m{i}", "data": "x" * 40000}
                                 for i in range(begin, begin + 50)])
            self.fill(node, 1)
            waiting = pending(node)
            node.kill()
            with data.node("--memory", "16M", workers=3) as node:
                self.assertEqual(pending(node), waiting)
                self.assertIn("event=restored_beyond_memory", node.log())
                granted = "ringpost_memory_granted_bytes"
                ceiling = node.metric("ringpost_memory_ceiling_bytes")
                self.assertTrue(ceiling < node.metric(granted) < ceiling * 1.25)
                status, answer, _ = node.message(to="till-7", ack=True, data=1)
                self.assertEqual((status, answer["error"]["code"]), (503, "overloaded"))
                self.assertEqual(node.message(to="till-7", data=1)[0], 503)
                self.assertGreater(node.metric("ringpost_memory_refused_total"), 0)
                self.assertEqual(node.api("GET", "/healthz")[0], 200)
                self.assertEqual(node.api("DELETE", "/v1/messages/m199")[1]["state"], "dropped")
                with JsonClient(node, "till-7") as till:
                    for i in range(199):
                        message = till.hear_message()
                        self.assertEqual((message["id"], len(message["data"])), (f"m{i}", 40000))
                        till.say(type="ack", id=f"m{i}")
                    wait_until("there is room",
                               lambda: node.message(to="till-7", ack=True, id="new")[0] == 202)
                    self.assertEqual(till.hear_message()["id"], "new")
                    till.say(type="ack", id="new")
                    self.told(node, ["new"])
                self.assertLess(node.metric(granted), ceiling)
                self.assertEqual(pending(node), waiting - 200)


class Drain(Stored):
    def test_with_pending(self):
        with Data() as data:
            node = data.node("--drain-timeout", "2")
            push_many(node, [{"to": "away"}] * 7)
            with JsonClient(node, "till-7") as till:
                push_many(node, [{"to": "till-7"}] * 3)
                heard = hear(till, 3)
                till.say(type="ack", id=heard[0]["id"])
                wait_until("it is told", lambda: pending(node) == 9)
                node.signal(signal.SIGTERM)
                self.assertEqual(till.hear()["type"], "goodbye")
                self.assertIsNone(till.hear())
            self.assertEqual(node.wait_exit(), 0)
            self.assertNotIn("messages_lost", node.log())
            with data.node() as node:
                self.assertEqual(pending(node), 9)
                with JsonClient(node, "till-7") as till:
                    self.assertEqual(ids(hear(till, 2)), ids(heard)[1:])


@unittest.skipIf(STRACE is None, "apt-get install strace")
@unittest.skipIf(ONCE, ONCE_WHY)
class Slow(Stored):
    """A disk that takes 0.3 s to sync."""

    SLOW_S = 0.3
    WHAT = "delay_exit=300000"

    def test_nothing_is_answered_before_it_is_safe(self):
        with Data() as data, data.node() as node, JsonClient(node, "till-7") as till:
            with disk_that(node, self.WHAT):
                began = time.monotonic()
                push(node, "till-7", id="m1")
                self.assertGreater(time.monotonic() - began, self.SLOW_S)
                # Nor does the client have it before.
                threading.Timer(0, push, (node, "till-7"), {"id": "m2"}).start()
                self.assertEqual(till.hear_message()["id"], "m1")
                began = time.monotonic()
                self.assertEqual(till.hear_message()["id"], "m2")
                self.assertGreater(time.monotonic() - began, self.SLOW_S / 2)
                # Nor is an acknowledgement told.
                began = time.monotonic()
                till.say(type="ack", ids=["m1", "m2"])
                wait_until("it is told", lambda: fate(node, "m2")["state"] == "acked")
                self.assertGreater(time.monotonic() - began, self.SLOW_S)
                self.assertEqual(degraded(node), [])
            self.settled(node)

    def test_taken_back(self):
        """It is told when that is safe; where the disk takes longer than 5 s, nothing is."""
        with Data() as data, data.node() as node, JsonClient(node, "till-7") as till:
            push_many(node, [{"to": "till-7", "id": "m1"}, {"to": ["till-7", "away"], "id": "m2"}])
            hear(till, 2)
            self.spares(node)
            with disk_that(node, self.WHAT):
                began = time.monotonic()
                status, told, _ = node.api("DELETE", "/v1/messages/m1")
                self.assertEqual((status, told["state"], told["reason"]),
                                 (200, "dropped", "withdrawn"))
                self.assertGreater(time.monotonic() - began, self.SLOW_S)
            with disk_that(node, "delay_exit=7000000:when=1"):
                began = time.monotonic()
                self.refused_by_store(node.api("DELETE", "/v1/messages/m2"))
                self.assertLess(abs(time.monotonic() - began - 5), 1)
                self.assertEqual(node.metric("ringpost_withdrawals_unsafe_total"), 1)
                self.assertEqual(fate(node, "m2")["state"], "pending")
                self.assertEqual(node.api("GET", "/v1/clients/away/pending")[1]["count"], 0)
                # Once more, and it is done.
                status, told, _ = node.api("DELETE", "/v1/messages/m2")
                self.assertEqual((status, told["to"]), (200, {"till-7": "dropped",
                                                              "away": "dropped"}))
                self.assertGreater(time.monotonic() - began, 6)
            self.assertEqual(fate(node, "m2"), told)
            self.settled(node)

    def test_wait_ack(self):
        with Data() as data, data.node() as node, JsonClient(node, "till-7") as till:
            with disk_that(node, self.WHAT):
                answers = []
                waits = threading.Thread(target=lambda: answers.append(
                    node.push("till-7", 1, "?ack=1&wait=ack&id=m1&timeout=10")))
                began = time.monotonic()
                waits.start()
                till.say(type="ack", id=till.hear_message()["id"])
                waits.join()
                self.assertEqual((answers[0][0], answers[0][1]["state"]), (200, "acked"))
                self.assertGreater(time.monotonic() - began, 2 * self.SLOW_S)
                self.assertEqual(node.push("till-7", 2, "?ack=1&wait=ack&timeout=0")[1]["state"],
                                 "pending")
                till.say(type="ack", id=till.hear_message()["id"])
            self.settled(node)

    def test_drain_with_acknowledgements_under_way(self):
        with Data() as data:
            node = data.node()
            names = [f"m{i}" for i in range(100)]
            with JsonClient(node, "till-7") as till:
                push_many(node, [{"to": "till-7", "id": name} for name in names])
                hear(till, len(names))
                with disk_that(node, self.WHAT):
                    till.say(type="ack", ids=names)
                    self.assertEqual(till.asks(type="ping"), {"type": "pong"})
                    self.assertEqual(fate(node, "m99")["state"], "pending")
                    node.signal(signal.SIGTERM)
                    self.assertEqual(till.hear()["type"], "goodbye")
                    self.assertEqual(node.wait_exit(), 0)
            with data.node() as node, JsonClient(node, "till-7") as till:
                self.assertEqual({one["state"] for one in fates(node, names).values()}, {"acked"})
                self.assertTrue(till.silent(0.05))
                self.settled(node)

    def test_killed_before_the_acknowledgement_is_safe(self):
        with Data() as data:
            node = data.node()
            with JsonClient(node, "till-7") as till:
                push(node, "till-7", id="m1")
                till.hear_message()
                with disk_that(node, "error=EIO", "pwrite64"):
                    till.say(type="ack", id="m1")
                    till.asks(type="ping")
                    wait_until("the store knows", lambda: degraded(node))
                    self.assertEqual(fate(node, "m1")["state"], "pending")
                    node.kill()
            with data.node() as node, JsonClient(node, "till-7") as till:
                message = till.hear_message()
                self.assertEqual((message["id"], message["redelivered"]), ("m1", True))
                till.say(type="ack", id="m1")
                self.settled(node)


if __name__ == "__main__":
    unittest.main()
