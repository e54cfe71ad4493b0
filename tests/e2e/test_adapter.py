"""A seat in a cluster of stock Socket.IO servers: a server, its Redis adapter and emitter as they
are published, old ones too, and two nodes on one Redis. What each of them sends reaches everybody
once; what servers ask of all is answered by all."""

import json
import unittest

from redis_server import HAVE, Redis, cluster
from streams import Stream
from support import DEADLINE_S, SANITIZED, JsonClient, wait_until
from test_sio import Sio
from test_sio_clients import HERE, MODULES, NODE_JS, Client, packed

WHY_NOT = None
if not HAVE:
    WHY_NOT = "there is no redis-server"
elif NODE_JS is None:
    WHY_NOT = "node is not there"
elif not (MODULES / "socket.io-redis-5").exists():
    WHY_NOT = "the packages of tests/e2e/npm are not there (./dev test installs them)"
FLAGS = ("--socketio-redis-key", "key", "--namespaces", "/,/admin", "--steer", "tuple")
METRIC = "ringpost_socketio_adapter_"


class Stock(Client):
    """A stock server with one browser, which is in the room `stock`."""

    def __init__(self, version, redis, *mode):
        self.calls = 0
        super().__init__(version, [NODE_JS, str(HERE / "npm" / "sio_server.js"), str(MODULES),
                                   str(version), str(redis.port), "key", *mode])
        self.browser = Sio(self, eio=version if version == 4 else 3)
        self.id = self.wait(got="connection")["id"]
        assert self.browser.asks('20["join","stock"]') == "30[]"

    def wait(self, **fields):
        told = super().wait(**fields)
        if told["got"] == "ready":
            self.port = told["port"]
        return told

    def address(self, kind):
        assert kind == "web"
        return ("127.0.0.1", self.port)

    def ask(self, what, **more):
        self.calls += 1
        self.do(what, call=self.calls, **more)
        told = self.wait(got="answer", call=self.calls)
        assert "error" not in told, told
        return told.get("result")  # some are only answered

    def close(self):
        self.browser.close()
        super().close()


class Shared(unittest.TestCase):
    """One Redis, two nodes and a stock server for all tests of a class."""

    version = 4
    mode = ()                  # of the sharded adapter
    flags = FLAGS
    ways = ("emit", "emitter")  # by which events come

    @classmethod
    def setUpClass(cls):
        if WHY_NOT:
            raise unittest.SkipTest(WHY_NOT)
        cls.redis = cls.enterClassContext(Redis())
        cls.nodes = cls.enterClassContext(cluster(cls.redis, "a", "b", flags=cls.flags))
        cls.a, cls.b = cls.nodes
        cls.stock = cls.enterClassContext(Stock(cls.version, cls.redis, *cls.mode))
        wait_until("all hear requests", lambda: cls.servers() == 3)

    @classmethod
    def servers(cls):
        return cls.redis.ask("PUBSUB", "NUMSUB", "key-request#/#")[1]

    def setUp(self):
        """A till at a, a stream at b, and a Socket.IO client at either."""
        self.till = self.own(JsonClient(self.a, "till", ["shop"]))
        self.stream = self.own(Stream(self.b, "screen", groups="shop"))
        self.x = self.own(Sio(self.a, connect='0{"id":"x","groups":["shop"]}'))
        self.y = self.own(Sio(self.b, connect='0{"id":"y"}'))

    def own(self, client):
        self.addCleanup(client.close)
        return client

    # What each hears, as a list of the arguments of an event.

    def at_till(self, event):
        message = self.till.hear_message()
        self.assertEqual(message["event"], event)
        return message["data"]

    def at_stream(self, event):
        message = self.stream.event()
        self.assertEqual(message["event"], event)
        return json.loads(message["data"])

    def at(self, client, event):
        packet = client.packet()
        self.assertEqual(packet[0], "2", packet)
        name, *args = json.loads(packet[1:])
        self.assertEqual(name, event)
        return args

    def end(self):
        """Nothing else has come to anybody here, or to the browser there."""
        self.stock.do("emit", event="end", args=[0])
        self.assertEqual((self.at_till("end"), self.at_stream("end")), (0, 0))
        for client in (self.x, self.y, self.stock.browser):
            self.assertEqual(self.at(client, "end"), [0])

    def refused(self, reason):
        return sum(node.metric(METRIC + "refused_total", reason=reason) for node in self.nodes)


