"""Engine.IO 4 and 3 from outside, by raw sockets and the echo app of --conformance: polls that land
on either worker, the WebSocket transport, and the upgrade between them."""

import base64
import http.client
import json
import os
import re
import socket
import struct
import time
import unittest

from support import DEADLINE_S, Node, run, wait_until

# Every connection goes to a worker of its own choice, so polls of a session land on both.
FLAGS = ("--steer", "tuple", "--workers", "2", "--conformance", "on")


class Web:
    """Connections to `web`; a request takes the next one, so that the workers take turns."""

    def __init__(self, node, connections=13):
        self.node = node
        self.all = [self.open() for _ in range(connections)]
        self.turn = 0

    def open(self):
        return http.client.HTTPConnection(*self.node.address("web"), timeout=DEADLINE_S)

    def ask(self, method, query, body=None, headers=None, path="/engine.io/", connection=None):
        if connection is None:
            self.turn += 1
            connection = self.all[self.turn % len(self.all)]
        connection.request(method, f"{path}?{query}", body, headers or {})
        return self.answer(connection)

    @staticmethod
    def answer(connection):
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers

    def begin(self, method, query, body=None):
        """A request that is answered later, on a connection of its own."""
        connection = self.open()
        connection.request(method, f"/engine.io/?{query}", body)
        return connection

    def session(self, eio=4, more=""):
        status, body, _ = self.ask("GET", f"EIO={eio}&transport=polling{more}")
        assert status == 200, body
        opened = json.loads(re.sub(rb"^\d*:?0", b"", body))
        return Session(self, eio, opened["sid"], more), opened

    def close(self):
        for connection in self.all:
            connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Session:
    def __init__(self, web, eio, sid, more=""):
        self.web, self.sid = web, sid
        self.query = f"EIO={eio}&transport=polling&sid={sid}{more}"
        self.upgrade = f"EIO={eio}&transport=websocket&sid={sid}"

    def get(self):
        return self.web.ask("GET", self.query)[:2]

    def post(self, body, headers=None):
        return self.web.ask("POST", self.query, body, headers)[:2]

    def begin(self):
        return self.web.begin("GET", self.query)


class Frames:
    """A WebSocket by hand: each frame is what the test says."""

    def __init__(self, node, query, path="/engine.io/", expect=101):
        self.socket = socket.create_connection(node.address("web"), timeout=DEADLINE_S)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall((f"GET {path}?{query} HTTP/1.1\r\nHost: localhost\r\n"
                             f"Upgrade: websocket\r\nConnection: Upgrade\r\n"
                             f"Sec-WebSocket-Version: 13\r\n"
                             f"Sec-WebSocket-Key: {key}\r\n\r\n").encode())
        self.buffer = b""
        while b"\r\n\r\n" not in self.buffer:
            self.more()
        self.head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        assert self.head.startswith(b"HTTP/1.1 %d " % expect), self.head

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            raise EOFError
        self.buffer += data

    def send(self, data, opcode=None):
        opcode = opcode or (1 if isinstance(data, str) else 2)
        data = data.encode() if isinstance(data, str) else data
        size = len(data)
        head = bytes([0x80 | opcode])
        if size < 126:
            head += bytes([0x80 | size])
        elif size < 65536:
            head += bytes([0x80 | 126]) + struct.pack(">H", size)
        else:
            head += bytes([0x80 | 127]) + struct.pack(">Q", size)
        self.socket.sendall(head + b"\0\0\0\0" + data)

    def hear(self):
        """(opcode, payload) of the next frame; opcode 8 is the end."""
        while True:
            if len(self.buffer) >= 2:
                size, at = self.buffer[1], 2
                if size == 126 and len(self.buffer) >= 4:
                    size, at = struct.unpack(">H", self.buffer[2:4])[0], 4
                elif size == 127 and len(self.buffer) >= 10:
                    size, at = struct.unpack(">Q", self.buffer[2:10])[0], 10
                if size < 126 or at > 2:
                    if len(self.buffer) >= at + size:
                        opcode, data = self.buffer[0] & 15, self.buffer[at:at + size]
                        self.buffer = self.buffer[at + size:]
                        return opcode, data
            self.more()

    def text(self):
        opcode, data = self.hear()
        assert opcode == 1, (opcode, data)
        return data.decode()

    def probe(self):
        self.send("2probe")
        assert self.text() == "3probe"

    def ended(self):
        """The code of the close frame; None: it has none."""
        while True:
            opcode, data = self.hear()
            if opcode == 8:
                return struct.unpack(">H", data[:2])[0] if data else None

    def close(self):
        self.socket.close()


