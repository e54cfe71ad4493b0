"""WebSocket: the handshake, the JSON client protocol in frames, and how sessions end."""

import base64
import hashlib
import json
import signal
import struct
import unittest

from support import JsonClient, Node, Socket, wait_until
from ws_client import BINARY, CLOSE, PING, PONG, TEXT, WebSocket, frame, handshake

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Handshake(unittest.TestCase):
    def test_accepted(self):
        with Node() as node:
            key = base64.b64encode(b"0123456789abcdef").decode()
            with WebSocket(node, Sec_WebSocket_Key=key) as ws:
                digest = hashlib.sha1((key + GUID).encode()).digest()
                self.assertEqual(ws.head["sec-websocket-accept"], base64.b64encode(digest).decode())
                self.assertEqual(ws.head["upgrade"], "websocket")
                self.assertNotIn("sec-websocket-protocol", ws.head)
            for offers, chosen in (("ringpost.v1", "ringpost.v1"), ("other", None),
                                   ("a, ringpost.v1", "ringpost.v1")):
                with WebSocket(node, Sec_WebSocket_Protocol=offers) as ws:
                    self.assertEqual(ws.head.get("sec-websocket-protocol"), chosen)

    def test_refused(self):
        cases = (
            ({"Upgrade": None}, 426), ({"Connection": "close"}, 426), ({"Upgrade": "h2c"}, 426),
            ({"Sec_WebSocket_Version": "8"}, 426), ({"Sec_WebSocket_Version": None}, 426),
            ({"Sec_WebSocket_Key": None}, 400), ({"Sec_WebSocket_Key": "AAAA"}, 400),
            ({"Sec_WebSocket_Protocol": "a b"}, 400), ({"Sec_WebSocket_Extensions": ";"}, 400),
            ({"Origin": "http://evil.example"}, 403), ({"Content-Length": "5"}, 413),
        )
        with Node() as node:
            for fields, status in cases:
                with self.subTest(fields), WebSocket(node, **fields) as ws:
                    self.assertEqual(ws.status, status)
                    if status == 426:
                        self.assertEqual(ws.head["sec-websocket-version"], "13")
            for query in ("?id=", "?id=a&id=b", "?color=1", "?group=%ff", "?id=a%00"):
                with self.subTest(query), WebSocket(node, "/ws" + query) as ws:
                    self.assertEqual(ws.status, 400)
            wait_until("none is left but this one",
                       lambda: node.metric("ringpost_connections") == 1)

    def test_an_origin_that_may(self):
        with Node("--cors", "http://shop.example") as node:
            with WebSocket(node, Origin="http://shop.example") as ws:
                self.assertEqual(ws.status, 101)
            with WebSocket(node, Origin="http://other.example") as ws:
                self.assertEqual(ws.status, 403)

    def test_frames_behind_the_request(self):
        with Node() as node, Socket(node.address("web")) as peer:
            peer.send(handshake().encode() + frame(TEXT, '{"type":"hello","id":"x"}')
                      + frame(TEXT, '{"type":"ping"}'))
            head = peer.exactly(4)
            self.assertEqual(head, b"HTTP")
            wait_until("both answers", lambda: b'"pong"' in peer.buffer or not peer.fill())
            self.assertIn(b'"welcome"', peer.buffer)
            self.assertEqual(node.push("x", 1)[1]["recipients"], 1)