class FromServers(Shared):
    def test_to_everybody(self):
        odd = "a\u2028b\0\"\\\U0001F600"
        for args, data in ([], None), ([1], 1), ([1.5, odd, None], [1.5, odd, None]):
            for by in self.ways:
                self.stock.do(by, event="e", args=args)
                self.assertEqual(self.at_till("e"), data)
                self.assertEqual(self.at_stream("e"), data)
                self.assertEqual(self.at(self.x, "e"), [data])
                self.assertEqual(self.at(self.y, "e"), [data])
                self.assertEqual(self.at(self.stock.browser, "e"), args)
        self.stock.do("emit", event="e", args=[{"a": [True, {"b": -7}], "d": {"$date": 0}}])
        self.assertEqual(self.at_till("e"), {"a": [True, {"b": -7}],
                                             "d": "1970-01-01T00:00:00.000Z"})
        for hear in (lambda: self.at_stream("e"), lambda: self.at(self.x, "e"),
                     lambda: self.at(self.y, "e"), lambda: self.at(self.stock.browser, "e")):
            hear()
        self.end()

    def test_bytes(self):
        self.stock.do("emit", event="e", args=[packed(b"\0\xff")], rooms=["shop"])
        self.assertEqual(self.till.hear_message()["data"], "AP8=")
        self.assertEqual(self.at_stream("e"), "AP8=")
        self.assertTrue(self.x.packet().startswith("51-["))
        self.assertEqual(self.x.attachment(), b"\0\xff")
        self.end()

    def test_rooms(self):
        for by in self.ways:
            self.stock.do(by, event="e", args=[1], rooms=["shop"])
            self.assertEqual((self.at_till("e"), self.at_stream("e"), self.at(self.x, "e")),
                             (1, 1, [1]))
            # In both rooms, once; whatever the name of one is.
            self.stock.do(by, event="e", args=[2], rooms=["shop", self.x.sid, "z" * 200, "none"])
            self.assertEqual((self.at_till("e"), self.at_stream("e"), self.at(self.x, "e")),
                             (2, 2, [2]))
            self.stock.do(by, event="e", args=[3], rooms=[self.y.sid])
            self.assertEqual(self.at(self.y, "e"), [3])
            for nobody in ["none"], ["z" * 200], ["till"], ["none", "else"]:
                self.stock.do(by, event="e", args=[4], rooms=nobody)
            self.end()

    def test_except(self):
        for by in self.ways:
            self.stock.do(by, event="e", args=[1], **{"except": ["shop"]})
            self.assertEqual((self.at(self.y, "e"), self.at(self.stock.browser, "e")), ([1], [1]))
            self.stock.do(by, event="e", args=[2], rooms=["shop"], **{"except": [self.x.sid]})
            self.assertEqual((self.at_till("e"), self.at_stream("e")), (2, 2))
            self.stock.do(by, event="e", args=[3], rooms=["shop", self.y.sid],
                          **{"except": ["till", "stock", "shop"]})
            self.assertEqual(self.at(self.y, "e"), [3])
            self.end()
        self.stock.browser.say_packet('2["relay","e",4]')
        self.assertEqual((self.at_till("e"), self.at_stream("e")), (4, 4))
        self.assertEqual((self.at(self.x, "e"), self.at(self.y, "e")), ([4], [4]))
        self.end()

    def test_namespaces(self):
        admin = self.own(Sio(self.a, connect="0/admin,{}"))
        for by in self.ways:
            self.stock.do(by, event="e", args=[1], nsp="/admin")
            self.assertEqual(admin.packet(), '2/admin,["e",1]')
            self.stock.do(by, event="e", args=[2], nsp="/admin", rooms=[admin.sid])
            self.assertEqual(admin.packet(), '2/admin,["e",2]')
        self.assertEqual([one["id"] for one in self.stock.ask("fetch", nsp="/admin")],
                         [admin.sid])
        self.end()


