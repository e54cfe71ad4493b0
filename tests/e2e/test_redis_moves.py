"""Messages with `ack` that one node keeps, and whose client comes to another."""

import contextlib
import time
import unittest

from redis_server import HAVE, Redis, cluster, hear_after, node_of
from support import JsonClient, wait_until

SILENCE_S = 30  # what is late by this was handed over only for the client's silence
FRESH_S = 2.2  # a node remembers for 2 s which ids have come to others


def fate(node, message_id):
    return node.api("GET", f"/v1/messages/{message_id}")[1]["state"]


@unittest.skipUnless(HAVE, "there is no redis-server")
class Moves(unittest.TestCase):
    flags = ("--ack-silence", str(SILENCE_S))

    def check_comes(self, node, *kept):
        """A client of that node gets what (node, message id) say that is kept for it, soon."""
        began = time.monotonic()
        with JsonClient(node, "till") as client:
            heard = [client.hear_message()["id"] for _ in kept]
            self.assertEqual(sorted(heard), sorted(message_id for _, message_id in kept))
            client.say(type="ack", ids=heard)
            for keeper, message_id in kept:
                wait_until("it is settled", lambda keeper=keeper, message_id=message_id:
                           fate(keeper, message_id) == "acked")
        self.assertLess(time.monotonic() - began, SILENCE_S / 2)

    def test_both_nodes_keep_something(self):
        """What the first node has for the client from the second does not hold up its own."""
        with Redis() as redis, cluster(redis, "a", "b", flags=self.flags) as (a, b):
            with JsonClient(a, "till") as client:
                b.message(to="till", ack=True, id="lent", data=1)
                self.assertEqual(client.hear_message()["id"], "lent")
                a.message(to="till", ack=True, id="own", data=2)
                self.assertEqual(hear_after(client, "lent"), "own")
            wait_until("it has gone", lambda: redis.ask("PUBSUB", "NUMSUB", "ringpost:id:till")[1]
                       == 0)
            self.check_comes(b, (b, "lent"), (a, "own"))

    def test_a_node_that_has_just_started(self):
        """It has not heard yet that there is another."""
        with Redis() as redis, node_of(redis, "a", *self.flags) as a:
            self.assertEqual(a.message(to="till", ack=True, id="m", data=1)[1]["state"], "stored")
            with node_of(redis, "b", *self.flags) as b:
                self.check_comes(b, (a, "m"))

    def test_more_than_sixteen_ids(self):
        ids = [f"till-{number}" for number in range(17)]
        with Redis() as redis, cluster(redis, "a", "b", flags=self.flags) as (a, b), \
                contextlib.ExitStack() as stack:
            for one in ids:
                stack.enter_context(JsonClient(b, one))
            time.sleep(FRESH_S)
            answer = a.message(to=ids, ack=True, id="m", data=1)[1]
            self.assertEqual((answer["state"], answer["recipients"]), ("queued", len(ids)))

    def test_taken_while_redis_was_silent(self):
        """So the node could not ask who has the id, and no connection is lost."""
        with Redis() as redis, cluster(redis, "a", "b", flags=self.flags) as (a, b), \
                JsonClient(b, "till") as client:
            time.sleep(FRESH_S)
            redis.pause()
            a.message(to="nobody", data=1)
            answer = a.message(to="till", ack=True, id="m", data=1)[1]
            self.assertEqual((answer["state"], answer["cluster"]), ("stored", "unavailable"))
            redis.resume()
            self.assertEqual(client.hear_message()["id"], "m")
            client.say(type="ack", id="m")
            wait_until("it is settled", lambda: fate(a, "m") == "acked")
            self.assertEqual(a.metric("ringpost_redis_lost_total"), 0)


if __name__ == "__main__":
    unittest.main()
