"""Socket.IO clients as they are published, 1.x to 4.x, in every transport, against a node of two
workers that steers nothing: each poll may land on either."""

import base64
import json
import os
import pathlib
import shutil
import subprocess
import unittest

from support import DEADLINE_S, Node, wait_until

HERE = pathlib.Path(__file__).resolve().parent
MODULES = pathlib.Path(os.environ.get("RINGPOST_NPM", "build/npm")).resolve() / "node_modules"
NODE_JS = shutil.which("node")
PACKAGES = {1: "socket.io-client-1", 2: "socket.io-client-2", 3: "socket.io-client-3",
            4: "socket.io-client-4"}
TRANSPORTS = {"polling": ["polling"], "websocket": ["websocket"],
              "upgrade": ["polling", "websocket"]}
WHY_NOT = None
if NODE_JS is None:
    WHY_NOT = "node is not there"
elif not all((MODULES / package).exists() for package in PACKAGES.values()):
    WHY_NOT = "the packages of tests/e2e/npm are not there (./dev test installs them)"


class Client:
    """One process with a published client; what it tells is read as it comes."""

    def __init__(self, version, command=None):
        self.version = version
        self.process = subprocess.Popen(
            command or [NODE_JS, str(HERE / "npm" / "sio_client.js"), str(MODULES),
                        PACKAGES[version]],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.told = []
        os.set_blocking(self.process.stdout.fileno(), False)
        self.rest = ""
        self.wait(got="ready")

    def do(self, what, **more):
        self.process.stdin.write(json.dumps({"do": what, **more}) + "\n")
        self.process.stdin.flush()

    def read(self):
        while True:
            try:
                data = os.read(self.process.stdout.fileno(), 65536)
            except BlockingIOError:
                return
            if not data:
                assert self.process.poll() is None, f"the client ended: {self.told[-5:]}"
                return
            *lines, self.rest = (self.rest + data.decode()).split("\n")
            self.told += [json.loads(line) for line in lines]

    def wait(self, **fields):
        """The next that has these fields, taken out."""
        def found():
            self.read()
            for number, one in enumerate(self.told):
                if all(one.get(key) == value for key, value in fields.items()):
                    return self.told.pop(number)
            return None
        try:
            return wait_until(f"{fields}", found)
        except AssertionError:
            raise AssertionError(f"{fields} never came; instead {self.told}") from None

    def open(self, url, name="a", events=("message",), answers=True, **options):
        self.do("open", url=url, events=list(events), answers=answers, options=options,
                **{"as": name})

    def call(self, event, *args, name="a"):
        self.do("emit", event=event, args=list(args), call=event, **{"as": name})
        return self.wait(got="answer", call=event)["args"]

    def message(self, name="a", event="message"):
        told = self.wait(got="event", event=event, **{"as": name})
        return told["args"], told["wants"]

    def close(self):
        self.process.stdin.close()
        self.process.wait(DEADLINE_S)
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.close()


def packed(data):
    return {"$bytes": base64.b64encode(data).decode()}


class SocketIo:
    """What every client does, in one transport; each class below is one of the twelve."""

    version = transport = None

    @classmethod
    def setUpClass(cls):
        cls.node = Node("--steer", "none", "--client-send", "on", "--namespaces", "/,/admin",
                        "--ack-silence", "1")
        cls.url = "http://%s:%d" % cls.node.address("web")

    @classmethod
    def tearDownClass(cls):
        cls.node.stop()

    def started(self):
        return Client(self.version)

    def started_peer(self):
        return Client(4)

    def client(self, name="a", path="", query=None, **more):
        client = self.started()
        self.addCleanup(client.__exit__)
        self.come(client, name, path, query, **more)
        return client

    def come(self, client, name="a", path="", query=None, **more):
        if self.version <= 2 and query:
            more["query"] = query
        elif query:
            more["auth"] = query
        client.open(self.url + path, name, transports=TRANSPORTS[self.transport],
                    reconnectionDelay=50, reconnectionDelayMax=100, **more)
        told = client.wait(got="connect", **{"as": name})
        if self.transport == "upgrade":
            def upgraded():
                client.do("transport", **{"as": name})
                return client.wait(got="transport")["name"] == "websocket"
            wait_until("the transport is websocket", upgraded)
        return told["id"]

    def test_registers_and_gets(self):
        me = f"till-{self.transport}"
        client = self.client(events=("message", "m\u00e4\u20ac"))
        self.assertEqual(client.call("register", {"socketId": me, "groupFlag": ["g1", "g2"]}),
                         [{"ok": True}])
        status, presence, _ = self.node.api("GET", f"/v1/clients/{me}")
        self.assertEqual(status, 200)
        wanted = "socketio-polling" if self.transport == "polling" else "socketio-websocket"
        self.assertEqual([(one["transport"], one["groups"]) for one in presence["sessions"]],
                         [(wanted, ["g1", "g2"])])
        data = {"text": "\u20ac \U0001f600 \u2028 \u0085 \"quoted\"", "n": [1, 2.5, None, True]}
        for ascii_alone in (True, False):
            body = json.dumps(data, ensure_ascii=ascii_alone).encode()
            status, pushed, _ = self.node.api("POST", f"/v1/clients/{me}?event=m%C3%A4%E2%82%AC",
                                              body, {"Content-Type": "application/json"})
            self.assertEqual((status, pushed["recipients"]), (202, 1))
            self.assertEqual(client.message(event="m\u00e4\u20ac")[0], [data])
        self.assertEqual(self.node.message(group=["g1", "g2"], data=1)[1]["recipients"], 1)
        self.assertEqual(client.message()[0], [1])
        self.assertEqual(self.node.message(broadcast=True, data="all")[0], 202)
        self.assertEqual(client.message()[0], ["all"])
        for size in (0, 1, 200, 20000):
            payload = bytes(range(256)) * (size // 256 + 1)
            self.node.api("POST", f"/v1/clients/{me}?raw=1", payload[:size])
            self.assertEqual(client.message()[0], [packed(payload[:size])])
            text = "\u00e4" * (size // 2)
            self.node.push(me, text)
            self.assertEqual(client.message()[0], [text])
            self.node.api("POST", f"/v1/clients/{me}", text.encode(),
                          {"Content-Type": "text/plain"})
            self.assertEqual(client.message()[0], [text])

    def test_comes_with_names_and_meta(self):
        me = f"named-{self.transport}"
        groups = "x,y" if self.version <= 2 else ["x", "y"]
        client = self.client(query={"id": me, "groups": groups,
                                    "meta": 1 if self.version <= 2 else True})
        self.node.message(to=me, id=f"m-{me}-{self.version}", data=1)
        self.assertEqual(client.message()[0], [1, {"id": f"m-{me}-{self.version}"}])
        self.node.message(group="x", id=f"g-{me}-{self.version}", data=2)
        self.assertEqual(client.message()[0],
                         [2, {"id": f"g-{me}-{self.version}", "group": "x"}])

    def test_acknowledges_by_callback(self):
        me = f"acks-{self.transport}"
        client = self.client(query={"id": me, "meta": 1 if self.version <= 2 else True},
                             answers=False)
        status, taken, _ = self.node.push(me, {"pay": 1}, "?ack=1")
        self.assertEqual(status, 202)
        args, wants = client.message()
        self.assertEqual(args, [{"pay": 1}, {"id": taken["id"], "ack": True}])
        again, second = client.message()
        self.assertEqual(again[1], {"id": taken["id"], "ack": True, "redelivered": True})
        self.assertNotEqual(wants, second)
        client.do("answer", wants=wants)
        wait_until("it is acked", lambda: self.node.api(
            "GET", f"/v1/messages/{taken['id']}")[1]["state"] == "acked")
        status, result, _ = self.node.api("POST", f"/v1/clients/{me}?ack=1&raw=1&timeout=20",
                                          b"\x00\xff")
        args, wants = client.message()
        self.assertEqual(args[0], packed(b"\x00\xff"))
        client.do("answer", wants=wants)
        wait_until("it is acked", lambda: self.node.api(
            "GET", f"/v1/messages/{result['id']}")[1]["state"] == "acked")

    def test_joins_leaves_sends(self):
        me, other = f"from-{self.transport}", f"to-{self.transport}"
        client = self.client(query={"id": me})
        with self.started_peer() as peer:
            peer.open(self.url, auth={"id": other})
            peer.wait(got="connect")
            self.assertEqual(client.call("join", ["j1", "j2"]), [{"ok": True}])
            self.assertEqual(client.call("leave", "j1"), [{"ok": True}])
            self.assertEqual(self.node.api("GET", f"/v1/clients/{me}")[1]["sessions"][0]["groups"],
                             ["j2"])
            answer, = client.call("send", {"to": other, "data": {"a": "\u20ac"}})
            self.assertEqual((answer["ok"], answer["state"]), (True, "queued"))
            self.assertEqual(peer.message()[0], [{"a": "\u20ac"}])
            answer, = client.call("send", {"to": other, "data": packed(b"\x01\x02\xff")})
            self.assertTrue(answer["ok"], answer)
            self.assertEqual(peer.message()[0], [packed(b"\x01\x02\xff")])
            answer, = client.call("send", {"to": other, "data": [packed(b"1")]})
            self.assertEqual((answer["ok"], answer["code"]), (False, "bad_message"))
            answer, = client.call("send", {"to": "nobody", "data": 1})
            self.assertEqual((answer["ok"], answer["state"]), (True, "absent"))
            answer, = client.call("join", 7)
            self.assertEqual((answer["ok"], answer["code"]), (False, "bad_message"))

    def test_namespaces(self):
        me = f"ns-{self.transport}"
        client = self.client(query={"id": me})
        path = "/admin" if self.version > 2 else f"/admin?id={me}"
        client.open(self.url + path, "b", transports=TRANSPORTS[self.transport],
                    **({"auth": {"id": me}} if self.version > 2 else {"query": {"id": me}}))
        client.wait(got="connect", **{"as": "b"})
        self.node.message(to=me, data="main")
        self.node.message(to=me, data="admin", namespace="/admin")
        self.assertEqual(client.message("a")[0], ["main"])
        self.assertEqual(client.message("b")[0], ["admin"])
        self.node.api("POST", f"/v1/clients/{me}?raw=1&namespace=/admin", b"\x07")
        self.assertEqual(client.message("b")[0], [packed(b"\x07")])
        client.open(self.url + "/nowhere", "c", transports=TRANSPORTS[self.transport])
        got = "connect_error" if self.version > 2 else "error"
        told = client.wait(got=got, **{"as": "c"})["error"]
        self.assertEqual(told["error"] if isinstance(told, dict) else told, "Invalid namespace")

    def test_is_closed_by_the_api(self):
        me = f"closed-{self.transport}"
        client = self.client(query={"id": me})

        def closed():
            return self.node.metric("ringpost_closed_total", reason="closed_by_api")
        before = closed()
        self.assertEqual(self.node.api("DELETE", f"/v1/clients/{me}")[1], {"closed": 1})
        self.assertEqual(client.wait(got="disconnect")["reason"], "io server disconnect")
        if self.transport == "websocket":
            wait_until("its connection counts as the API's", lambda: closed() == before + 1)

    def test_comes_back(self):
        me = f"back-{self.transport}"
        client = self.client(query={"id": me})
        client.do("cut", **{"as": "a"})
        client.wait(got="disconnect")
        taken = self.node.push(me, "kept", "?ack=1")[1]
        client.wait(got="connect")
        self.assertEqual(client.message()[0], ["kept"])
        wait_until("it is acked", lambda: self.node.api(
            "GET", f"/v1/messages/{taken['id']}")[1]["state"] == "acked")


for version in PACKAGES:
    for transport in TRANSPORTS:
        name = f"Client{version}{transport.capitalize()}"
        globals()[name] = unittest.skipIf(WHY_NOT is not None, WHY_NOT)(
            type(name, (SocketIo, unittest.TestCase),
                 {"version": version, "transport": transport}))