class Handshakes(unittest.TestCase):
    def test_what_it_says(self):
        with Node(*FLAGS, "--heartbeat", "7", "--max-payload", "5000") as node, Web(node) as web:
            session, opened = web.session()
            self.assertEqual({**opened, "sid": None},
                             {"sid": None, "upgrades": ["websocket"], "pingInterval": 7000,
                              "pingTimeout": 20000, "maxPayload": 5000})
            self.assertRegex(session.sid, r"^[A-Za-z0-9_-]{20}$")
            frames = Frames(node, "EIO=4&transport=websocket")
            opened = json.loads(frames.text()[1:])
            self.assertEqual(opened["upgrades"], [])
            frames.close()
            _, body, headers = web.ask("GET", "EIO=3&transport=polling")
            self.assertRegex(body, rb'^\d+:0\{"sid":')
            self.assertEqual(int(body.split(b":")[0]), len(body.split(b":", 1)[1]))
            self.assertEqual(headers["Content-Type"], "text/plain; charset=UTF-8")
            self.assertEqual(headers["Cache-Control"], "no-store")

    def test_errors_in_the_words_of_the_reference(self):
        unknown = {"code": 1, "message": "Session ID unknown"}
        with Node(*FLAGS) as node, Web(node) as web:
            session, _ = web.session()
            forged = session.sid[:-1] + ("A" if session.sid[-1] != "A" else "B")
            other = ("AA" if session.sid[:2] != "AA" else "BB") + session.sid[2:]
            for method, query, status, wanted in (
                    ("GET", "EIO=4", 400, {"code": 0, "message": "Transport unknown"}),
                    ("GET", "EIO=4&transport=x", 400, {"code": 0, "message": "Transport unknown"}),
                    ("GET", "EIO=4&transport=polling&sid=x", 400, unknown),
                    ("POST", f"EIO=4&transport=polling&sid={forged}", 400, unknown),
                    ("GET", f"EIO=4&transport=polling&sid={other}", 400, unknown),
                    ("POST", "EIO=4&transport=polling", 400,
                     {"code": 2, "message": "Bad handshake method"}),
                    ("OPTIONS", "EIO=4&transport=polling", 400,
                     {"code": 2, "message": "Bad handshake method"}),
                    ("GET", "EIO=4&transport=websocket", 400,
                     {"code": 3, "message": "Bad request"}),
                    ("GET", session.query.replace("polling", "websocket"), 400,
                     {"code": 3, "message": "Bad request"}),
                    ("GET", session.query.replace("EIO=4", "EIO=3"), 400,
                     {"code": 3, "message": "Bad request"}),
                    ("GET", "transport=polling", 400,
                     {"code": 5, "message": "Unsupported protocol version"}),
                    ("GET", "EIO=5&transport=polling", 400,
                     {"code": 5, "message": "Unsupported protocol version"})):
                with self.subTest(query=query):
                    answer = web.ask(method, query)
                    self.assertEqual(answer[0], status)
                    self.assertEqual(answer[1].decode(), json.dumps(wanted, separators=(",", ":")))
                    self.assertEqual(answer[2]["Content-Type"], "application/json")
            self.assertEqual(web.ask("PUT", session.query)[:2], (500, b""))
            answer = web.ask("GET", "EIO=4&transport=polling",
                             headers={"Origin": "http://evil.example"})
            self.assertEqual(answer[:2], (403, b'{"code":4,"message":"Forbidden"}'))
            bad = Frames(node, "EIO=4&transport=websocket&sid=x", expect=400)
            self.assertIn(b"Content-Type: text/html", bad.head)
            self.assertEqual(bad.buffer, b"Session ID unknown")
            bad.close()
            self.assertEqual(session.post("4still there"), (200, b"ok"))
            self.assertEqual(session.get(), (200, b"4still there"))

    def test_other_origins(self):
        origin = {"Origin": "http://a.example", "Access-Control-Request-Method": "POST"}
        with Node(*FLAGS, "--cors", "http://a.example") as node, Web(node) as web:
            status, _, headers = web.ask("OPTIONS", "EIO=4&transport=polling", headers=origin)
            self.assertEqual(status, 204)
            self.assertEqual(headers["Access-Control-Allow-Origin"], "http://a.example")
            self.assertIn("POST", headers["Access-Control-Allow-Methods"])
            status, _, headers = web.ask("GET", "EIO=4&transport=polling", headers=origin)
            self.assertEqual((status, headers["Access-Control-Allow-Credentials"]), (200, "true"))

    def test_only_on_loopback(self):
        status, _, told = run(["serve", "--conformance", "on", "--web", "0.0.0.0:0"])
        self.assertEqual(status, 1)
        self.assertIn("--conformance", told)


