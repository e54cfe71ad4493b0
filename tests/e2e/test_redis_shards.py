"""Several Redis servers: channels are spread over them, and each goes and comes alone."""

import hashlib
import struct
import threading
import time
import unittest

from redis_server import HAVE, NodesTest, Redis, live_on, missed, ready
from support import JsonClient, Node, free_port, run, wait_until

MASK = (1 << 64) - 1


def low64(text):
    return struct.unpack("<Q", hashlib.blake2b(text.encode(), digest_size=16).digest()[:8])[0]


def score(server, channel):
    mixed = low64(server) ^ low64(channel)
    mixed = ((mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9) & MASK
    mixed = ((mixed ^ mixed >> 27) * 0x94D049BB133111EB) & MASK
    return mixed ^ mixed >> 31


def home(servers, channel):
    """The server that has it, by another program than the node's."""
    return max(servers, key=lambda server: score(f"127.0.0.1:{server.port}", channel))


def names_on(servers, kind, count=2):
    """Names of clients or groups, so many on each server."""
    found = {server: [] for server in servers}
    for i in range(10000):
        name = f"{kind}{i}"
        at = found[home(servers, f"ringpost:{kind}:{name}")]
        if len(at) < count:
            at.append(name)
        if all(len(names) == count for names in found.values()):
            return [found[server] for server in servers]
    raise AssertionError("the channels are not spread")


def node_on(servers, name, *flags):
    urls = [word for server in servers for word in ("--redis", server.url())]
    return Node("--node", name, *urls, *flags)


def state(node):
    """Which servers it is connected to."""
    servers = node.api("GET", "/v1/stats")[1]["redis"]["servers"]
    return {one["server"]: one["connected"] for one in servers}


class Spread(NodesTest):
    """Three servers and two nodes, which were told of them in another order."""

    def setUp(self):
        if not HAVE:
            self.skipTest("there is no redis-server")
        self.servers = [self.enterContext(Redis()) for _ in range(3)]
        self.a = self.enterContext(node_on(self.servers, "a"))
        self.b = self.enterContext(node_on(self.servers[::-1], "b"))
        self.nodes = (self.a, self.b)
        self.wait_all()
        self.ids = names_on(self.servers, "id")
        self.groups = names_on(self.servers, "group")

    def wait_all(self):
        wait_until("the nodes know each other by every server", lambda: all(
            node.metric("ringpost_redis_nodes") == 1 and
            node.metric("ringpost_redis_connected") == 3 for node in self.nodes))

    def all_ids(self):
        return [name for names in self.ids for name in names]

    def all_groups(self):
        return [name for names in self.groups for name in names]

    def clients(self):
        """One of each id at node b, in all groups."""
        return {name: self.client(self.b, name, self.all_groups()) for name in self.all_ids()}

    def test_each_channel_is_on_one_server(self):
        self.clients()
        for server, ids, groups in zip(self.servers, self.ids, self.groups, strict=True):
            found = set(server.ask("PUBSUB", "CHANNELS", "ringpost:*"))
            names = {name for name in found if ":id:" in name or ":group:" in name}
            self.assertEqual(names, {f"ringpost:id:{name}" for name in ids} |
                             {f"ringpost:group:{name}" for name in groups})
            self.assertIn("ringpost:all", found)
            self.assertEqual(server.ask("PUBSUB", "NUMSUB", "ringpost:all")[1], 2)

    def test_messages(self):
        clients = self.clients()
        here = self.client(self.a, "here", [self.all_groups()[0]])
        ids = self.all_ids()
        for number, name in enumerate(ids):
            self.assertEqual(self.result(self.a, to=name, data=number), (202, "queued", 1))
        self.assertEqual(self.result(self.a, to=ids, data="ids"), (202, "queued", 6))
        # One copy for each group, each to one node, and each client gets one.
        self.assertEqual(self.result(self.a, group=self.all_groups(), data="groups"),
                         (202, "queued", 7))
        self.assertEqual(self.result(self.a, broadcast=True, data="all"), (202, "queued", 2))
        many = [*ids, *(f"nobody{i}" for i in range(20))]
        self.assertEqual(self.result(self.a, to=many, data="many"), (202, "queued", 1))
        for name in ids:
            self.assertEqual(self.result(self.a, to=f"{name}-not", data=0), (404, "absent", 0))
        self.assertEqual(self.result(self.a, to=ids, data="end"), (202, "queued", 6))
        for number, name in enumerate(ids):
            heard = [clients[name].hear_message()["data"] for _ in range(6)]
            # What goes by different servers has no order.
            self.assertEqual(sorted(map(str, heard)),
                             sorted(map(str, [number, "ids", "groups", "all", "many", "end"])))
        self.assertEqual({here.hear_message()["data"] for _ in range(2)}, {"groups", "all"})
        self.assertEqual(missed(self.nodes), 0)

    def test_acks_and_calls(self):
        clients = self.clients()
        for name in self.all_ids():
            answers = []
            asks = threading.Thread(target=lambda to=name, into=answers: into.append(
                self.a.push(to, "kept", "?ack=1&wait=ack")))
            asks.start()
            message = clients[name].hear_message()
            self.assertEqual(message["data"], "kept")
            clients[name].say(type="ack", id=message["id"])
            asks.join()
            self.assertEqual(answers[0][1]["state"], "acked", answers)
            status, seen, _ = self.a.api("GET", f"/v1/clients/{name}")
            self.assertEqual((status, [one["node"] for one in seen["sessions"]]), (200, ["b"]))
            self.assertNotIn("cluster", seen)
        for group in self.all_groups():
            members = self.a.api("GET", f"/v1/groups/{group}")[1]
            self.assertEqual(members["count"], 6)
            self.assertNotIn("cluster", members)
        self.assertEqual(self.a.api("DELETE", f"/v1/clients/{self.ids[0][0]}")[0], 200)
        self.assertEqual(self.a.metric("ringpost_redis_calls_incomplete_total"), 0)

    def check_lost(self, lost):
        """What is on that server is not known, and nothing else is touched."""
        for at, ids in enumerate(self.ids):
            for name in ids:
                status, answer, _ = self.a.message(to=name, data="while")
                if at == lost:
                    self.assertEqual((status, answer["error"]["code"]),
                                     (503, "cluster_unavailable"))
                else:
                    self.assertEqual((status, answer["state"], answer["recipients"]),
                                     (202, "queued", 1))
                    self.assertNotIn("cluster", answer)
        some = [names[0] for names in self.ids]
        status, answer, _ = self.a.message(to=some, data="both")
        self.assertEqual((status, answer["recipients"], answer["cluster"]),
                         (202, 2, "unavailable"))
        status, answer, _ = self.a.message(broadcast=True, data="all")
        self.assertEqual((status, answer["recipients"]), (202, 1))
        self.assertNotIn("cluster", answer)

    def test_a_server_is_killed(self):
        for lost in range(3):
            with self.subTest(lost=lost):
                self.check_killed(lost)
                self.wait_all()
                self.check_back()

    def check_killed(self, lost):
        clients = self.clients()
        server = self.servers[lost]
        server.kill()
        text = f"redis://127.0.0.1:{server.port}/0"
        for node in self.nodes:
            wait_until("it is lost", lambda node=node: not state(node)[text])
            self.assertEqual(ready(node), {"status": "ready", "degraded": ["redis"]})
            self.assertEqual(node.metric("ringpost_redis_connected"), 2)
            self.assertEqual(node.metric("ringpost_redis_shards"), 3)
            self.assertIn(f"event=redis_lost redis={text} ", node.log())
        self.check_lost(lost)
        for at, ids in enumerate(self.ids):
            for i, name in enumerate(ids):
                # The copy by another server is for all that it addresses.
                expected = [*(["while"] * (at != lost)), *(["both"] * (i == 0)), "all"]
                heard = sorted(clients[name].hear_message()["data"] for _ in expected)
                self.assertEqual(heard, sorted(expected))
        # Nodes do not take each other for dead, and whoever comes now waits no longer than 1 s.
        began = time.monotonic()
        fresh = self.client(self.b, self.ids[lost - 1][0])
        self.assertLess(time.monotonic() - began, 5)
        self.assertEqual(self.result(self.a, to=self.ids[lost - 1][0], data=1)[:2],
                         (202, "queued"))
        self.hears(fresh, 1)
        live_on(self.servers[lost - 1], self.nodes)
        server.start()
        for client in (*clients.values(), fresh):
            client.close()

    def check_back(self):
        clients = self.clients()
        for name in self.all_ids():
            wait_until("it is reached again", lambda name=name: self.result(
                self.a, to=name, data="back") == (202, "queued", 1))
            self.assertEqual(clients[name].hear_message()["data"], "back")
            clients[name].close()
        for node in self.nodes:
            self.assertEqual(ready(node), {"status": "ready"})

    def test_a_message_with_ack_finds_its_client_when_its_server_is_back(self):
        name = self.ids[1][0]
        client = self.client(self.b, name)
        self.servers[1].kill()
        wait_until("it is lost", lambda: self.a.metric("ringpost_redis_connected") == 2)
        self.assertEqual(self.a.message(to=name, data="kept", ack=True)[0], 202)
        self.servers[1].start()
        message = client.hear_message()
        self.assertEqual(message["data"], "kept")
        client.say(type="ack", id=message["id"])
        wait_until("it is settled", lambda: self.a.api(
            "GET", f"/v1/messages/{message['id']}")[1]["state"] == "acked")

    def test_connections_of_one_server_are_cut(self):
        """It alone comes anew, and what is on the others is never in doubt."""
        clients = self.clients()
        server = self.servers[2]
        for one in server.connections("pubsub"):
            server.ask("CLIENT", "KILL", "ID", one)
        for at, ids in enumerate(self.ids):
            for name in ids:
                if at != 2:
                    self.assertEqual(self.result(self.a, to=name, data=1), (202, "queued", 1))
                    self.hears(clients[name], 1)
        self.wait_all()
        for name in self.ids[2]:
            wait_until("it is reached again", lambda name=name: self.result(
                self.a, to=name, data=2) == (202, "queued", 1))
            self.hears(clients[name], 2)
        for node in self.nodes:
            lost = {one["server"]: one["lost_total"]
                    for one in node.api("GET", "/v1/stats")[1]["redis"]["servers"]}
            self.assertEqual(lost, {f"redis://127.0.0.1:{one.port}/0": int(one is server)
                                    for one in self.servers})


@unittest.skipUnless(HAVE, "there is no redis-server")
class Told(unittest.TestCase):
    def test_a_file_of_several(self):
        with Redis() as one, Redis() as two:
            path = f"{one.folder.name}/urls"
            with open(path, "w", encoding="ascii") as file:
                file.write(f"# both\n{one.url()}\n\n{two.url()}\n")
            with Node("--redis-file", path) as node:
                wait_until("both are up", lambda: node.metric("ringpost_redis_connected") == 2)

    def test_by_the_environment(self):
        with Redis() as one, Redis() as two, \
                Node(env={"RINGPOST_REDIS": f"{one.url()},{two.url()}"}) as node:
            wait_until("both are up", lambda: node.metric("ringpost_redis_connected") == 2)

    def test_one_of_them_is_not_there(self):
        with Redis() as one, Node("--redis", one.url(), "--redis",
                                  f"redis://127.0.0.1:{free_port()}") as node:
            node.wait_log("event=redis_lost redis=redis://127.0.0.1:")
            self.assertEqual(ready(node)["degraded"], ["redis"])
            with JsonClient(node, "x") as client:
                self.assertEqual(node.message(to="x", data=1)[0], 202)
                self.assertEqual(client.hear_message()["data"], 1)

    def test_what_is_refused(self):
        for urls, why in (
                (["redis://h"] * 2, "names a server that another one names already"),
                (["redis://h", "redis://u@H:6379/3"], "another one names already"),
                ([f"redis://h{i}" for i in range(17)], "one server too many; allowed: 16")):
            with self.subTest(why=why):
                words = [word for url in urls for word in ("--redis", url)]
                status, _, said = run(["serve", *words])
                self.assertEqual(status, 2, said)
                self.assertIn(why, said)


if __name__ == "__main__":
    unittest.main()
