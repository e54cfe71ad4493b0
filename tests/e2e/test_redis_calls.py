"""Several nodes and one Redis: whichever node is asked about clients, groups and fates, or told to
end sessions and change groups, answers for all."""

import json
import signal
import time
import unittest

from redis_server import Redis, cluster
from support import JsonClient, wait_until
from test_redis import Shared

UNAVAILABLE = "unavailable"


def whole(node, path):
    """(status, answer) that all nodes have part in: on a busy machine the first may have not."""
    found = []

    def look():
        found[:] = node.api("GET", path)[:2]
        return found[0] != 503 and "cluster" not in found[1]
    wait_until(f"all nodes have answered {path}", look)
    return found


class Presence(Shared):
    def sessions(self, node, client_id):
        """(status, who has it where)"""
        status, answer = whole(node, f"/v1/clients/{client_id}")
        return status, sorted(one["node"] for one in answer.get("sessions", ()))

    def test_sessions_of_all_nodes(self):
        self.client(self.b, "x", ["g"])
        self.client(self.b, "x")
        self.client(self.a, "x")
        for node in self.nodes:
            self.assertEqual(self.sessions(node, "x"), (200, ["a", "b", "b"]))
        _, answer = whole(self.nodes[2], "/v1/clients/x")
        self.assertEqual(sorted(answer["sessions"][0]), sorted((
            "session", "node", "transport", "namespace", "address", "since", "groups",
            "queued_bytes")))
        self.assertEqual([one["groups"] for one in answer["sessions"] if one["groups"]], [["g"]])

    def test_nobody(self):
        for node in self.nodes:
            status, answer = whole(node, "/v1/clients/nobody")
            self.assertEqual((status, answer["error"]["code"]), (404, "not_found"))

    def test_names_that_need_escapes(self):
        name, path = "t\u00fc\"\\ 1", "t%C3%BC%22%5C%201"
        self.client(self.b, name, [name])
        self.assertEqual(self.sessions(self.a, path), (200, ["b"]))
        _, answer = whole(self.a, f"/v1/clients/{path}")
        self.assertEqual((answer["id"], answer["sessions"][0]["groups"]), (name, [name]))
        _, answer = whole(self.a, f"/v1/groups/{path}")
        self.assertEqual((answer["count"], answer["ids"]), (1, [name]))

    def test_what_waits_there(self):
        """Who keeps a message for a client has no session of it."""
        self.b.message(to="away", ack=True, data=1)
        first = self.b.api("GET", "/v1/clients/away")[1]["oldest"]
        time.sleep(0.002)
        self.a.message(to="away", ack=True, data=2)
        for node in self.nodes:
            status, answer = whole(node, "/v1/clients/away")
            self.assertEqual((status, answer["sessions"], answer["pending"], answer["oldest"]),
                             (200, [], 2, first))

    def test_many_sessions(self):
        clients = [self.client(self.b, "crowd", [f"group-{n}" for n in range(40)])
                   for _ in range(150)]
        self.client(self.a, "crowd")
        status, answer = whole(self.nodes[2], "/v1/clients/crowd")
        self.assertEqual((status, len(answer["sessions"])), (200, len(clients) + 1))
        # Names of sessions are those of their node.
        self.assertEqual(len({(one["node"], one["session"]) for one in answer["sessions"]}),
                         len(clients) + 1)