class Polls(unittest.TestCase):
    def test_on_either_worker(self):
        with Node(*FLAGS) as node, Web(node) as web:
            sessions = [web.session()[0] for _ in range(6)]
            for turn in range(5):
                for number, session in enumerate(sessions):
                    text = f"4{turn}-{number}"
                    self.assertEqual(session.post(f"{text}\x1ebAQID"), (200, b"ok"))
                    self.assertEqual(session.get(), (200, f"{text}\x1ebAQID".encode()))
            self.assertGreater(node.metric("ringpost_relays_total"), 0)
            self.assertEqual(node.metric("ringpost_engine_sessions_polling"), 6)

    def test_a_poll_waits(self):
        with Node(*FLAGS) as node, Web(node) as web:
            for _ in range(6):
                session, _ = web.session()
                waits = session.begin()
                time.sleep(0.05)
                self.assertEqual(session.post("4a"), (200, b"ok"))
                self.assertEqual(Web.answer(waits)[:2], (200, b"4a"))
                waits.close()

    def test_version_3(self):
        with Node(*FLAGS) as node, Web(node) as web:
            session, _ = web.session(3)
            text = "6:4hello2:4€3:4😀".encode()
            self.assertEqual(session.post(text), (200, b"ok"))
            self.assertEqual(session.get(), (200, text))
            self.assertEqual(session.post("1:2"), (200, b"ok"))
            self.assertEqual(session.get(), (200, b"1:3"))
            binary = b"\x01\x04\xff\x04\x01\x02\x03\x00\x02\xff4a"
            octets = {"Content-Type": "application/octet-stream"}
            self.assertEqual(session.post(binary, octets), (200, b"ok"))
            status, body, headers = web.ask("GET", session.query)
            self.assertEqual((status, body), (200, binary))
            self.assertEqual(headers["Content-Type"], "application/octet-stream")
            base64_only, _ = web.session(3, "&b64=1")
            self.assertEqual(base64_only.post("6:b4AQID"), (200, b"ok"))
            self.assertEqual(base64_only.get(), (200, b"6:b4AQID"))

    def test_jsonp(self):
        with Node(*FLAGS) as node, Web(node) as web:
            _, body, _ = web.ask("GET", "EIO=3&transport=polling&j=7x")
            script = re.fullmatch(rb'___eio\[7\]\((".*")\);', body).group(1)
            sid = json.loads(json.loads(script).split(":0", 1)[1])["sid"]
            query = f"EIO=3&transport=polling&j=7&sid={sid}"
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            self.assertEqual(web.ask("POST", query, "d=4%3A4a%5Cnb", form)[:2], (200, b"ok"))
            self.assertEqual(web.ask("GET", query)[1], b'___eio[7]("4:4a\\nb");')

    def test_jsonp_is_for_pages_of_the_host(self):
        """Any page can load a script, and no browser sends an Origin with that."""
        agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36"
        query = "EIO=3&transport=polling&j=0"
        with Node(*FLAGS) as node, Web(node) as web:
            host = node.ports["web"][0]
            for more, status in (({"Sec-Fetch-Site": "cross-site"}, 403), ({}, 403),
                                 ({"Referer": "http://evil.example/"}, 403),
                                 ({"Sec-Fetch-Site": "same-origin"}, 200),
                                 ({"Referer": f"http://{host}/till"}, 200)):
                with self.subTest(more=more):
                    answer = web.ask("GET", query, headers={"User-Agent": agent, **more})
                    self.assertEqual(answer[0], status)
            # The name of a page, pointed here by its owner.
            evil = {"User-Agent": agent, "Host": "evil.example"}
            self.assertEqual(web.ask("GET", "EIO=4&transport=polling", headers=evil)[0], 403)
            self.assertEqual(web.ask("GET", "id=till-7", headers=evil, path="/events")[0], 403)
            self.assertEqual(web.ask("GET", "", headers=evil, path="/")[0], 200)
            node.wait_log("event=unknown_web_host host=evil.example")

    def test_two_at_once_end_the_session(self):
        with Node(*FLAGS) as node, Web(node) as web:
            for _ in range(4):
                session, _ = web.session()
                first = session.begin()
                time.sleep(0.05)
                self.assertEqual(session.get(), (400, b""))
                self.assertEqual(Web.answer(first)[:2], (200, b"1"))
                first.close()
                self.assertEqual(session.get()[0], 400)

    def test_a_poll_that_is_cut_off_ends_the_session(self):
        with Node(*FLAGS) as node, Web(node) as web:
            for _ in range(4):
                session, _ = web.session()
                cut = session.begin()
                time.sleep(0.05)
                cut.close()
                wait_until("the session ends", lambda s=session: s.post("4x")[0] == 400)
            wait_until("none is left", lambda: node.metric("ringpost_engine_sessions") == 0)

    def test_closed_by_the_client(self):
        with Node(*FLAGS) as node, Web(node) as web:
            for _ in range(4):
                session, _ = web.session()
                waits = session.begin()
                time.sleep(0.05)
                self.assertEqual(session.post("1"), (200, b"ok"))
                self.assertEqual(Web.answer(waits)[:2], (200, b"6"))
                waits.close()
                self.assertEqual(session.get()[0], 400)

    def test_what_is_no_payload(self):
        octets = {"Content-Type": "application/octet-stream"}
        with Node(*FLAGS, "--max-payload", "2000") as node, Web(node) as web:
            for eio, body, headers in ((4, "abc", None), (4, "4a\x1e", None), (4, "", None),
                                       (4, b"4\xff", None), (4, "4a", octets), (4, "2", None),
                                       (3, "9:4a", None), (3, b"\x05", octets)):
                with self.subTest(body=body):
                    session, _ = web.session(eio)
                    status = session.post(body, headers)[0]
                    self.assertEqual(status, 200 if body == "2" else 400)
                    self.assertEqual(session.get()[0], 400)
            session, _ = web.session()
            connection = web.open()
            answer = web.ask("POST", session.query, "4" + "x" * 3000, connection=connection)
            self.assertEqual(answer[:2], (413, b""))
            self.assertEqual(session.post("4still there"), (200, b"ok"))
            self.assertEqual(session.get(), (200, b"4still there"))

    def test_longer_than_any_body(self):
        with Node(*FLAGS) as node, Web(node) as web:
            session, _ = web.session()
            for path in ("/engine.io/", "/socket.io/"):
                answer = web.ask("POST", session.query, "4" + "x" * 1000000, path=path,
                                 connection=web.open())
                self.assertEqual(answer[:2], (413, b""))

    def test_answers_are_bounded(self):
        with Node(*FLAGS, "--max-payload", "2000") as node, Web(node) as web:
            session, _ = web.session()
            for letter in "abc":
                self.assertEqual(session.post("4" + letter * 900), (200, b"ok"))
            first, second = session.get()[1], session.get()[1]
            self.assertLessEqual(len(first), 2000)
            self.assertEqual(first + b"\x1e" + second,
                             b"\x1e".join(b"4" + letter * 900 for letter in (b"a", b"b", b"c")))

    def test_heartbeats(self):
        with Node(*FLAGS, "--heartbeat", "0.4", "--heartbeat-timeout", "0.4") as node, \
                Web(node) as web:
            session, _ = web.session()
            for _ in range(2):
                self.assertEqual(session.get(), (200, b"2"))
                self.assertEqual(session.post("3"), (200, b"ok"))
            silent, _ = web.session(3)
            began = time.time()
            self.assertEqual(silent.get(), (200, b"1:1"))
            self.assertGreater(time.time() - began, 0.6)
            wait_until("silent sessions end",
                       lambda: node.metric("ringpost_engine_sessions") == 0)

    def test_heartbeats_that_are_shorter_than_their_timeout(self):
        """Each ping comes in its time, so that a proxy with less patience than both sees life."""
        with Node(*FLAGS, "--heartbeat", "0.2", "--heartbeat-timeout", "20") as node, \
                Web(node) as web:
            session, _ = web.session()
            began = time.time()
            for _ in range(4):
                self.assertEqual(session.get(), (200, b"2"))
                self.assertEqual(session.post("3"), (200, b"ok"))
            self.assertLess(time.time() - began, 15)

    def test_sessions_count_for_their_address(self):
        """Those that poll are there between polls as well; one with a WebSocket has that."""
        with Node(*FLAGS, "--max-per-address", "4") as node, Web(node, connections=1) as web:
            sessions = [web.session()[0] for _ in range(3)]
            status, body, _ = web.ask("GET", "EIO=4&transport=polling")
            self.assertEqual(status, 429)
            self.assertIn(b"--max-per-address", body)
            self.assertEqual(node.metric("ringpost_refused_total",
                                         reason="max_per_address"), 1)
            self.assertEqual(sessions.pop().post("1"), (200, b"ok"))
            frames = Frames(node, sessions[0].upgrade)
            frames.send("2probe")
            self.assertEqual(frames.hear(), (1, b"3probe"))
            frames.send("5")
            frames.send("4a")
            self.assertEqual(frames.hear(), (1, b"4a"))
            web.session()
            status, _, _ = web.ask("GET", "EIO=4&transport=polling")
            self.assertEqual(status, 429)
            frames.close()

    def test_a_drain(self):
        with Node(*FLAGS) as node, Web(node) as web:
            sessions = [web.session()[0] for _ in range(4)]
            waits = [session.begin() for session in sessions[:2]]
            frames = Frames(node, "EIO=4&transport=websocket")
            frames.text()
            time.sleep(0.1)
            node.signal(15)
            for connection in waits:
                self.assertEqual(Web.answer(connection)[:2], (200, b"1"))
                connection.close()
            self.assertIsNone(frames.ended())
            frames.close()
            self.assertEqual(node.wait_exit(), 0)