class ToServers(Shared):
    def pushed(self, recipients, **fields):
        status, answer, _ = self.a.message(event="e", **fields)
        self.assertEqual((status, answer["recipients"]), (202, recipients))

    def test_once(self):
        browser = self.stock.browser
        data = {"a": [1, 2.5, "\u2028\0", None, True], "long": "z" * 1000}
        self.a.message(event="e", broadcast=True, data=data)
        self.assertEqual((self.at_till("e"), self.at_stream("e")), (data, data))
        for client in (self.x, self.y, browser):
            self.assertEqual(self.at(client, "e"), [data])
        # Groups are rooms, and so is the name of a client, which nobody counts.
        self.pushed(0, group="stock", data=1)
        self.assertEqual(self.at(browser, "e"), [1])
        self.pushed(3, group=["stock", "shop"], data=2, volatile=True)
        self.assertEqual((self.at_till("e"), self.at_stream("e"), self.at(self.x, "e"),
                          self.at(browser, "e")), (2, 2, [2], [2]))
        status, answer, _ = self.a.message(event="e", to="stock", data=3)
        self.assertEqual((status, answer["state"]), (404, "absent"))
        self.assertEqual(self.at(browser, "e"), [3])
        self.a.message(event="e", broadcast=True, data=4, **{"except": ["stock", "till"]})
        self.assertEqual((self.at_stream("e"), self.at(self.x, "e"), self.at(self.y, "e")),
                         (4, [4], [4]))
        # What is to be acknowledged stays among nodes.
        self.a.message(event="e", to="stock", data=5, ack=True)
        self.end()

    def test_bytes_and_namespaces(self):
        self.a.api("POST", "/v1/groups/stock?event=e", b"\0\xff",
                   {"Content-Type": "application/octet-stream"})
        self.assertTrue(self.stock.browser.packet().startswith("51-["))
        self.assertEqual(self.stock.browser.attachment(), b"\0\xff")
        for kind in "application/json", "text/plain":
            self.a.api("POST", "/v1/groups/stock?event=e", b'""' if "json" in kind else b"",
                       {"Content-Type": kind})
            self.assertEqual(self.at(self.stock.browser, "e"), [""])
        admin = self.own(Sio(self.stock, connect="0/admin,"))
        self.a.message(event="e", broadcast=True, namespace="/admin", data=1)
        self.assertEqual(admin.packet(), '2/admin,["e",1]')
        self.end()



class Requests(Shared):
    def sockets(self, **more):
        return {one["id"]: one for one in self.stock.ask("fetch", **more)}

    def test_fetch(self):
        everybody = {self.x.sid, self.y.sid, self.stock.id}
        sockets = self.sockets()
        self.assertEqual(set(sockets), everybody)
        self.assertEqual(sockets[self.x.sid],
                         {"id": self.x.sid, "rooms": [self.x.sid, "shop"], "data": {"id": "x"},
                          "address": "127.0.0.1:%d" % self.x.socket.getsockname()[1]})
        # The room that is its own is no group.
        self.assertEqual(self.groups("x"), ["shop"])
        self.assertEqual(self.a.api("GET", "/v1/groups/" + self.x.sid)[1]["count"], 0)
        self.assertEqual(set(self.sockets(rooms=["shop"])), {self.x.sid})
        self.assertEqual(set(self.sockets(rooms=["shop", self.y.sid, "none"])),
                         {self.x.sid, self.y.sid})
        self.assertEqual(set(self.sockets(**{"except": ["shop", self.stock.id]})), {self.y.sid})
        if not self.mode:  # the sharded adapter asks nobody
            self.assertEqual(set(self.stock.ask("rooms")), everybody | {"shop", "stock"})
        self.assertEqual(self.stock.ask("serverEmit"), [None, None])

    def test_requests_of_version_6(self):
        """Newer servers answer them, and have none of their own."""
        with self.redis.connect() as hears, self.redis.connect() as redis:
            hears.ask("SUBSCRIBE", "key-response#/#")

            def asked(answers, **fields):
                redis.ask("PUBLISH", "key-request#/#", json.dumps({"requestId": "q", **fields}))
                got = []
                while len(got) < answers:  # those that the stock server gets come here as well
                    answer = json.loads(hears.reply()[2])
                    got += [answer] if answer["requestId"] == "q" else []
                return got
            got = asked(3, type=0, rooms=["shop", "stock"])
            self.assertEqual({sid for answer in got for sid in answer["sockets"]},
                             {self.x.sid, self.stock.id})
            done = [{"requestId": "q"}]
            self.assertEqual(asked(1, type=2, sid=self.y.sid, room="sale"), done)
            self.assertEqual(set(self.sockets(rooms=["sale"])), {self.y.sid})
            self.assertEqual(asked(1, type=4, sid=self.y.sid, close=True), done)
        self.assertEqual(self.y.packet(), "1")

    def test_join_and_leave(self):
        self.stock.do("join", rooms=["shop"], **{"with": ["sale", "more"], "except": [self.x.sid]})
        wait_until("the till has joined", lambda: "sale" in self.groups("till"))
        self.stock.do("emit", event="e", args=[1], rooms=["sale"])
        self.assertEqual((self.at_till("e"), self.at_stream("e")), (1, 1))
        self.stock.do("join", rooms=[self.y.sid], **{"with": "sale"})
        wait_until("y has joined", lambda: self.y.sid in self.sockets(rooms=["sale"]))
        self.stock.do("leave", **{"with": "sale"})
        self.assertEqual(self.sockets(rooms=["sale"]), {})
        self.stock.do("emit", event="e", args=[2], rooms=["sale"])
        self.end()
        self.assertIn("more", self.groups("till"))

    def groups(self, client_id):
        return self.a.api("GET", f"/v1/clients/{client_id}")[1]["sessions"][0]["groups"]

    def test_disconnect(self):
        self.stock.do("disconnect", rooms=[self.y.sid], close=False)
        self.assertEqual(self.y.packet(), "1")
        self.stock.do("disconnect", rooms=["shop"], close=True, **{"except": [self.x.sid]})
        self.assertIsNone(self.till.hear())
        self.assertEqual(set(self.sockets()), {self.x.sid, self.stock.id})
        self.stock.do("disconnect", close=True)
        self.assertEqual(self.x.packet(), "1")
        self.assertTrue(self.stock.browser.ends())
        self.stock.browser = Sio(self.stock)
        self.stock.id = self.stock.wait(got="connection")["id"]
        self.stock.browser.asks('20["join","stock"]')

    def test_an_event_that_wants_acknowledgements(self):
        """It reaches everybody; the stock server waits for its own clients alone."""
        self.stock.calls += 1
        self.stock.do("acked", call=self.stock.calls, event="e", ms=1000 * DEADLINE_S)
        packet = self.stock.browser.packet()
        number = packet[1:packet.index("[")]
        self.stock.browser.say_packet(f'3{number}["yes"]')
        self.assertEqual((self.at_till("e"), self.at_stream("e")), (1, 1))
        self.assertEqual((self.at(self.x, "e"), self.at(self.y, "e")), ([1], [1]))
        told = self.stock.wait(got="answer", call=self.stock.calls)
        self.assertEqual(told.get("result"), ["yes"], told)


