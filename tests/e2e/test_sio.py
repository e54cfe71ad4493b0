"""Socket.IO from outside, packet by packet, over WebSockets and polls of both versions."""

import http.client
import json
import re
import signal
import unittest

from support import DEADLINE_S, Node, wait_until
from ws_client import BINARY, CLOSE, PING, TEXT, WebSocket, frame

FLAGS = ("--steer", "tuple", "--workers", "2", "--namespaces", "/,/admin", "--client-send", "on")


class Sio(WebSocket):
    """A client over a WebSocket: packets without the `4` of Engine.IO."""

    def __init__(self, node, eio=4, query="", connect="0"):
        super().__init__(node, f"/socket.io/?EIO={eio}&transport=websocket{query}", welcomed=False)
        assert self.status == 101, self.head
        self.eio = eio
        self.opened = json.loads(self.packet_raw()[1:])
        self.sid = None
        if eio == 4 and connect is not None:
            self.say_packet(connect)
            welcome = self.packet()
            assert welcome.startswith("0"), welcome
            self.sid = json.loads(welcome[welcome.index("{"):])["sid"]
        elif eio == 3:
            assert self.packet() == "0"

    def packet_raw(self):
        """The next packet of text; a ping is answered."""
        while True:
            opcode, data = self.frame()
            if opcode == PING:
                continue
            assert opcode == TEXT, (opcode, data)
            if data == b"2":
                self.send(frame(TEXT, "3"))
                continue
            return data.decode()

    def packet(self):
        packet = self.packet_raw()
        assert packet[0] == "4", packet
        return packet[1:]

    def attachment(self):
        opcode, data = self.frame()
        assert opcode == BINARY, (opcode, data)
        if self.eio == 3:
            assert data[0] == 4, data
            return data[1:]
        return data

    def say_packet(self, packet):
        self.send(frame(TEXT, "4" + packet))

    def attach(self, data):
        self.send(frame(BINARY, data))

    def asks(self, packet):
        self.say_packet(packet)
        return self.packet()

    def ends(self):
        """Whatever comes, the end follows."""
        while True:
            got = self.frame()
            if got is None or got[0] == CLOSE:
                return True


class Polls:
    """A client that polls, over a connection for each request: the kernel chooses the worker."""

    def __init__(self, node, eio=4, query="", source="127.0.0.1", headers=None):
        self.node, self.eio, self.source, self.headers = node, eio, source, headers or {}
        self.query = f"EIO={eio}&transport=polling{query}"
        self.got = []
        opened = self.ask("GET")[1].decode()
        self.query += "&sid=" + re.search(r'"sid":"([^"]+)"', opened).group(1)
        # Behind the open packet the CONNECT of protocol 4 may stand.
        self.got = [one[1:] for one in self.packets_of(opened) if one[0] == "4"]

    def ask(self, method, body=None):
        connection = http.client.HTTPConnection(*self.node.address("web"), timeout=DEADLINE_S,
                                                source_address=(self.source, 0))
        connection.request(method, "/socket.io/?" + self.query, body, self.headers)
        answer = connection.getresponse()
        status, content = answer.status, answer.read()
        connection.close()
        return status, content

    def say(self, packet):
        body = "4" + packet
        if self.eio == 3:
            body = f"{len(body)}:{body}"
        status, content = self.ask("POST", body.encode())
        assert (status, content) == (200, b"ok"), content

    def packets_of(self, text):
        if self.eio == 4:
            return text.split("\x1e")
        packets = []
        while text:
            length, text = text.split(":", 1)
            packets.append(text[:int(length)])
            text = text[int(length):]
        return packets

    def poll(self):
        """The packets of Socket.IO in the next answer that has any."""
        if self.got:
            got, self.got = self.got, []
            return got
        while True:
            status, content = self.ask("GET")
            assert status == 200, (status, content)
            packets = self.packets_of(content.decode())
            if "2" in packets:
                self.ask("POST", b"3")
            if got := [one[1:] if one[0] == "4" else one for one in packets if one[0] in "4b"]:
                return got


