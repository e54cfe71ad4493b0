"""Acknowledged messages as clients see them: again after silence, in order after a reconnect,
within the window, settled once; and that nobody can do harm by acknowledging."""

import itertools
import random
import signal
import time
import unittest

from support import SANITIZED, CountedClient, JsonClient, Node, run, wait_until

NO_SILENCE = ("--ack-silence", "600")


def push(node, to, data=None, **fields):
    status, answer, _ = node.message(to=to, ack=True, data=data, **fields)
    assert status in (200, 202), (status, answer)
    return answer


def push_many(node, messages):
    """In one request, so in that order."""
    status, answers, _ = node.api("POST", "/v1/messages",
                                  [{"ack": True, **message} for message in messages])
    assert status == 200, answers
    assert all(answer["status"] == 202 for answer in answers), answers
    return answers


def fate(node, message_id):
    return node.api("GET", f"/v1/messages/{message_id}")[1]


def pending(node):
    """Exactly: the metric may be a tenth of a second old."""
    return node.api("GET", "/v1/stats")[1]["totals"]["ack_pending"]


def audit(node):
    return run(["audit", "--api", "{}:{}".format(*node.address("api"))])


def hear(till, count):
    return [till.hear_message() for _ in range(count)]


def ids(messages):
    return [message["id"] for message in messages]


class Acks(unittest.TestCase):
    def settled(self, node):
        """Nothing is pending, and every message is accounted for."""
        wait_until("nothing is pending", lambda: pending(node) == 0)
        status, out, error = audit(node)
        self.assertEqual(status, 0, out + error)


class Again(Acks):
    def test_after_silence(self):
        with Node("--ack-silence", "0.3") as node:
            with JsonClient(node, "till-7") as till, CountedClient(node, "till-8") as other:
                began = time.monotonic()
                push(node, ["till-7", "till-8"], {"cents": 1}, id="m1", event="pay")
                first = till.hear_message()
                self.assertEqual(first, {"type": "message", "id": "m1", "event": "pay",
                                         "ack": True, "data": {"cents": 1}})
                self.assertEqual(other.hear_message(), ("m1", "pay", "a", b'{"cents": 1}'))
                for _ in range(3):
                    self.assertEqual(till.hear_message(), {**first, "redelivered": True})
                    self.assertEqual(other.hear_message(), ("m1", "pay", "ar", b'{"cents": 1}'))
                self.assertGreater(time.monotonic() - began, 0.85)
                till.say(type="ack", id="m1")
                wait_until("it is told", lambda: fate(node, "m1")["to"]["till-7"] == "acked")
                self.assertEqual(fate(node, "m1")["state"], "pending")
                other.send("ACK m1\r\n")
                wait_until("it is told", lambda: fate(node, "m1")["state"] == "acked")
                # What was on its way before the acknowledgement may still come, and nothing more.
                other.send("PING\r\n")
                while other.words()[0] != "PONG":
                    pass
                self.assertTrue(other.silent(0.8))
            self.settled(node)
            self.assertGreaterEqual(node.metric("ringpost_redelivered_total"), 6)

    def test_each_of_a_batch_comes_again(self):
        with Node("--ack-silence", "0.5") as node, JsonClient(node, "till-7") as till:
            ids = [f"m{number}" for number in range(60)]
            node.api("POST", "/v1/messages", [{"to": "till-7", "ack": True, "id": id}
                                              for id in ids])
            for again in (False, True, True):
                heard = [till.hear_message() for _ in ids]
                self.assertEqual(sorted(message["id"] for message in heard), sorted(ids))
                self.assertEqual({message.get("redelivered", False) for message in heard}, {again})
            till.say(type="ack", ids=ids)
            self.settled(node)

    def test_nothing_again_that_was_acknowledged_in_time(self):
        with Node("--ack-silence", "0.3") as node, JsonClient(node, "till-7") as till:
            for _ in range(10):
                push(node, "till-7")
                message = till.hear_message()
                self.assertNotIn("redelivered", message)
                till.say(type="ack", id=message["id"])
            self.assertTrue(till.silent(0.7))
            self.settled(node)

    def test_the_silence_counts_from_the_last_time(self):
        """A till that comes back in the middle of the silence is not asked at its old end."""
        with Node("--ack-silence", "1.2") as node:
            with JsonClient(node, "till-7") as till:
                push(node, "till-7")
                till.hear_message()
                self.assertTrue(till.silent(0.8))
            wait_until("it has gone", lambda: node.metric("ringpost_sessions") == 0)
            with JsonClient(node, "till-7") as till:
                self.assertTrue(till.hear_message()["redelivered"])
                self.assertTrue(till.silent(0.9))
                message = till.hear_message()
                self.assertTrue(message["redelivered"])
                till.say(type="ack", id=message["id"])
            self.settled(node)