class Hostile(Shared):
    def test_whatever_comes(self):
        """Nothing that is published there ends a node, or what it says to servers."""
        lies = [b"", b"{}", b"\xc1", b"\x93", b"\x91" * 1000 + b"\xc0", b"\xdd\xff\xff\xff\xff",
                b"\x93\xdb\xff\xff\xff\xffz", b"\x80", bytes(range(256)), b"[1,2,3]",
                b"\x93\xa1u\x82\xa4type\x02\xa4data\x91\xa7connect\x80",
                b"\x93\xa1u\x82\xa4type\x02\xa4data\x92\xa1e" + b"\x91" * 1000 + b"\xc0\x80",
                b"\x93\xa1u\x82\xa4type\x02\xa4data\x92\xa1e\xa1\xff\x80",
                b"\x93\xa1u\x82\xa4type\x02\xa4data\x92\xa1e\xda\xff\xff" + b"z" * 65535 + b"\x80"]
        asked = [b"", b"{", b"{}", b'{"type":0}', b'{"type":99,"requestId":"q"}',
                 b'{"type":2,"rooms":["a"]}', b'{"type":4}', b"\x81\xa4type\x07", b"\xc1",
                 b'{"type":5,"requestId":"q","opts":{"rooms":[' + b'"a",' * 2000 + b'"b"]}}',
                 b'{"type":2,"opts":{},"rooms":[' + b'"a",' * 100 + b'"b"]}']
        # Stock servers end with what they cannot read: at a key that they do not listen to.
        with cluster(self.redis, "c", flags=("--redis-prefix", "other:", "--socketio-redis-key",
                                             "lies")) as (node,):
            with self.redis.connect() as redis:
                for text in lies:
                    for channel in "lies#/#", "lies#/#\xff#", "lies#/##", "lies#/":
                        redis.ask("PUBLISH", channel, text)
                for text in asked:
                    redis.ask("PUBLISH", "lies-request#/#", text)
                till = self.own(JsonClient(node, "t"))
                redis.ask("PUBLISH", "lies#/#", b"\x92\x82\xa4type\x02\xa4data\x92\xa1e\x07\x80")
                self.assertEqual(till.hear_message()["data"], 7)
            refused = {reason: node.metric(METRIC + "refused_total", reason=reason) for reason in (
                "bad_packet", "bad_message", "too_large", "bad_request", "unknown_request",
                "rooms")}
            self.assertEqual(refused, {"bad_packet": 26, "bad_message": 1, "too_large": 1,
                                       "bad_request": 6, "unknown_request": 2, "rooms": 2})
            self.assertEqual(node.metric("ringpost_redis_lost_total"), 0)

    def test_more_requests_than_at_once(self):
        """Each is answered."""
        count = 2000
        with self.redis.connect() as hears, self.redis.connect() as redis:
            hears.ask("SUBSCRIBE", "key-response#/#")
            for number in range(count):
                redis.send("PUBLISH", "key-request#/#", json.dumps(
                    {"uid": "u", "requestId": f"q{number}", "type": 5, "opts": {}}))
            answers = {}
            while len(answers) < count or any(len(one) < 3 for one in answers.values()):
                answer = json.loads(hears.reply()[2])
                answers.setdefault(answer["requestId"], []).append(
                    {one["id"] for one in answer["sockets"]})
        cut = sum(node.metric(METRIC + "answers_cut_total") for node in self.nodes)
        whole = {frozenset(one) for answer in answers.values() for one in answer}
        self.assertLessEqual({frozenset({self.x.sid}), frozenset({self.y.sid})}, whole)
        if cut == 0:
            self.assertEqual(len(whole), 3)