class Messages(unittest.TestCase):
    def test_hello_and_a_message(self):
        with Node() as node, WebSocket(node) as ws:
            welcome = ws.asks(type="hello", id="tab-1", groups=["g"])
            self.assertEqual(welcome["type"], "welcome")
            status, result, _ = node.push("tab-1", {"amount": 12}, "?event=payment&id=m1")
            self.assertEqual((status, result["recipients"]), (202, 1))
            self.assertEqual(ws.hear(), {"type": "message", "id": "m1", "event": "payment",
                                         "data": {"amount": 12}})
            session = node.api("GET", "/v1/clients/tab-1")[1]["sessions"][0]
            self.assertEqual(session["transport"], "websocket")
            self.assertEqual(session["session"], welcome["session"])
            self.assertEqual(ws.asks(type="hello", id="again", ref=1)["code"], "bad_message")

    def test_registration_by_query(self):
        with Node() as node, WebSocket(node, "/ws?id=a%20b&group=x,y&groups=z&token=t") as ws:
            self.assertEqual(ws.welcome["type"], "welcome")
            self.assertEqual(sorted(node.api("GET", "/v1/clients/a%20b")[1]["sessions"][0]
                                    ["groups"]), ["x,y", "z"])
            self.assertEqual(ws.asks(type="hello", id="n")["code"], "bad_message")
            # A token alone waits for the hello.
            with WebSocket(node) as other, WebSocket(node, "/ws?token=t", welcomed=False) as ws:
                self.assertEqual(ws.asks(type="hello", id="c")["type"], "welcome")
                self.assertEqual(other.asks(type="hello")["type"], "welcome")

    def test_sizes(self):
        with Node() as node, WebSocket(node, "/ws?id=x") as ws:
            for size in (0, 1, 60, 100, 126, 4000, 4096, 5000, 65000, 65534):
                data = "y" * size
                self.assertEqual(node.push("x", data)[0], 202)
                self.assertEqual(ws.hear()["data"], data)

    def test_bytes_and_line_breaks(self):
        with Node() as node, WebSocket(node, "/ws?id=x") as ws:
            node.api("POST", "/v1/clients/x?raw=1", b"\0\1\2", {"Content-Type": "image/png"})
            heard = ws.hear()
            self.assertEqual((heard["encoding"], heard["data"]), ("base64", "AAEC"))
            text = "a\u2028b\u0085"
            node.push("x", text)
            opcode, data = ws.frame()
            self.assertNotIn("\u2028", data.decode())
            self.assertEqual(json.loads(data)["data"], text)

    def test_groups_broadcast_and_every_worker(self):
        with Node("--steer", "none", workers=3) as node:
            sockets = [WebSocket(node, f"/ws?id=t{i}&group=g") for i in range(12)]
            tcp = JsonClient(node, "tcp", ["g"])
            self.assertEqual(node.api("POST", "/v1/groups/g", '"to all"')[1]["recipients"], 13)
            self.assertEqual(node.api("POST", "/v1/broadcast", '"all"')[1]["recipients"], 13)
            for ws in sockets:
                # They are of different addresses, so their order is not promised.
                self.assertEqual({ws.hear()["data"], ws.hear()["data"]}, {"to all", "all"})
            self.assertEqual({tcp.hear_message()["data"], tcp.hear_message()["data"]},
                             {"to all", "all"})
            made = node.metric("ringpost_forms_encoded_total", form="websocket")
            self.assertLessEqual(made, 2 * 3)
            for peer in [*sockets, tcp]:
                peer.close()

    def test_sends(self):
        with Node("--client-send", "on") as node, WebSocket(node, "/ws?id=a") as a, \
                WebSocket(node, "/ws?id=b") as b:
            a.say(type="send", to="b", data={"n": [1, 2]}, ref="r")
            self.assertEqual(a.hear()["state"], "queued")
            self.assertEqual(b.hear()["data"], {"n": [1, 2]})
            a.send(frame(TEXT, '{"type": "send",\n "to": "b",\r\n "data": [1,\n2], "ref": 2}'))
            self.assertEqual(a.hear()["state"], "queued")
            self.assertEqual(b.hear()["data"], [1, 2])
            self.assertEqual(a.asks(type="send", to="nobody", data=1, ref=3)["state"], "absent")

    def test_acknowledging(self):
        with Node("--ack-silence", "0.3") as node, WebSocket(node, "/ws?id=till") as ws:
            with Socket(node.address("api")) as producer:
                body = '{"pay":1}'
                producer.send("POST /v1/clients/till?ack=1&id=p1&wait=ack&timeout=20 HTTP/1.1\r\n"
                              f"Host: localhost\r\nContent-Length: {len(body)}\r\n\r\n{body}")
                self.assertEqual(ws.hear(), {"type": "message", "id": "p1", "event": "message",
                                             "ack": True, "data": {"pay": 1}})
                again = ws.hear()
                self.assertTrue(again["redelivered"])
                ws.say(type="ack", id="p1")
                self.assertIn(b" 200 ", producer.line())
            self.assertEqual(node.api("GET", "/v1/messages/p1")[1]["state"], "acked")