class Reconnect(Acks):
    def test_pending_first_in_order(self):
        for workers in (1, 2, 3):
            with self.subTest(workers=workers), Node(*NO_SILENCE, workers=workers) as node:
                with JsonClient(node, "till-7") as till:
                    push_many(node, [{"to": "till-7", "id": f"a{i}"} for i in range(10)])
                    heard = hear(till, 10)
                    till.say(type="ack", ids=["a3", "a4"])
                    wait_until("they are told", lambda: pending(node) == 8)
                wait_until("it has gone", lambda: node.metric("ringpost_sessions") == 0)
                for i in range(5):
                    self.assertEqual(push(node, "till-7", id=f"b{i}")["state"], "stored")
                for address in ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"):
                    with JsonClient(node, "till-7", source=address) as till:
                        push(node, "till-7", id=f"c{address}")
                        heard = hear(till, 14)
                        self.assertEqual(ids(heard)[:13],
                                         [f"a{i}" for i in (0, 1, 2, 5, 6, 7, 8, 9)] +
                                         [f"b{i}" for i in range(5)])
                        self.assertEqual(heard[13]["id"][0], "c")
                        for message in heard[:8]:
                            self.assertTrue(message.get("redelivered"), message)
                        if address == "127.0.0.1":
                            for message in heard[8:]:
                                self.assertNotIn("redelivered", message)
                        till.say(type="ack", id=f"c{address}")
                        wait_until("it is told", lambda: pending(node) == 13)
                    wait_until("it has gone", lambda: node.metric("ringpost_sessions") == 0)
                self.assertEqual(fate(node, "b4")["state"], "pending")
                with CountedClient(node, "till-7") as till:
                    heard = [till.hear_message() for _ in range(13)]
                    till.send("ACK " + " ".join(words[0] for words in heard) + "\r\n")
                    self.settled(node)

    def test_what_comes_while_it_comes(self):
        """Producers push all the while: the session sees each message, in order."""
        count = 50 if SANITIZED else 200
        with Node(*NO_SILENCE, "--ack-window", "20", workers=3) as node:
            pushed, expected = itertools.count(), 0
            for round_number in range(count // 10):
                push_many(node, [{"to": "till-7", "data": next(pushed)} for _ in range(5)])
                with JsonClient(node, "till-7", hello=False,
                                source=f"127.0.0.{1 + round_number}") as till:
                    till.say(type="hello", id="till-7")
                    push_many(node, [{"to": "till-7", "data": next(pushed)} for _ in range(5)])
                    self.assertEqual(till.hear()["type"], "welcome")
                    heard = hear(till, 10)
                    self.assertEqual([message["data"] for message in heard],
                                     list(range(expected, expected + 10)))
                    expected += 10
                    till.say(type="ack", ids=ids(heard))
                    wait_until("they are told", lambda: pending(node) == 0)
            self.settled(node)

    def test_a_reset_loses_nothing(self):
        with Node(*NO_SILENCE) as node:
            push_many(node, [{"to": "till-7", "id": f"m{i}"} for i in range(50)])
            left = [f"m{i}" for i in range(50)]
            while left:
                till = JsonClient(node, "till-7", source=f"127.0.0.{random.randint(1, 200)}")
                heard = ids(hear(till, len(left)))
                self.assertEqual(heard, left)
                acknowledged = random.sample(left, min(len(left), random.randint(1, 10)))
                till.say(type="ack", ids=acknowledged)
                left = [one for one in left if one not in acknowledged]
                wait_until("they are told", lambda: pending(node) == len(left))
                till.reset()
                wait_until("it has gone", lambda: node.metric("ringpost_sessions") == 0)
            self.settled(node)


class Window(Acks):
    def test_it_holds_back_only_this_class(self):
        with Node(*NO_SILENCE, "--ack-window", "3") as node, JsonClient(node, "till-7") as till:
            push_many(node, [{"to": "till-7", "id": f"m{i}"} for i in range(10)])
            self.assertEqual(ids(hear(till, 3)), ["m0", "m1", "m2"])
            for i in range(20):
                self.assertEqual(node.push("till-7", i)[1]["state"], "queued")
                self.assertEqual(node.push("till-7", i, "?volatile=1")[1]["state"], "queued")
            self.assertEqual([message["data"] for message in hear(till, 40)],
                             [i for i in range(20) for _ in range(2)])
            self.assertTrue(till.silent())
            for i in range(3, 10):
                till.say(type="ack", id=f"m{i - 3}")
                self.assertEqual(till.hear_message()["id"], f"m{i}")
                self.assertTrue(till.silent(0.02))
            till.say(type="ack", ids=["m7", "m8", "m9"])
            self.settled(node)

    def test_it_is_of_the_id_and_not_of_the_session(self):
        with Node(*NO_SILENCE, "--ack-window", "3", workers=3) as node:
            tills = [JsonClient(node, "till-7", source=f"127.0.0.{i}") for i in range(1, 6)]
            other = JsonClient(node, "till-8")
            push_many(node, [{"to": ["till-7", "till-8"], "id": f"m{i}"} for i in range(6)])
            for till in [*tills, other]:
                self.assertEqual(ids(hear(till, 3)), ["m0", "m1", "m2"])
                self.assertTrue(till.silent(0.02))
            other.say(type="ack", ids=["m0", "m1", "m2"])
            self.assertEqual(ids(hear(other, 3)), ["m3", "m4", "m5"])
            for till in tills:
                self.assertTrue(till.silent(0.02))
            tills[0].say(type="ack", id="m0")
            for till in tills:
                self.assertEqual(till.hear_message()["id"], "m3")
            for till in [*tills, other]:
                till.close()

    def test_a_window_of_silent_ones_is_asked_again_and_does_not_wander(self):
        with Node("--ack-silence", "0.2", "--ack-window", "2") as node:
            with JsonClient(node, "till-7") as till:
                push_many(node, [{"to": "till-7", "id": f"m{i}"} for i in range(4)])
                heard = hear(till, 12)
                self.assertEqual({message["id"] for message in heard}, {"m0", "m1"})
                till.say(type="ack", ids=["m0", "m1"])
                seen = set()
                while seen != {"m2", "m3"}:
                    seen.add(till.hear_message()["id"])
                    seen -= {"m0", "m1"}
                till.say(type="ack", ids=["m2", "m3"])
                self.settled(node)


class Settling(Acks):
    def test_a_repeat_is_one_for_longer_than_its_fate_is_told(self):
        with Node(*NO_SILENCE, "--fate-max", "1", "--dedup-window", "2") as node, \
                JsonClient(node, "till-7") as till:
            push(node, "till-7", id="m1")
            push(node, "till-7", id="m2")
            time.sleep(2.1)  # what counts is when they are settled
            till.say(type="ack", ids=ids(hear(till, 2)))
            wait_until("nobody is told", lambda: "error" in fate(node, "m1"))
            again = push(node, "till-7", id="m1")
            self.assertEqual((again["state"], again.get("now")), ("duplicate", "acked"))
            self.assertEqual(node.message(to="away", ack=True, id="m1")[0], 409)
            wait_until("the window is over",
                       lambda: push(node, "till-7", id="m1")["state"] == "queued")
            till.say(type="ack", id=till.hear_message()["id"])
            self.settled(node)

    def test_two_sessions_of_an_id(self):
        silence_s = 6 if SANITIZED else 1.5  # all 20 are there before it is over
        for workers in (1, 2, 3):
            with self.subTest(workers=workers), Node("--ack-silence", str(silence_s),
                                                     workers=workers) as node:
                tills = [JsonClient(node, "till-7", source=f"127.0.0.{i}") for i in range(1, 5)]
                for i in range(20):
                    answer = push(node, "till-7", id=f"m{i}")
                    self.assertEqual((answer["state"], answer["recipients"]), ("queued", 4))
                for till in tills:
                    self.assertEqual(ids(hear(till, 20)), [f"m{i}" for i in range(20)])
                for i in range(20):
                    tills[i % 4].say(type="ack", id=f"m{i}")
                wait_until("all are told", lambda: pending(node) == 0)
                told = [fate(node, f"m{i}") for i in range(20)]
                for till in tills:
                    till.say(type="ack", ids=[f"m{i}" for i in range(20)])
                    self.assertEqual(till.asks(type="ping"), {"type": "pong"})
                    self.assertTrue(till.silent(1.7 if till is tills[0] else 0.01))
                self.assertEqual([fate(node, f"m{i}") for i in range(20)], told)
                for till in tills:
                    till.close()
                self.settled(node)

    def test_several_ids_settle_each_for_itself(self):
        with Node(*NO_SILENCE, workers=3) as node:
            names = [f"till-{i}" for i in range(12)]
            tills = {name: JsonClient(node, name, source=f"127.0.0.{i + 1}")
                     for i, name in enumerate(names[:6])}
            answer = push(node, names, id="m1")
            self.assertEqual((answer["state"], answer["recipients"]), ("queued", 6))
            expected = dict.fromkeys(names, "pending")
            for name in names:
                told = fate(node, "m1")
                self.assertEqual((told["state"], told["to"]), ("pending", expected))
                if name not in tills:
                    tills[name] = JsonClient(node, name)
                self.assertNotIn("redelivered", tills[name].hear_message())
                tills[name].say(type="ack", id="m1")
                expected[name] = "acked"
                wait_until("it is told", lambda: fate(node, "m1")["to"] == expected)
            self.assertEqual(fate(node, "m1")["state"], "acked")
            for till in tills.values():
                self.assertTrue(till.silent(0.01))
                till.close()
            self.settled(node)

    def test_ids_on_every_keeper(self):
        count = 30
        for workers in (1, 2, 3):
            with self.subTest(workers=workers), Node(*NO_SILENCE, workers=workers) as node:
                names = [f"till-{i}" for i in range(count)]
                push_many(node, [{"to": name, "id": f"{name}.{i}"}
                                 for i in range(5) for name in names])
                for worker in range(workers):
                    self.assertGreater(node.metric("ringpost_ack_pending", worker=worker), 0)
                tills = [JsonClient(node, name, source=f"127.0.0.{i % 7 + 1}")
                         for i, name in enumerate(names)]
                for name, till in zip(names, tills):
                    heard = ids(hear(till, 5))
                    self.assertEqual(heard, [f"{name}.{i}" for i in range(5)])
                    till.say(type="ack", ids=heard)
                self.settled(node)
                push(node, names, id="all")
                for till in tills:
                    self.assertEqual(till.hear_message()["id"], "all")
                    till.say(type="ack", id="all")
                self.settled(node)
                self.assertEqual(set(fate(node, "all")["to"].values()), {"acked"})
                for till in tills:
                    till.close()

    def test_ttl(self):
        with Node(*NO_SILENCE) as node:
            with JsonClient(node, "here") as till:
                push(node, ["here", "away"], id="m1", ttl=0.4)
                push(node, "here", id="m2")
                self.assertEqual(ids(hear(till, 2)), ["m1", "m2"])
                wait_until("it expires", lambda: fate(node, "m1")["state"] == "expired")
                told = fate(node, "m1")
                self.assertEqual(told["to"], {"here": "expired", "away": "expired"})
                till.say(type="ack", ids=["m1", "m2"])
                wait_until("it is told", lambda: fate(node, "m2")["state"] == "acked")
                self.assertEqual(fate(node, "m1"), told)
            with JsonClient(node, "away") as till:
                self.assertTrue(till.silent())
            self.settled(node)

    def test_one_of_several_expires(self):
        with Node(*NO_SILENCE) as node, JsonClient(node, "here") as till:
            push(node, ["here", "away"], id="m1", ttl=0.5)
            till.say(type="ack", id=till.hear_message()["id"])
            wait_until("it is settled", lambda: fate(node, "m1")["settled"])
            self.assertEqual(fate(node, "m1")["state"], "expired")
            self.assertEqual(fate(node, "m1")["to"], {"here": "acked", "away": "expired"})
            self.settled(node)

    def test_the_window_goes_on_when_one_in_it_expires(self):
        with Node(*NO_SILENCE, "--ack-window", "1") as node, JsonClient(node, "till-7") as till:
            push(node, "till-7", id="m1", ttl=0.3)
            push(node, "till-7", id="m2")
            self.assertEqual(till.hear_message()["id"], "m1")
            self.assertEqual(till.hear_message()["id"], "m2")
            self.assertEqual(fate(node, "m1")["state"], "expired")
            till.say(type="ack", id="m2")
            self.settled(node)


class Harmless(Acks):
    def test_acknowledgements_of_what_is_not_theirs(self):
        with Node(*NO_SILENCE, workers=3) as node:
            tills = [JsonClient(node, f"till-{i}", source=f"127.0.0.{i + 1}") for i in range(4)]
            nameless = JsonClient(node, groups=["g"])
            push(node, "till-0", id="m0")
            self.assertEqual(tills[0].hear_message()["id"], "m0")
            push(node, "later", id="m1")
            node.push("till-0", 1, "?id=plain")
            tills[0].hear_message()
            for till in [*tills[1:], nameless]:
                till.say(type="ack", id="m0")
                till.say(type="ack", ids=["m0", "m1", "plain", "never", "m0"])
                self.assertEqual(till.asks(type="ping"), {"type": "pong"})
            # m1 is not for it, and has never been on its way.
            tills[0].say(type="ack", ids=["m1", "plain", "never"])
            self.assertEqual(tills[0].asks(type="ping"), {"type": "pong"})
            for name in ("m0", "m1"):
                self.assertEqual(fate(node, name)["state"], "pending")
            for _ in range(3):
                tills[0].say(type="ack", id="m0", ids=["m0", "m0"])
            wait_until("it is told", lambda: fate(node, "m0")["state"] == "acked")
            told = fate(node, "m0")
            tills[0].say(type="ack", id="m0")
            tills[0].asks(type="ping")
            self.assertEqual(fate(node, "m0"), told)
            self.assertEqual(pending(node), 1)
            node.api("DELETE", "/v1/messages/m1")
            for till in [*tills, nameless]:
                till.close()
            self.settled(node)

    def test_one_that_waits_for_its_turn_cannot_be_acknowledged(self):
        """Nobody can know it: it is still to come."""
        with Node(*NO_SILENCE, "--ack-window", "1") as node, JsonClient(node, "till-7") as till:
            push(node, "till-7", id="m1")
            push(node, "till-7", id="m2")
            self.assertEqual(till.hear_message()["id"], "m1")
            till.say(type="ack", id="m2")
            till.say(type="ack", id="m1")
            self.assertEqual(till.hear_message()["id"], "m2")
            till.say(type="ack", id="m2")
            self.settled(node)

    def test_many_in_one_line(self):
        with Node(*NO_SILENCE, "--max-message", "200K", workers=3) as node:
            json_till = JsonClient(node, "till-7", source="127.0.0.2")
            counted = CountedClient(node, "till-8", source="127.0.0.3")
            push(node, ["till-7", "till-8"], id="m1")
            json_till.hear_message()
            counted.hear_message()
            refused = json_till.asks(type="ack", ids=["m1"] + [f"x{i}" for i in range(9999)])
            self.assertEqual(refused["code"], "bad_message")
            self.assertIn("1000", refused["message"])
            self.assertEqual(fate(node, "m1")["to"]["till-7"], "pending")
            for wrong in ([], [1], ["m1", ""], "m1", None):
                self.assertEqual(json_till.asks(type="ack", ids=wrong)["code"], "bad_message")
            self.assertEqual(json_till.asks(type="ack")["code"], "bad_message")
            json_till.say(type="ack", ids=["m1"] * 10000)
            self.assertEqual(json_till.asks(type="ping"), {"type": "pong"})
            for _ in range(20):
                json_till.say(type="ack", ids=[f"x{i}" for i in range(999)] + ["m1"])
            self.assertEqual(json_till.asks(type="ping"), {"type": "pong"})
            counted.send("ACK " + "x " * 2000 + "\r\n")
            self.assertEqual(counted.words()[:2], ["ERR", "bad_message"])
            counted.send("ACK\r\n")
            self.assertEqual(counted.words()[:2], ["ERR", "bad_message"])
            counted.send("ACK m1" + " x" * 900 + "\r\nPING\r\n")
            self.assertEqual(counted.words(), ["PONG"])
            wait_until("it is told", lambda: fate(node, "m1")["state"] == "acked")
            for client in (json_till, counted):
                client.close()
            self.settled(node)

    def test_a_line_that_is_too_long_costs_only_its_session(self):
        with Node(*NO_SILENCE) as node:
            push(node, "till-7", id="m1")
            with JsonClient(node, "till-7") as till:
                till.hear_message()
                refused = till.asks(type="ack", ids=[f"{i:020}" for i in range(10000)])
                self.assertEqual(refused["code"], "too_large")
            with CountedClient(node, "till-7") as till:
                till.hear_message()
                till.send("ACK " + "x" * 5000 + "\r\n")
                self.assertEqual(till.words()[:2], ["ERR", "bad_frame"])
            with JsonClient(node, "till-7") as till:
                self.assertTrue(till.hear_message()["redelivered"])
                till.say(type="ack", id="m1")
                self.settled(node)


class Limits(Acks):
    def test_the_backlog_refuses_the_whole_message(self):
        for workers in (1, 3):
            with self.subTest(workers=workers), Node(*NO_SILENCE, "--ack-backlog", "5",
                                                     workers=workers) as node:
                push_many(node, [{"to": "full", "id": f"m{i}"} for i in range(5)])
                others = [f"till-{i}" for i in range(20)]
                status, answer, headers = node.message(to="full", ack=True, id="n1")
                self.assertEqual((status, answer["error"]["code"]), (503, "overloaded"))
                self.assertIn("Retry-After", headers)
                for place in (0, 10, 20):
                    to = others[:place] + ["full"] + others[place:]
                    status, again, _ = node.message(to=to, ack=True, id="n1")
                    self.assertEqual((status, again), (503, answer))
                self.assertEqual(answer["error"]["field"], "to")
                self.assertTrue(answer["error"]["message"].startswith("full "), answer)
                self.assertEqual(node.api("GET", "/v1/messages/n1")[0], 404)
                self.assertEqual(pending(node), 5)
                for name in (others[0], others[19]):
                    self.assertEqual(node.api("GET", f"/v1/clients/{name}")[0], 404)
                self.assertEqual(push(node, others, id="n1")["state"], "stored")
                node.api("DELETE", "/v1/messages/n1")
                with JsonClient(node, "full") as till:
                    self.assertEqual(ids(hear(till, 5)), [f"m{i}" for i in range(5)])
                    self.assertEqual(node.message(to="full", ack=True, id="m5")[0], 503)
                    till.say(type="ack", id="m0")
                    wait_until("there is room", lambda: pending(node) == 4)
                    push(node, "full", id="m5")
                    self.assertEqual(till.hear_message()["id"], "m5")
                    till.say(type="ack", ids=[f"m{i}" for i in range(6)])
                    self.settled(node)

    def test_a_slow_reader_gets_everything_in_order(self):
        """Over the outbox's limit it is not closed: its messages wait where they are kept."""
        count, size = (40, 30000) if SANITIZED else (150, 60000)
        for slow in ("close", "drop-oldest", "keep-latest"):
            with self.subTest(slow=slow), Node(*NO_SILENCE, "--outbox-bytes", "200K", "--slow",
                                               slow, "--heartbeat", "60") as node:
                till = JsonClient(node, "till-7", receive_buffer=4096)
                for i in range(count):
                    push(node, "till-7", {"n": i, "x": "x" * size})
                wait_until("it has no room left",
                           lambda: node.stats()["totals"]["outbox_bytes"] > 100000)
                time.sleep(0.8)  # a peer is slow when it took nothing for half a second
                push(node, "till-7", {"n": count})
                for i in range(count + 1):
                    message = till.hear_message()
                    self.assertEqual(message["data"]["n"], i)
                    till.say(type="ack", id=message["id"])
                self.assertEqual(node.metric("ringpost_closed_total", reason="too_slow"), 0)
                self.settled(node)
                till.close()

    def test_a_slow_session_does_not_hold_up_its_twin(self):
        count, size = 40, 60000
        with Node(*NO_SILENCE, "--outbox-bytes", "200K", workers=3) as node:
            slow = JsonClient(node, "till-7", receive_buffer=4096)
            fast = JsonClient(node, "till-7", source="127.0.0.2")
            for i in range(count):
                push(node, "till-7", {"n": i, "x": "x" * size})
            heard = hear(fast, count)
            self.assertEqual([message["data"]["n"] for message in heard], list(range(count)))
            fast.say(type="ack", ids=ids(heard))
            self.settled(node)
            # The slow one gets what had room, in order, and nothing that is settled.
            push(node, "till-7", "end", id="end")
            seen = []
            while True:
                message = slow.hear_message()
                if message["id"] == "end":
                    break
                seen.append(message["data"]["n"])
            self.assertEqual(seen, list(range(len(seen))))
            slow.say(type="ack", id="end")
            self.settled(node)
            slow.close()
            fast.close()


class Drain(Acks):
    def test_with_pending(self):
        with Node(*NO_SILENCE, "--drain-timeout", "2") as node:
            push_many(node, [{"to": "away"}] * 7)
            with JsonClient(node, "till-7") as till:
                push_many(node, [{"to": "till-7"}] * 3)
                heard = hear(till, 3)
                till.say(type="ack", id=heard[0]["id"])
                wait_until("it is told", lambda: pending(node) == 9)
                node.signal(signal.SIGTERM)
                goodbye = till.hear()
                self.assertEqual((goodbye["type"], goodbye["reason"]), ("goodbye", "draining"))
                self.assertIsNone(till.hear())
            self.assertEqual(node.wait_exit(), 0)
            self.assertRegex(node.log(), r"event=messages_lost count=9\b")

    def test_without(self):
        with Node(*NO_SILENCE) as node:
            with JsonClient(node, "till-7") as till:
                push(node, "till-7")
                till.say(type="ack", id=till.hear_message()["id"])
                self.settled(node)
            node.signal(signal.SIGTERM)
            self.assertEqual(node.wait_exit(), 0)
            self.assertNotIn("messages_lost", node.log())


if __name__ == "__main__":
    unittest.main()