class Seat(Shared):
    def test_a_node_that_goes_is_not_waited_for(self):
        with cluster(self.redis, "c", flags=(*self.flags, "--redis-prefix", "other:")) as (node,):
            wait_until("it is counted", lambda: self.servers() == 4)
            client = Sio(node)
            self.own(client)
            self.assertIn(client.sid, [one["id"] for one in self.stock.ask("fetch")])
            # Its messages come by the adapter's channels alone to nodes of another prefix.
            node.message(broadcast=True, event="e", data=1)
            self.assertEqual((self.at_till("e"), self.at_stream("e")), (1, 1))
            for one in (self.x, self.y, self.stock.browser, client):
                self.assertEqual(self.at(one, "e"), [1])
        self.assertEqual(self.servers(), 3)
        self.assertNotIn(client.sid, [one["id"] for one in self.stock.ask("fetch")])
        self.end()

    def test_redis_comes_back(self):
        for kind in "normal", "pubsub":
            for one in self.redis.connections(kind):
                self.redis.ask("CLIENT", "KILL", "ID", one)
        wait_until("all hear requests", lambda: self.servers() == 3)
        wait_until("all know each other", lambda: all(
            node.metric("ringpost_redis_connected") == 1 for node in self.nodes))
        self.assertEqual(len(self.stock.ask("fetch")), 3)
        self.end()


@unittest.skipIf(SANITIZED, "what is other about them is in the codecs: test_packet")
class OldServers(Shared):
    """Socket.IO 2 with socket.io-redis 5, and socket.io-emitter."""

    version = 2

    def test_events(self):
        for by in "emit", "emitter":
            self.stock.do(by, event="e", args=[1])
            self.assertEqual((self.at_till("e"), self.at_stream("e")), (1, 1))
            for client in (self.x, self.y, self.stock.browser):
                self.assertEqual(self.at(client, "e"), [1])
            self.stock.do(by, event="e", args=[2], rooms=["shop", self.y.sid])
            self.assertEqual((self.at_till("e"), self.at_stream("e")), (2, 2))
            self.assertEqual((self.at(self.x, "e"), self.at(self.y, "e")), ([2], [2]))
            self.stock.do(by, event="e", args=[packed(b"\1")], rooms=[self.x.sid])
            self.assertTrue(self.x.packet().startswith("51-["))
            self.assertEqual(self.x.attachment(), b"\1")
        self.a.message(event="e", group=["stock", "shop"], data=3)
        self.assertEqual((self.at_till("e"), self.at_stream("e")), (3, 3))
        self.assertEqual((self.at(self.x, "e"), self.at(self.stock.browser, "e")), ([3], [3]))
        self.end()

    def test_requests(self):
        everybody = {self.x.sid, self.y.sid, self.stock.id}
        self.assertEqual(set(self.stock.ask("ids")), everybody)
        self.assertEqual(self.stock.ask("ids", rooms=["shop"]), [self.x.sid])
        if not self.mode:  # the sharded adapter asks nobody
            self.assertEqual(set(self.stock.ask("rooms")), everybody | {"shop", "stock"})
        self.assertEqual(set(self.stock.ask("roomsOf", id=self.x.sid)), {self.x.sid, "shop"})
        self.stock.ask("join", id=self.y.sid, **{"with": "sale"})
        self.assertEqual(set(self.stock.ask("roomsOf", id=self.y.sid)), {self.y.sid, "sale"})
        self.stock.ask("leave", id=self.y.sid, **{"with": "sale"})
        self.assertEqual(self.stock.ask("ids", rooms=["sale"]), [])
        self.assertEqual(self.stock.ask("serverEmit"), [None, None, None])
        self.stock.ask("disconnect", id=self.y.sid, close=True)
        self.assertEqual(self.y.packet(), "1")


if __name__ == "__main__":
    unittest.main()