class Members(Shared):
    def page(self, node, group, query=""):
        status, answer = whole(node, f"/v1/groups/{group}{query}")
        self.assertEqual(status, 200)
        return answer["count"], answer["ids"], answer["next"]

    def test_ids_of_all_nodes_once(self):
        for node, client_id in ((self.a, "m1"), (self.b, "m1"), (self.b, "m2"),
                                (self.nodes[2], "m3"), (self.nodes[2], "m3")):
            self.client(node, client_id, ["shop"])
        for node in self.nodes:
            self.assertEqual(self.page(node, "shop"), (3, ["m1", "m2", "m3"], None))
            self.assertEqual(self.page(node, "shop", "?limit=2"), (3, ["m1", "m2"], "m2"))
            self.assertEqual(self.page(node, "shop", "?limit=2&after=m2"), (3, ["m3"], None))
            self.assertEqual(self.page(node, "nobody"), (0, [], None))

    def test_pages_of_a_large_group(self):
        ids = [f"c{n:04}" for n in range(300)]
        for at, client_id in enumerate(ids):
            for node in {self.nodes[at % 3], self.nodes[at % 2]}:
                self.client(node, client_id, ["crowd"])
        found, after = [], ""
        while after is not None:
            count, page, after = self.page(self.nodes[2], "crowd", f"?limit=70&after={after}")
            self.assertEqual(count, len(ids))
            self.assertEqual(len(page), 70 if after is not None else 300 % 70)
            found += page
        self.assertEqual(found, ids)

    def test_namespaces(self):
        self.client(self.b, "n1", ["apart"])
        self.assertEqual(self.page(self.a, "apart", "?namespace=/admin"), (0, [], None))
        self.assertEqual(self.page(self.a, "apart", "?namespace=/"), (1, ["n1"], None))

    def test_joining_and_leaving(self):
        there, here = self.client(self.b, "j"), self.client(self.a, "j")
        c = self.nodes[2]
        path = "/v1/groups/joined/clients/j"
        self.assertEqual(c.api("PUT", path)[:2], (200, {"sessions": 2}))
        self.assertEqual(self.page(c, "joined"), (1, ["j"], None))
        self.assertEqual(self.result(c, group="joined", data="hi")[1], "queued")
        self.hears(there, "hi")
        self.hears(here, "hi")
        self.assertEqual(self.a.api("DELETE", path)[:2], (200, {"sessions": 2}))
        self.assertEqual(self.page(c, "joined"), (0, [], None))
        self.assertEqual(self.a.api("PUT", "/v1/groups/joined/clients/nobody")[:2],
                         (200, {"sessions": 0}))

    def test_too_many_groups_there(self):
        self.client(self.b, "full", [f"f{n}" for n in range(64)])
        status, answer, _ = self.a.api("PUT", "/v1/groups/more/clients/full")
        self.assertEqual((status, answer["error"]["code"]), (409, "too_many_groups"))


class Ends(Shared):
    def test_sessions_of_all_nodes_are_closed(self):
        clients = [self.client(node, "kicked") for node in (self.a, self.b, self.b)]
        self.assertEqual(self.nodes[2].api("DELETE", "/v1/clients/kicked")[:2],
                         (200, {"closed": 3}))
        for client in clients:
            client.rest()
        self.assertEqual(self.nodes[2].api("DELETE", "/v1/clients/kicked")[:2],
                         (200, {"closed": 0}))


class Fates(Shared):
    def test_of_a_message_of_another_node(self):
        client = self.client(self.b, "till")
        self.a.message(to="till", id="pay-1", ack=True, data=1)
        for node in self.nodes:
            status, fate = whole(node, "/v1/messages/pay-1")
            self.assertEqual((status, fate["state"], fate["to"]), (200, "pending",
                                                                   {"till": "pending"}))
        client.hear_message()
        client.say(type="ack", id="pay-1")
        wait_until("it is settled", lambda: self.a.api(
            "GET", "/v1/messages/pay-1")[1]["state"] == "acked")
        settled = self.a.api("GET", "/v1/messages/pay-1")[1]
        for node in self.nodes:
            self.assertEqual(whole(node, "/v1/messages/pay-1"), [200, settled])

    def test_of_many_ids(self):
        ids = [f"many-{n}" for n in range(1000)]
        self.a.message(to=ids, id="wide", ack=True, data=1)
        status, fate = whole(self.b, "/v1/messages/wide")
        self.assertEqual((status, sorted(fate["to"])), (200, sorted(ids)))

    def test_unknown(self):
        for name in ("never-was", "a" * 200):
            status, answer = whole(self.a, f"/v1/messages/{name}")
            self.assertEqual((status, answer["error"]["code"]), (404, "not_found"))


