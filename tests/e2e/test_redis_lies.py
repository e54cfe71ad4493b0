"""What calls itself Redis says whatever it likes: the node goes on, its own clients notice nothing,
and it takes no more memory and log than it should."""

import itertools
import json
import time
import unittest

from redis_liar import Close, Liar, bulk, garbage, polite
from redis_server import is_up
from support import SANITIZED, JsonClient, Node, wait_until

WATCHED_S = 0.5
MB = 1 << 20
BIG = b"x" * 65536


def instead(of, reply):
    """Polite, but for those commands."""
    return lambda words: reply if words[0].upper() in of else polite(words)


def message(channel, text):
    return bulk("message", channel, text if isinstance(text, (str, bytes)) else json.dumps(text))


class Lies(unittest.TestCase):
    def resident(self, node):
        with open(f"/proc/{node.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * 4096

    def check(self, answers=polite, first=lambda: b"", up=None, watch=None):
        """`up`: whether it may be up at the end; None: either. `watch` gets the node and the liar,
        once the node's client is there."""
        with Liar(answers, first) as liar, \
                Node("--redis", liar.url, "--memory", "64M") as node, \
                JsonClient(node, "x", ["g"]) as client:
            before = self.resident(node)
            if watch:
                watch(node, liar)
            end = time.monotonic() + WATCHED_S
            number = 0
            while time.monotonic() < end:
                began = time.monotonic()
                status, answer, _ = node.message(to="x", data=number)
                self.assertEqual(status, 202, answer)
                if not SANITIZED:
                    self.assertLess(time.monotonic() - began, 1.9)
                heard = client.hear_message()
                while heard["data"] == "lie":
                    heard = client.hear_message()
                self.assertEqual(heard["data"], number)
                number += 1
                time.sleep(0.01)
            self.assertGreater(liar.connections, 0)
            if up is not None:
                wait_until("it is as it should be", lambda: is_up(node) == up)
            if not SANITIZED:
                self.assertLess(self.resident(node) - before, 24 * MB)
            lines = len(node.log().splitlines())
            self.assertLess(lines, 120, node.log()[-3000:])
            self.assertLess(liar.connections, 60)
            print(f"{self.id()}: {liar.connections} connections, {liar.commands} commands, "
                  f"{liar.sent} bytes, {lines} lines")
            return node.log()

    def test_one_who_is_polite(self):
        """So the others are refused for what they say."""
        self.check(up=True)

    def test_noise(self):
        numbers = itertools.count()
        for first in (lambda: b"HTTP/1.1 400 Bad Request\r\n\r\n",
                      lambda: garbage(5000, next(numbers)),
                      lambda: b"+" + b"x" * 200000, lambda: b"$" * 1000,
                      lambda: b"%1\r\n+a\r\n+b\r\n", lambda: b">2\r\n+a\r\n+b\r\n"):
            log = self.check(first=first, up=False)
            self.assertIn("event=redis_lost", log)

    def test_answers_of_the_wrong_kind(self):
        for reply in (b":1\r\n", b"$-1\r\n", b"*0\r\n", b"*-1\r\n", b"+OK\r\n", b"$0\r\n\r\n",
                      b":-9223372036854775808\r\n", b":99999999999999999999\r\n"):
            with self.subTest(reply=reply):
                self.check(instead((b"SUBSCRIBE",), reply), up=False)
                self.check(lambda _, said=reply: said)

    def test_errors_only(self):
        for error in (b"-ERR no\r\n", b"-LOADING Redis is loading the dataset in memory\r\n",
                      b"-ERR unknown command 'X'\r\n", b"-NOPERM no\r\n",
                      b"-MISCONF " + b"x" * 60000 + b"\r\n"):
            with self.subTest(error=error[:20]):
                log = self.check(lambda _, said=error: said, up=False)
                self.assertIn("event=redis_lost", log)

    def test_answers_that_nobody_asked_for(self):
        self.check(lambda words: polite(words) + b"+OK\r\n", up=False)

        def watch(_, liar):
            wait_until("it has subscribed", lambda: liar.subscriber)
            liar.say(liar.subscriber, b"+PONG\r\n")
        log = self.check(watch=watch)
        self.assertIn("event=redis_lost", log)

    def test_large_announcements(self):
        def endless(head):
            return lambda: itertools.chain([head], itertools.repeat(BIG, 4000))
        for head in (b"$2000000000\r\n", b"$99999999999\r\n", b"*1000000\r\n", b"*1\r\n" * 1000,
                     b"*3\r\n$7\r\nmessage\r\n$2000000000\r\n",
                     b"*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$2000000000\r\n"):
            with self.subTest(head=head[:40]):
                reply = endless(head)
                self.check(lambda words, said=reply: said() if words[0] == b"SUBSCRIBE"
                           else polite(words), up=False)

    def test_long_messages_are_passed_over(self):
        """One of 48 MB takes no memory, and what follows it is heard."""
        def watch(node, liar):
            wait_until("it has subscribed", lambda: liar.subscriber)
            wait_until("it is up", lambda: is_up(node))
            head = b"*3\r\n$7\r\nmessage\r\n$12\r\nringpost:all\r\n$%d\r\n" % (768 * len(BIG))
            liar.say(liar.subscriber, itertools.chain([head], itertools.repeat(BIG, 768), [
                b"\r\n", message("ringpost:all", {"data": "lie"})]))
            wait_until("it is refused", lambda: node.metric(
                "ringpost_redis_refused_total", reason="too_large") == 1)
            wait_until("the next is taken", lambda: node.metric(
                "ringpost_redis_received_total") == 1)
        log = self.check(watch=watch, up=True)
        self.assertNotIn("event=redis_lost", log)

    def test_channels_that_were_not_subscribed(self):
        def watch(node, liar):
            wait_until("it has subscribed", lambda: liar.subscriber)
            wait_until("it is up", lambda: is_up(node))
            others = ("", "x", "ringpost:", "ringpost:id:", "ringpost:idx", "ringpost:alle",
                      "other:all", "ringpost:id:" + "n" * 300, "ringpost:node:x")
            for channel in others:
                liar.say(liar.subscriber, message(channel, {"data": "lie"}))
            wait_until("all are refused", lambda: node.metric(
                "ringpost_redis_refused_total", reason="channel") == len(others))
            liar.say(liar.subscriber, message("ringpost:id:nobody", {"data": "lie"}))
            liar.say(liar.subscriber, message("ringpost:group:nobody", {"data": "lie"}))
            wait_until("nobody is there", lambda: node.metric(
                "ringpost_redis_received_total") == 2)
        self.check(watch=watch, up=True)

    def test_confirmations_that_were_not_asked_for(self):
        for what in (bulk("pmessage", "*", "ringpost:all", "{}"), bulk("smessage", "x", "{}"),
                     b"*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n", bulk("pong", ""),
                     b"*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n", bulk("message", "x"),
                     b"*3\r\n$7\r\nmessage\r\n*0\r\n*0\r\n",
                     b"*3\r\n$7\r\nmessage\r\n:1\r\n:2\r\n"):
            def watch(node, liar, said=what):
                wait_until("it has subscribed", lambda: liar.subscriber)
                wait_until("it is up", lambda: is_up(node))
                liar.say(liar.subscriber, said)
                node.wait_log("event=redis_lost")
            with self.subTest(what=what):
                self.check(watch=watch)

    def test_nodes_without_end(self):
        """Each word names another; so many are remembered."""
        def watch(node, liar):
            wait_until("it has subscribed", lambda: liar.subscriber)
            wait_until("it is up", lambda: is_up(node))
            for i in range(3000):
                liar.say(liar.subscriber, message("ringpost:all", {
                    "node": {"run": f"{i:016x}", "name": f"n{i}", "lives": True}}))
                liar.say(liar.subscriber, message("ringpost:all", {
                    "node": {"run": f"{i:016x}", "n": 1 << 60, "p": 1 << 63, "s": 1 << 62,
                             "e": 1}, "broadcast": True, "data": "lie"}))
            wait_until("they are read", lambda: node.metric("ringpost_redis_nodes") == 1024)
            wait_until("they are silent", lambda: node.metric("ringpost_redis_nodes") == 0)
        self.check(watch=watch, up=True)

    def test_silence(self):
        self.check(lambda _: None, up=False)
        self.check(lambda words: None if words[0] in (b"PUBLISH", b"SUBSCRIBE")
                   else polite(words))

    def test_whoever_closes(self):
        def close(*_):
            raise Close
        self.check(first=close, up=False)
        self.check(close, up=False)
        for word in (b"SUBSCRIBE", b"PUBLISH"):
            self.check(lambda words, at=word: close() if words[0] == at else polite(words))

    def test_answers_in_single_bytes(self):
        def slowly(words):
            return [bytes([one]) for one in polite(words)]
        self.check(slowly, up=True)

    def test_counts_that_are_none(self):
        """What PUBLISH answers is what producers are told, as far as it can be."""
        for said, told in ((b":-5\r\n", 0), (b":9223372036854775807\r\n", 2147483647),
                           (b":3\r\n", 3)):
            with Liar(instead((b"PUBLISH",), said)) as liar, Node("--redis", liar.url) as node:
                wait_until("it is up", lambda one=node: is_up(one))
                status, answer, _ = node.message(to="y", data=1)
                self.assertEqual((status, answer["recipients"]), (202 if told else 404, told))


if __name__ == "__main__":
    unittest.main()
