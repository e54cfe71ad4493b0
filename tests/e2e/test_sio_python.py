"""python-socketio, both of its clients, in every transport; on a node of two workers, as
test_sio_clients.py has it for the clients in JavaScript.

Skipped by name without the package; Debian's are python3-socketio with python3-requests and
python3-websocket, or python3-aiohttp."""

import pathlib
import time
import unittest

from support import Node, free_port, wait_until
from test_examples import python_with
from test_sio_clients import TRANSPORTS, Client, SocketIo

HERE = pathlib.Path(__file__).resolve().parent
KINDS = {"sync": python_with("socketio, requests, websocket"),
         "async": python_with("socketio, aiohttp")}


class PythonSocketIo(SocketIo):
    version = 4  # it speaks the protocol of these
    kind = None

    def started(self):
        return Client(4, [KINDS[self.kind], str(HERE / "sio_client.py"), self.kind])

    def started_peer(self):
        return self.started()

    def test_is_closed_by_the_api(self):
        """And stays away: the package gives no reason."""
        me = f"closed-{self.transport}"
        client = self.client(query={"id": me})
        self.assertEqual(self.node.api("DELETE", f"/v1/clients/{me}")[1], {"closed": 1})
        client.wait(got="disconnect")
        time.sleep(0.5)  # in which one that came back would be there: it waits for 50 ms
        self.assertEqual(self.node.api("GET", f"/v1/clients/{me}")[0], 404)

    def test_comes_back(self):
        """After a crash, and after a drain but where it polls: there it takes the close packet for
        its own end (docs/socketio.md)."""
        me, port = f"back-{self.transport}", free_port()
        # A client that ends between two polls is missed only at its next pong.
        flags = ("--web", f"127.0.0.1:{port}", "--steer", "none",
                 "--heartbeat", "2", "--heartbeat-timeout", "4")
        node = Node(*flags)
        self.addCleanup(lambda: node.kill())  # whichever it is then
        client = self.started()
        self.addCleanup(client.__exit__)
        client.open(f"http://127.0.0.1:{port}", transports=TRANSPORTS[self.transport],
                    auth={"id": me}, reconnectionDelay=50, reconnectionDelayMax=100)
        client.wait(got="connect")
        for drains in (False, True) if self.transport != "polling" else (False, False):
            if drains:
                node.stop()
            else:
                node.kill()
            client.wait(got="disconnect")
            node = Node(*flags)
            client.wait(got="connect")
            answer = node.push(me, {"back": True}, "?ack=1&wait=ack&timeout=20")[1]
            self.assertEqual(answer["state"], "acked", answer)
            self.assertEqual(client.message()[0], [{"back": True}])
        client.close()
        wait_until("the session has ended",
                   lambda: node.api("GET", f"/v1/clients/{me}")[0] == 404)
        node.stop()


for kind in KINDS:
    for transport in TRANSPORTS:
        name = f"{kind.capitalize()}{transport.capitalize()}"
        globals()[name] = unittest.skipUnless(
            KINDS[kind], "python3-socketio, or what it needs, is not installed")(
                type(name, (PythonSocketIo, unittest.TestCase),
                     {"kind": kind, "transport": transport}))