class Missing(unittest.TestCase):
    """Somebody does not answer."""

    def setUp(self):
        self.redis = self.enterContext(Redis())
        self.nodes = self.enterContext(cluster(self.redis, "a", "b"))
        self.a, self.b = self.nodes
        self.here = self.enterContext(JsonClient(self.a, "both", ["g"]))
        self.there = self.enterContext(JsonClient(self.b, "both", ["g"]))
        self.enterContext(JsonClient(self.b, "there", ["g"]))
        time.sleep(2)  # each has heard of all

    def assert_partial(self):
        """All that this node knows, and that it is not all."""
        status, answer, _ = self.a.api("GET", "/v1/clients/both")
        self.assertEqual((status, len(answer["sessions"]), answer.get("cluster")),
                         (200, 1, UNAVAILABLE))
        for path in ("clients/there", "messages/unknown"):
            status, answer, _ = self.a.api("GET", f"/v1/{path}")
            self.assertEqual((status, answer["error"]["code"]), (503, "cluster_unavailable"))
        status, answer, _ = self.a.api("GET", "/v1/groups/g")
        self.assertEqual((status, answer["ids"], answer.get("cluster")),
                         (200, ["both"], UNAVAILABLE))
        self.assertEqual(self.a.api("PUT", "/v1/groups/h/clients/both")[:2],
                         (200, {"sessions": 1, "cluster": UNAVAILABLE}))
        self.assertEqual(self.a.api("DELETE", "/v1/clients/nobody")[:2],
                         (200, {"closed": 0, "cluster": UNAVAILABLE}))

    def test_redis_is_gone(self):
        self.redis.kill()
        wait_until("it is noticed", lambda: self.a.metric("ringpost_redis_connected") == 0)
        self.assert_partial()

    def test_redis_hangs(self):
        self.redis.pause()
        self.assert_partial()
        self.redis.resume()
        wait_until("all answer again", lambda: "cluster" not in self.a.api(
            "GET", "/v1/clients/both")[1])

    def test_a_node_hangs(self):
        self.b.signal(signal.SIGSTOP)
        try:
            begun = time.monotonic()
            status, answer, _ = self.a.api("GET", "/v1/clients/both")
            self.assertLess(time.monotonic() - begun, 5)
            self.assertEqual((status, len(answer["sessions"]), answer.get("cluster")),
                             (200, 1, UNAVAILABLE))
            self.assertEqual(self.a.api("GET", "/v1/messages/unknown")[0], 503)
        finally:
            self.b.signal(signal.SIGCONT)
        self.assertGreaterEqual(self.a.metric("ringpost_redis_calls_incomplete_total"), 2)

    def test_a_program_that_listens_is_not_waited_for(self):
        with self.redis.connect() as program:
            program.ask("SUBSCRIBE", "ringpost:all", "ringpost:id:both", "ringpost:group:g")
            for path in ("clients/both", "groups/g"):
                wait_until("all have answered", lambda path=path: "cluster" not in self.a.api(
                    "GET", f"/v1/{path}")[1])
            wait_until("nobody knows it", lambda: self.a.api(
                "GET", "/v1/messages/unknown")[0] == 404)

    def test_what_is_no_call_and_no_answer(self):
        run = "0123456789abcdef"
        for node in ({"call": 1, "does": {}}, {"call": 2, "does": {"what": "client"}},
                     {"call": 3, "does": {"what": "client", "id": ""}},
                     {"call": 4, "does": {"what": "close", "id": "x" * 300}},
                     {"call": 5, "does": {"what": "group", "group": "g", "namespace": "/none",
                                          "limit": 9, "after": ""}},
                     {"call": 6, "does": {"what": "group", "group": "g", "namespace": "/",
                                          "limit": 10 ** 6, "after": ""}},
                     {"call": 7, "does": {"what": "nothing"}}, {"call": 8}, {"call": "9"},
                     {"call": 10, "does": []}, {"answer": 1, "says": [1, "x", {}]},
                     {"answer": 1, "says": {}}):
            for channel in ("all", "id:both", f"node:{run}"):
                self.redis.publish(f"ringpost:{channel}",
                                   json.dumps({"node": {"run": run, **node}}))
        self.assertEqual(self.a.api("GET", "/v1/clients/both")[0], 200)
        self.assertEqual(self.a.push("both", "end")[1]["recipients"], 2)
        self.assertEqual(self.here.hear_message()["data"], "end")
        self.assertEqual(self.there.hear_message()["data"], "end")


if __name__ == "__main__":
    unittest.main()