class Packets(unittest.TestCase):
    def test_namespaces_and_events(self):
        with Node(*FLAGS) as node, Sio(node, connect='0{"id":"till","groups":["a"]}') as client:
            self.assertEqual(set(client.opened),
                             {"sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"})
            self.assertEqual(len(client.sid), 20)
            self.assertNotEqual(client.sid, client.opened["sid"])
            self.assertEqual(client.asks("0/nowhere,"),
                             '4/nowhere,{"message":"Invalid namespace"}')
            self.assertTrue(client.asks("0/admin").startswith('0/admin,{"sid":"'))
            self.assertEqual(client.asks('2/admin,7["register",{"id":"till","meta":true}]'),
                             '3/admin,7[{"ok":true}]')
            sessions = node.api("GET", "/v1/clients/till")[1]["sessions"]
            self.assertEqual({(one["namespace"], one["transport"]) for one in sessions},
                             {("/", "socketio-websocket"), ("/admin", "socketio-websocket")})
            self.assertIn(client.sid, {one["session"] for one in sessions})
            self.assertEqual(node.message(to="till", data=1, event="e")[1]["recipients"], 1)
            self.assertEqual(client.packet(), '2["e",1]')
            taken = node.message(to="till", data=2, namespace="/admin")[1]
            self.assertEqual(client.packet(), '2/admin,["message",2,{"id":"%s"}]' % taken["id"])
            self.assertEqual(node.message(to="till", namespace="/nowhere")[0], 400)
            client.say_packet('2["something"]')
            self.assertEqual(client.asks('20["leave","a"]'), '30[{"ok":true}]')
            self.assertEqual(node.metric("ringpost_socketio_events_ignored_total"), 1)
            self.assertEqual(node.api("DELETE", "/v1/clients/till")[1], {"closed": 2})
            self.assertEqual({client.packet(), client.packet()}, {"1", "1/admin,"})

    def test_a_long_event_is_not_read(self):
        """Whatever is behind its name, which would take everybody's time."""
        long = "1," * 150000 + "["
        with Node(*FLAGS, "--max-message", "65536") as node:
            with Sio(node, connect='0{"id":"till"}') as client:
                client.say_packet(f'2["x",{long}')
                self.assertIn("too_large", client.asks(f'27["join",{long}'))
                self.assertEqual(node.metric("ringpost_socketio_events_ignored_total"), 1)
                self.assertIn('"ok":true', client.asks('28["join","a"]'))
            for packet in (f'0{{"id":[{long}', f'2{{"x":[{long}', f'31[{long}', f'51-["x",{long}'):
                with self.subTest(packet=packet[:9]), Sio(node) as client:
                    client.say_packet(packet)
                    self.assertTrue(client.ends())

    def test_what_is_wrong_closes(self):
        with Node(*FLAGS) as node:
            for packet in ("0", "2/admin,[\"x\"]", "2/nowhere,[\"x\"]", "9", "2", "2{}",
                           '2["connect"]', '2abc["x"]', '511-["x"]',
                           '51-["x",{"_placeholder":true}]', "2[" + "[" * 70 + "]" * 71, "1[]"):
                with self.subTest(packet=packet), Sio(node) as client:
                    client.say_packet(packet)
                    self.assertTrue(client.ends())
            with Sio(node) as client:
                client.say_packet('51-["x",{"_placeholder":true,"num":0}]')
                client.say_packet('2["x"]')
                self.assertTrue(client.ends())
            with Sio(node) as client:
                client.attach(b"abc")
                self.assertTrue(client.ends())
            self.assertEqual(node.metric("ringpost_socketio_bad_packets_total"), 14)
            self.assertEqual(node.metric("ringpost_sessions"), 0)

    def test_the_log_says_what_was_wrong(self):
        with Node(*FLAGS) as node:
            for packet, reason, wrong in (
                    ("0", "bad_message", "a second CONNECT for a namespace"),
                    ('2/admin,["x"]', "bad_message",
                     "a packet for a namespace that is not connected"),
                    ("9", "bad_frame", "its type is unknown"),
                    ("4", "bad_message", "a CONNECT_ERROR from a client")):
                with self.subTest(packet=packet), Sio(node) as client:
                    client.say_packet(packet)
                    self.assertTrue(client.ends())
                    node.wait_log(f'session_closed reason={reason} .*namespace=/ .*"{wrong}"')
            with Sio(node) as client:
                client.attach(b"abc")
                self.assertTrue(client.ends())
                node.wait_log("session_closed reason=bad_frame .*bytes where no attachment is due")
            # One that was in no namespace.
            with Sio(node, connect=None) as client:
                client.say_packet("8")
                self.assertTrue(client.ends())
                node.wait_log('session_closed reason=bad_frame id="?"? namespace="?"? address=')
            self.assertEqual(node.log().count("session_closed"), 6)

    def test_a_second_connect_of_an_old_client_counts(self):
        with Node(*FLAGS) as node, Sio(node, eio=3) as client:
            client.say_packet("0/admin")
            self.assertEqual(client.packet(), "0/admin,")
            client.say_packet("0/admin")
            self.assertEqual(client.asks('21["register",{"id":"a"}]'), '31[{"ok":true}]')
            self.assertEqual(node.metric("ringpost_socketio_bad_packets_total"), 1)

    def test_who_is_not_let_in_is_told_to_the_operator(self):
        def refused(reason):
            return node.metric("ringpost_socketio_connects_refused_total", reason=reason)
        many = json.dumps({"groups": ["g%d" % i for i in range(65)]})
        with Node(*FLAGS) as node:
            with Sio(node, connect=None) as client:
                self.assertEqual(client.asks("0/nowhere"),
                                 '4/nowhere,{"message":"Invalid namespace"}')
                node.wait_log('warn event=socketio_connect_refused reason=invalid_namespace '
                              'namespace=/nowhere address=127.0.0.1:[0-9]+ '
                              'wrong="it is not in --namespaces"')
                self.assertIn("bad_message", client.asks('0{"id":7}'))
                node.wait_log("socketio_connect_refused reason=bad_message namespace=/ .*"
                              'wrong="id ')
                self.assertIn("too_many_groups", client.asks("0/admin," + many))
                node.wait_log("socketio_connect_refused reason=too_many_groups namespace=/admin ")
                client.asks("0/nowhere\u202e" + "x" * 100)
                node.wait_log("namespace=[^ ]*nowhere.*u202e")
                self.assertEqual(client.asks("0")[0], "0")
            with Sio(node, eio=3) as client:
                self.assertEqual(client.asks("0/nowhere"), '4/nowhere,"Invalid namespace"')
            self.assertEqual([refused(reason) for reason in (
                "invalid_namespace", "bad_message", "too_many_groups", "overloaded")],
                [3, 1, 1, 0])

    def test_who_comes_into_no_namespace_is_closed(self):
        with Node(*FLAGS, "--connect-timeout", "1") as node:
            with Sio(node, connect=None) as client:
                self.assertTrue(client.ends())
            with Sio(node) as client:
                client.say_packet("1")
                self.assertTrue(client.ends())

    def test_who_was_sent_away_is_closed_by_the_api(self):
        with Node(*FLAGS, "--connect-timeout", "1") as node:
            def closed(count):
                wait_until(f"the API has closed {count}", lambda: node.metric(
                    "ringpost_closed_total", reason="closed_by_api") == count)

            def send_away(client, packet):
                self.assertEqual(node.api("DELETE", "/v1/clients/a")[1], {"closed": 1})
                self.assertEqual(client.packet(), packet)
            for eio, connect in ((4, '0{"id":"a"}'), (3, None)):
                with self.subTest(eio=eio):
                    with Sio(node, eio=eio, query="&id=a", connect=connect) as client:
                        send_away(client, "1")
                        client.send(frame(CLOSE, b"\x03\xe8"))
                        self.assertTrue(client.ends())
                    closed(1 if eio == 4 else 3)
                    with Sio(node, eio=eio, query="&id=a", connect=connect) as client:
                        send_away(client, "1")
                        self.assertTrue(client.ends())
                    closed(2 if eio == 4 else 4)
            # Who is in a namespace still, or again, ends by its own wish.
            with Sio(node, connect='0{"id":"a"}') as client:
                self.assertEqual(client.asks("0/admin")[:8], "0/admin,")
                send_away(client, "1")
                client.send(frame(CLOSE, b"\x03\xe8"))
                self.assertTrue(client.ends())
            with Sio(node, connect='0{"id":"a"}') as client:
                send_away(client, "1")
                self.assertEqual(client.asks("0")[0], "0")
                client.send(frame(CLOSE, b"\x03\xe8"))
                self.assertTrue(client.ends())
            wait_until("all have ended",
                       lambda: node.metric("ringpost_engine_ended_total") == 6)
            closed(4)

    def test_bytes_both_ways_in_both_versions(self):
        with Node(*FLAGS) as node, Sio(node, connect='0{"id":"new"}') as new, \
                Sio(node, 3, "&id=old") as old:
            place = '{"_placeholder":true,"num":0}'
            for client, name in ((new, "new"), (old, "old")):
                data = bytes(range(256))
                node.api("POST", f"/v1/clients/{name}?raw=1", data)
                self.assertEqual(client.packet(), f'51-["message",{place}]')
                self.assertEqual(client.attachment(), data)
            new.say_packet('51-3["send",{"to":"old","data":%s}]' % place)
            new.attach(b"\x00\xff")
            self.assertIn('"state":"queued"', new.packet())
            self.assertEqual(old.packet(), f'51-["message",{place}]')
            self.assertEqual(old.attachment(), b"\x00\xff")

    def test_callbacks_settle(self):
        with Node(*FLAGS, "--ack-silence", "0.3") as node, \
                Sio(node, connect='0{"id":"till","meta":true}') as client:
            taken = node.push("till", 1, "?ack=1")[1]["id"]
            first, again = client.packet(), client.packet()
            self.assertRegex(first, r'^2\d{10}\["message",1,\{"id":"%s","ack":true\}\]$' % taken)
            self.assertTrue(again.endswith(',"ack":true,"redelivered":true}]'), again)
            client.say_packet("3" + first[1:11] + "[]")
            wait_until("it is acked", lambda: node.api(
                "GET", f"/v1/messages/{taken}")[1]["state"] == "acked")

    def test_a_form_is_written_once(self):
        with Node(*FLAGS) as node:
            plain = [Sio(node, connect='0{"groups":["g"]}') for _ in range(5)]
            meta = [Sio(node, connect='0{"groups":["g"],"meta":true}') for _ in range(5)]
            self.assertEqual(node.message(group="g", data=1)[1]["recipients"], 10)
            for client in plain + meta:
                self.assertTrue(client.packet().startswith('2["message",1'))
            for form in ("sio_socket", "sio_socket_meta"):
                # At most once for each of the two workers.
                self.assertIn(node.metric("ringpost_forms_encoded_total", form=form), (1, 2))
            for client in plain + meta:
                client.close()

    def test_a_drain_says_no_goodbye(self):
        node = Node(*FLAGS)
        with Sio(node, connect='0{"id":"till"}') as client:
            node.signal(signal.SIGTERM)
            opcode, _ = client.frame()
            self.assertEqual(opcode, CLOSE)
            client.send(frame(CLOSE))
            client.rest()
        node.stop()