class Frames(unittest.TestCase):
    def test_pieces_with_control_frames_between(self):
        with Node() as node, WebSocket(node) as ws:
            text = '{"type":"hello","id":"grün"}'.encode()
            for i, byte in enumerate(text):
                ws.send(frame(TEXT if i == 0 else 0, bytes([byte]), fin=i == len(text) - 1))
                if i % 10 == 0:
                    ws.send(frame(PING, b"%d" % i))
                    self.assertEqual(ws.frame(), (PONG, b"%d" % i))
            self.assertEqual(ws.hear()["type"], "welcome")
            self.assertEqual(node.push("grün", 1)[1]["recipients"], 1)

    def test_byte_by_byte(self):
        with Node() as node, WebSocket(node) as ws:
            for byte in frame(TEXT, '{"type":"hello","id":"slow"}') + frame(PING, "p"):
                ws.send(bytes([byte]))
            self.assertEqual(ws.hear()["type"], "welcome")
            self.assertEqual(ws.frame(), (PONG, b"p"))

    def test_what_is_refused(self):
        cases = (
            ("not masked", frame(TEXT, "{}", masked=False), 1002),
            ("reserved bit", frame(TEXT, "{}", reserved=4), 1002),
            ("reserved opcode", frame(3, "{}"), 1002),
            ("control frame in pieces", frame(PING, "x", fin=False), 1002),
            ("control frame too long", frame(PING, "x" * 126), 1002),
            ("continuation of nothing", frame(0, "x"), 1002),
            ("a message in a message", frame(TEXT, "a", fin=False) + frame(TEXT, "b"), 1002),
            ("bad UTF-8", frame(TEXT, b'"\xff"'), 1007),
            ("UTF-8 that ends early", frame(TEXT, b'"\xe2\x82'), 1007),
            ("binary", frame(BINARY, b"\0"), 1003),
            ("too large", frame(TEXT, b"x" * 70000), 1009),
            ("no JSON", frame(TEXT, "hello"), 1002),
            ("bad close code", frame(CLOSE, struct.pack(">H", 1005)), 1002),
            ("half a close code", frame(CLOSE, b"\3"), 1002),
        )
        with Node() as node:
            with WebSocket(node, "/ws?id=witness") as witness:
                for name, sent, code in cases:
                    with self.subTest(name), WebSocket(node, "/ws?id=x") as ws:
                        ws.send(sent)
                        opcode, data = ws.frame()
                        if opcode == TEXT:
                            self.assertEqual(json.loads(data)["type"], "error")
                            opcode, data = ws.frame()
                        self.assertEqual((opcode, struct.unpack(">H", data[:2])[0]), (CLOSE, code))
                        ws.send(frame(CLOSE, data[:2]))
                        self.assertEqual(ws.rest(), b"")
                self.assertEqual(node.push("witness", 1)[1]["recipients"], 1)
                self.assertEqual(witness.hear()["data"], 1)

    def test_a_hello_has_a_limit_of_its_own(self):
        with Node() as node, WebSocket(node) as ws:
            ws.send(frame(TEXT, b'{"type":"hello","pad":"' + b"x" * 17000)[:100])
            opcode, data = ws.frame()
            self.assertEqual(json.loads(data)["code"], "too_large")
            self.assertEqual(ws.closed(), 1009)

    def test_their_close_is_answered_by_its_code(self):
        with Node() as node:
            for payload in (struct.pack(">H", 1000) + b"bye", struct.pack(">H", 4321), b""):
                with WebSocket(node, "/ws?id=x") as ws:
                    ws.send(frame(CLOSE, payload))
                    self.assertEqual(ws.frame(), (CLOSE, payload[:2]))
                    self.assertEqual(ws.rest(), b"")


class Ends(unittest.TestCase):
    def test_closed_by_the_api(self):
        with Node() as node, WebSocket(node, "/ws?id=x") as ws:
            self.assertEqual(node.api("DELETE", "/v1/clients/x")[1]["closed"], 1)
            self.assertEqual(ws.closed(), 1000)

    def test_drain(self):
        with Node() as node, WebSocket(node, "/ws?id=x") as ws, WebSocket(node) as silent:
            node.signal(signal.SIGTERM)
            for peer in (ws, silent):
                goodbye = peer.hear()
                self.assertEqual((goodbye["type"], goodbye["reason"]), ("goodbye", "draining"))
                self.assertGreaterEqual(goodbye["reconnect_ms"], 0)
                self.assertEqual(peer.closed(), 1001)

    def test_heartbeat(self):
        with Node("--heartbeat", "0.2", "--heartbeat-timeout", "0.3") as node, \
                WebSocket(node, "/ws?id=x") as ws:
            for _ in range(3):
                self.assertEqual(ws.frame(), (PING, b""))
                ws.send(frame(PONG))
            self.assertEqual(ws.frame(), (PING, b""))
            self.assertEqual(ws.hear()["code"], "heartbeat_timeout")
            self.assertEqual(ws.closed(), 1002)

    def test_no_hello(self):
        with Node("--hello-timeout", "0.2") as node, WebSocket(node) as ws:
            self.assertEqual(ws.hear()["code"], "hello_timeout")
            self.assertEqual(ws.closed(), 1002)
        with Node() as node, WebSocket(node) as ws:
            self.assertEqual(ws.asks(type="ping")["code"], "hello_required")
            self.assertEqual(ws.closed(), 1002)

    def test_too_slow(self):
        with Node("--outbox-bytes", "65536", "--send-buffer", "4K") as node, \
                WebSocket(node, "/ws?id=x", receive_buffer=4096) as ws:
            wait_until("it is closed", lambda: node.push("x", "y" * 30000)[0] == 404)
            wait_until("the reason is counted", lambda: node.metric(
                "ringpost_closed_total", reason="too_slow") == 1)
            ws.close()


if __name__ == "__main__":
    unittest.main()