class WebSockets(unittest.TestCase):
    def test_messages(self):
        with Node(*FLAGS) as node:
            for eio in (4, 3):
                frames = Frames(node, f"EIO={eio}&transport=websocket")
                self.assertEqual(frames.text()[0], "0")
                frames.send("4hello €")
                self.assertEqual(frames.text(), "4hello €")
                binary = b"\x01\x02" if eio == 4 else b"\x04\x01\x02"
                frames.send(binary)
                self.assertEqual(frames.hear(), (2, binary))
                frames.send("4" + "x" * 70000)
                self.assertEqual(frames.text(), "4" + "x" * 70000)
                if eio == 3:
                    frames.send("2")
                    self.assertEqual(frames.text(), "3")
                frames.send(b"", 9)
                self.assertEqual(frames.hear(), (10, b""))
                frames.send("abc")
                self.assertIsNone(frames.ended())
                frames.close()
            wait_until("none is left", lambda: node.metric("ringpost_engine_sessions") == 0)

    def test_too_long(self):
        with Node(*FLAGS, "--max-payload", "2000") as node:
            frames = Frames(node, "EIO=4&transport=websocket")
            frames.text()
            frames.send("4" + "x" * 2000)
            self.assertEqual(frames.ended(), 1009)
            frames.close()

    def test_the_upgrade(self):
        with Node(*FLAGS) as node, Web(node) as web:
            for eio in (4, 3, 4, 3, 4, 3):
                length = (lambda text: f"{len(text)}:{text}") if eio == 3 else str
                session, _ = web.session(eio)
                waits = session.begin()
                time.sleep(0.05)
                frames = Frames(node, session.upgrade)
                frames.probe()
                self.assertEqual(Web.answer(waits)[:2], (200, length("6").encode()))
                waits.close()
                # A message in between waits for the transport that wins.
                self.assertEqual(session.post(length("4between")), (200, b"ok"))
                second = Frames(node, session.upgrade)
                self.assertIsNone(second.ended())
                second.close()
                frames.send("5")
                self.assertEqual(frames.text(), "4between")
                frames.send("4after")
                self.assertEqual(frames.text(), "4after")
                self.assertEqual(session.get(), (400, b'{"code":3,"message":"Bad request"}'))
                late = Frames(node, session.upgrade)
                self.assertIsNone(late.ended())
                late.close()
                frames.close()
            self.assertEqual(node.metric("ringpost_engine_upgrades_total"), 6)
            self.assertGreater(node.metric("ringpost_moved_total"), 0)

    def test_an_upgrade_that_is_given_up(self):
        with Node(*FLAGS, "--upgrade-timeout", "0.3") as node, Web(node) as web:
            session, _ = web.session()
            gone = Frames(node, session.upgrade)
            gone.probe()
            gone.close()
            wait_until("it has failed",
                       lambda: node.metric("ringpost_engine_upgrades_failed_total") == 1)
            silent = Frames(node, session.upgrade)
            self.assertIsNone(silent.ended())
            silent.close()
            wrong = Frames(node, session.upgrade)
            wrong.send("4x")
            self.assertIsNone(wrong.ended())
            wrong.close()
            self.assertEqual(session.post("4still there"), (200, b"ok"))
            self.assertEqual(session.get(), (200, b"4still there"))

    def test_echo(self):
        with Node(*FLAGS) as node:
            frames = Frames(node, "", path="/echo")
            for data in ("hello", b"\x00\xff" * 40000):
                frames.send(data)
                opcode, heard = frames.hear()
                self.assertEqual(heard, data.encode() if isinstance(data, str) else data)
                self.assertEqual(opcode, 1 if isinstance(data, str) else 2)
            frames.close()
        with Node() as node, Web(node) as web:
            self.assertEqual(web.ask("GET", "", path="/echo")[0], 404)
            self.assertEqual(web.ask("GET", "EIO=4&transport=polling")[0], 404)


if __name__ == "__main__":
    unittest.main()