class Polling(unittest.TestCase):
    def test_messages_wait_for_the_next_poll(self):
        with Node(*FLAGS) as node:
            for eio in (4, 3):
                client = Polls(node, eio, f"&id=p{eio}&groups=g,h")
                if eio == 4:
                    client.say('0{"meta":true}')
                self.assertTrue(client.poll()[0].startswith("0"))
                wait_until("it is there", lambda name=f"p{eio}": node.api(
                    "GET", f"/v1/clients/{name}")[0] == 200)
                for number in range(3):
                    self.assertEqual(node.message(group="g", data="\u00e4", id=f"{eio}-{number}")
                                     [1]["recipients"], 1)
                session, = node.api("GET", f"/v1/clients/p{eio}")[1]["sessions"]
                self.assertEqual((session["transport"], session["groups"]),
                                 ("socketio-polling", ["g", "h"]))
                self.assertGreater(session["queued_bytes"], 0)
                got = client.poll()
                while len(got) < 3:
                    got += client.poll()
                if eio == 4:
                    self.assertEqual(got, ['2["message","\\u00e4",{"id":"4-%d","group":"g"}]'
                                           % number for number in range(3)])
                else:
                    self.assertEqual(got, ['2["message","\\u00e4"]'] * 3)
                node.api("POST", f"/v1/clients/p{eio}?raw=1", b"\x01\xff")
                client.say("1")

    def test_a_client_that_does_not_poll_is_slow(self):
        with Node(*FLAGS, "--outbox-bytes", "4096") as node:
            client = Polls(node, 4, "&id=slow")
            client.say("0")
            client.poll()
            wait_until("it is there", lambda: node.api("GET", "/v1/clients/slow")[0] == 200)

            def pushed():
                node.push("slow", "x" * 1000)
                return node.api("GET", "/v1/clients/slow")[0] == 404
            wait_until("it is closed as too slow", pushed)
            self.assertEqual(client.ask("GET")[0], 400)
            self.assertIn("reason=too_slow", node.log())


class Conformance(unittest.TestCase):
    """What the public suite of Socket.IO 5 says, in short."""

    def test_handlers(self):
        with Node("--conformance", "on") as node, Sio(node, connect=None) as client:
            self.assertTrue(client.asks('0{"token":"123"}').startswith('0{"sid":"'))
            self.assertEqual(client.packet(), '2["auth",{"token":"123"}]')
            self.assertTrue(client.asks("0/custom,").startswith('0/custom,{"sid":"'))
            self.assertEqual(client.packet(), '2/custom,["auth",{}]')
            self.assertEqual(client.asks('2["message",1,"2",{"3":[true]}]'),
                             '2["message-back",1,"2",{"3":[true]}]')
            self.assertEqual(client.asks('2456["message-with-ack",1,"2",{"3":[false]}]'),
                             '3456[1,"2",{"3":[false]}]')
            two = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}'
            client.say_packet(f'52-789["message-with-ack",{two}]')
            client.attach(b"\x01\x02\x03")
            client.attach(b"\x04\x05\x06")
            self.assertEqual(client.packet(), f"62-789[{two}]")
            self.assertEqual([client.attachment(), client.attachment()],
                             [b"\x01\x02\x03", b"\x04\x05\x06"])
            self.assertEqual(client.asks("0/random"), '4/random,{"message":"Invalid namespace"}')
            client.say_packet("1/custom")
            self.assertEqual(client.asks('2["message","main"]'), '2["message-back","main"]')
