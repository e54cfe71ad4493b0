"""Engine.IO polls that come to another node than their session's: nodes that pass them on to each
other (--peer), from outside; and what clients are told where that is not to be had."""

import contextlib
import os
import signal
import socket
import tempfile
import threading
import unittest

import test_proxies
import test_sio_clients as published
from redis_server import HAVE, Redis, cluster, node_of
from support import DEADLINE_S, SANITIZED, free_port, run, wait_until
from test_eio import Frames, Session, Web
from test_proxies import HAPROXY, Through, replaced, snippet
from test_sio import Polls

UNKNOWN = (400, b'{"code":1,"message":"Session ID unknown"}\n')
FLAGS = ("--steer", "tuple", "--conformance", "on", "--client-send", "on")


class Secret:
    """A file with a secret."""

    def __init__(self, text="0123456789abcdef" * 2):
        with tempfile.NamedTemporaryFile("w", prefix="ringpost-secret-", delete=False) as file:
            file.write(text + "\n")
        self.flags = ("--peer", "127.0.0.1:0", "--peer-secret-file", file.name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.unlink(self.flags[3])


def gone(answer):
    """As the node says it, whatever is behind its JSON."""
    return (answer[0], answer[1].rstrip(b"\n")) == (UNKNOWN[0], UNKNOWN[1].rstrip(b"\n"))


@contextlib.contextmanager
def pair(*names):
    with Redis() as redis, Secret() as secret, \
            cluster(redis, *(names or ("a", "b")), flags=(*FLAGS, *secret.flags)) as nodes:
        yield nodes


def trio():
    return pair("a", "b", "c")


@contextlib.contextmanager
def session(nodes):
    """The first of two nodes with a session, and the other one where polls of it come."""
    a, b = nodes
    with Web(a) as home, Web(b) as other:
        near, _ = home.session()
        yield a, b, near, Session(other, 4, near.sid)


def away(node):
    return node.metric("ringpost_peer_polls_away")


def engines(node):
    return node.metric("ringpost_engine_sessions")


@unittest.skipUnless(HAVE, "there is no redis-server")
class Passed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = contextlib.ExitStack()
        cls.nodes = cls.stack.enter_context(pair())

    @classmethod
    def tearDownClass(cls):
        cls.stack.close()

    def session(self):
        return session(self.nodes)

    def test_both_ways_and_both_versions(self):
        a, b = self.nodes
        with Web(a) as on_a, Web(b) as on_b:
            for home, other, eio in ((on_a, on_b, 4), (on_b, on_a, 4), (on_a, on_b, 3)):
                near, _ = home.session(eio)
                far = Session(other, eio, near.sid)
                hello, back = (b"4hello",) * 2 if eio == 4 else (b"6:4hello",) * 2
                # Each request by any of both nodes.
                for one, two in ((far, far), (near, far), (far, near)):
                    self.assertEqual(one.post(hello), (200, b"ok"))
                    self.assertEqual(two.get(), (200, back))
                waits = far.begin()
                wait_until("it waits", lambda: away(a) + away(b) == 1)
                self.assertEqual(near.post(hello), (200, b"ok"))
                self.assertEqual(Web.answer(waits)[:2], (200, back))
            # A script, and its form; and bytes.
            near, _ = on_a.session()
            script = Session(on_b, 4, near.sid, "&j=3")
            self.assertEqual(script.post(b"d=4x", {
                "Content-Type": "application/x-www-form-urlencoded"}), (200, b"ok"))
            self.assertEqual(script.get(), (200, b'___eio[3]("4x");'))
            # As large as may be, which is more than goes in one piece.
            large = b"4" + b"y" * 999_990
            far = Session(on_b, 4, near.sid)
            self.assertEqual(far.post(large), (200, b"ok"))
            self.assertEqual(far.get(), (200, large))
            self.assertEqual(far.post(b"4" + b"y" * 1_000_000)[0], 413)
            self.assertEqual(a.metric("ringpost_peer_calls"), 1)

    def test_what_the_home_refuses(self):
        with self.session() as (a, b, near, far):
            before = engines(a)
            unknown = near.sid[:-4] + ("AAAA" if near.sid[-4:] != "AAAA" else "BBBB")
            self.assertTrue(gone(Session(far.web, 4, unknown).get()))
            self.assertEqual(Session(far.web, 3, near.sid).get()[0], 400)
            # A node that there is not.
            other = ("A" if near.sid[0] != "A" else "B") + near.sid[1:]
            self.assertTrue(gone(Session(far.web, 4, other).get()))
            self.assertEqual(b.metric("ringpost_peer_failed_total", reason="unknown_node"), 1)
            # Two at once: the first is told that the session ends, and it does.
            first = far.begin()
            wait_until("it waits", lambda: away(b) == 1)
            self.assertEqual(far.get()[0], 400)
            self.assertEqual(Web.answer(first)[:2], (200, b"1"))
            wait_until("it has ended", lambda: engines(a) == before - 1)
            self.assertTrue(gone(far.get()))

    def test_an_upgrade_stays_where_it_is(self):
        with self.session() as (a, b, near, far):
            refused = Frames(b, far.upgrade, expect=400)
            refused.socket.close()
            self.assertEqual(far.post(b"4on"), (200, b"ok"))
            self.assertEqual(far.get(), (200, b"4on"))
            self.assertEqual(b.metric("ringpost_engine_foreign_total"), 1)
            upgraded = Frames(a, near.upgrade)
            upgraded.send("2probe")
            upgraded.socket.close()

    def test_its_client_hangs_up(self):
        """As where it polls at home: the session ends."""
        with self.session() as (a, b, near, far):
            before = engines(a)
            waits = far.begin()
            wait_until("it waits", lambda: away(b) == 1)
            waits.close()
            wait_until("the session ends", lambda: engines(a) == before - 1)
            wait_until("nothing is left", lambda: away(b) == 0
                       and a.metric("ringpost_peer_guests") == 0)
            self.assertTrue(gone(near.get()))

    def test_many_wait_at_once(self):
        a, b = self.nodes
        with Web(a) as home, Web(b) as other:
            pairs = [(near, Session(other, 4, near.sid))
                     for near in (home.session()[0] for _ in range(200))]
            waits = [far.begin() for _, far in pairs]
            wait_until("all wait", lambda: away(b) == len(pairs))
            for number, (near, _) in enumerate(pairs):
                self.assertEqual(near.post(b"4%d" % number), (200, b"ok"))
            for number, connection in enumerate(waits):
                self.assertEqual(Web.answer(connection)[:2], (200, b"4%d" % number))
            self.assertEqual(b.metric("ringpost_peer_calls"), 1)
            self.assertEqual(b.metric("ringpost_peer_lost_total"), 0)


def drained(node):
    assert node.wait_exit() == 0, node.log()[-3000:]
    node.stop = node.folder.cleanup


def killed(node):
    node.kill()
    node.stop = node.folder.cleanup


@unittest.skipUnless(HAVE, "there is no redis-server")
class Ends(unittest.TestCase):
    def test_nodes_are_killed(self):
        with trio() as (a, b, c), Web(a) as home, Web(b) as on_b, Web(c) as on_c:
            # The front: the session ends, as if its client had hung up.
            near, _ = home.session()
            waits = Session(on_c, 4, near.sid).begin()
            wait_until("it waits", lambda: a.metric("ringpost_peer_guests") == 1)
            killed(c)
            wait_until("the session ends", lambda: engines(a) == 0)
            self.assertEqual(a.metric("ringpost_peer_guests"), 0)
            waits.close()
            # The home.
            near, _ = home.session()
            far = Session(on_b, 4, near.sid)
            waits = far.begin()
            wait_until("it waits", lambda: away(b) == 1)
            b.wait_log("event=peer_connected node=a")  # or it would be unreachable, not lost
            killed(a)
            self.assertTrue(gone(Web.answer(waits)))
            self.assertTrue(gone(far.get()))
            b.wait_log(r"event=peer_lost node=a .*remedy=")
            self.assertEqual(b.metric("ringpost_peer_failed_total", reason="lost"), 1)
            # Others go on.
            near, _ = on_b.session()
            self.assertEqual(near.post(b"4x"), (200, b"ok"))
            self.assertEqual(near.get(), (200, b"4x"))

    def test_nodes_drain(self):
        with trio() as (a, b, c), Web(a) as home, Web(b) as on_b, Web(c) as on_c:
            # The front lets go of what waits there, so that its client polls elsewhere.
            near, _ = home.session()
            far = Session(on_c, 4, near.sid)
            waits = Session(on_b, 4, near.sid).begin()
            wait_until("it waits", lambda: away(b) == 1)
            b.signal(signal.SIGTERM)
            self.assertEqual(Web.answer(waits)[:2], (200, b"6"))
            drained(b)
            self.assertEqual(near.post(b"4on"), (200, b"ok"))
            self.assertEqual(far.get(), (200, b"4on"))
            # Sessions say goodbye wherever they poll.
            waits = far.begin()
            wait_until("it waits", lambda: away(c) == 1)
            a.signal(signal.SIGTERM)
            self.assertEqual(Web.answer(waits)[:2], (200, b"1"))
            drained(a)
            self.assertTrue(gone(far.get()))

    def test_without_redis_they_go_on(self):
        with Redis() as redis, Secret() as secret, \
                cluster(redis, "a", "b", flags=(*FLAGS, *secret.flags)) as (a, b), \
                Web(a) as home, Web(b) as other:
            near, _ = home.session()
            far = Session(other, 4, near.sid)
            redis.kill()
            wait_until("nobody is heard of", lambda: b.metric("ringpost_redis_nodes") == 0)
            self.assertEqual(far.post(b"4x"), (200, b"ok"))
            self.assertEqual(far.get(), (200, b"4x"))

    @unittest.skipIf(SANITIZED, "it waits for 5 s; the unit test does so with a clock of its own")
    def test_the_home_is_paused(self):
        """It is given up after 5 s; when it is back, so is what it can do."""
        with pair() as nodes, session(nodes) as (a, b, near, far):
            waits = far.begin()
            wait_until("it waits", lambda: away(b) == 1)
            a.signal(signal.SIGSTOP)
            try:
                answer = Web.answer(waits)
            finally:
                a.signal(signal.SIGCONT)
            self.assertTrue(gone(answer))
            b.wait_log(r"event=peer_lost node=a .*said nothing")
            wait_until("its session ends", lambda: engines(a) == 0)
            near, _ = near.web.session()
            far = Session(far.web, 4, near.sid)
            wait_until("it can be called again", lambda: far.post(b"4x") == (200, b"ok"))
            self.assertEqual(near.get(), (200, b"4x"))


@unittest.skipUnless(HAVE, "there is no redis-server")
class Refused(unittest.TestCase):
    def test_without_the_setting_and_with_another_secret(self):
        with Redis() as redis, Secret() as one, Secret("another secret of them") as two, \
                node_of(redis, "a", *FLAGS, *one.flags) as a, \
                node_of(redis, "b", *FLAGS) as b, \
                node_of(redis, "c", *FLAGS, *two.flags) as c, \
                Web(a) as on_a, Web(b) as on_b, Web(c) as on_c:
            near, _ = on_a.session()
            self.assertTrue(gone(Session(on_b, 4, near.sid).get()))
            self.assertEqual(b.metric("ringpost_engine_foreign_total"), 1)
            b.wait_log(r"event=poll_of_another_node .*--peer")
            wait_until("they know each other", lambda: all(
                node.metric("ringpost_redis_nodes") == 2 for node in (a, c)))
            self.assertTrue(gone(Session(on_c, 4, near.sid).get()))
            self.assertEqual(c.metric("ringpost_peer_refused_total", reason="wrong_secret"), 1)
            c.wait_log(r"event=peer_refused reason=wrong_secret .*--peer-secret-file")
            self.assertEqual(a.metric("ringpost_peer_guests_total"), 0)
            # A node that has no --peer cannot be asked.
            near, _ = on_b.session()
            self.assertTrue(gone(Session(on_a, 4, near.sid).get()))
            self.assertEqual(a.metric("ringpost_peer_failed_total", reason="no_peer"), 1)
            a.wait_log(r"event=peer_unreachable node=b address=none .*--peer")

    def test_strangers(self):
        with Redis() as redis, Secret() as secret, \
                node_of(redis, "a", *FLAGS, *secret.flags) as a:
            host, port = a.wait_log(r"listener=peer address=([\d.]+):(\d+)").groups()
            refused = lambda reason: a.metric("ringpost_peer_refused_total", reason=reason)
            with socket.create_connection((host, port), DEADLINE_S) as stranger:
                stranger.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + b"x" * 64)
                with contextlib.suppress(ConnectionResetError):
                    self.assertEqual(stranger.recv(100), b"")
            self.assertEqual(refused("not_a_peer"), 1)
            hello = b"ringpost peer 1\n" + b"0" * 16 + b"n" * 32
            with socket.create_connection((host, port), DEADLINE_S) as stranger:
                stranger.sendall(hello)
                challenge = b""
                while len(challenge) < 96:
                    challenge += stranger.recv(96 - len(challenge))
                stranger.sendall(challenge[64:])  # its own proof is no proof of ours
                with contextlib.suppress(ConnectionResetError):
                    self.assertEqual(stranger.recv(100), b"")
            self.assertEqual(refused("wrong_secret"), 1)
            many = [socket.create_connection((host, port), DEADLINE_S) for _ in range(70)]
            wait_until("those that came first go", lambda: refused("too_many") == 6)
            for one in many:
                one.close()
            wait_until("the others have gone", lambda: refused("ended") == 64)

    def test_an_address_that_somebody_else_tells(self):
        """Who can publish may send us anywhere, and learns a nonce by it."""
        heard = []

        def listen(listener):
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(DEADLINE_S)
                heard.append(connection.recv(4096))
                connection.sendall(b"ringpost peer 1\n" + b"ab12" * 4 + b"n" * 64)
                with contextlib.suppress(ConnectionResetError):
                    heard.append(connection.recv(4096))

        with Redis() as redis, Secret() as secret, socket.socket() as listener, \
                node_of(redis, "a", *FLAGS, *secret.flags) as a, Web(a) as web:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            thread = threading.Thread(target=listen, args=(listener,))
            thread.start()
            address = "127.0.0.1:%d" % listener.getsockname()[1]
            word = '{"node":{"run":"%s","name":"%s","lives":true,"peer":"%s"}}'
            redis.publish("ringpost:all", word % ("ab12" * 4, "liar", address))
            redis.publish("ringpost:all", word % ("cd34" * 4, "fool", "localhost:http"))
            wait_until("both are known", lambda: a.metric("ringpost_redis_nodes") == 2)
            # 0xab12 and 0xcd34, the worker, the slot.
            self.assertTrue(gone(Session(web, 4, "qxIAAAABAAAAAAAAAAAA").get()))
            self.assertTrue(gone(Session(web, 4, "zTQAAAABAAAAAAAAAAAA").get()))
            thread.join(DEADLINE_S)
            self.assertEqual((len(heard[0]), heard[1]), (64, b""))
            self.assertEqual(heard[0][:16], b"ringpost peer 1\n")
            self.assertEqual(a.metric("ringpost_peer_refused_total", reason="wrong_secret"), 1)
            self.assertEqual(a.metric("ringpost_peer_failed_total", reason="unreachable"), 2)

    def test_settings(self):
        start = ["serve", "--api", "127.0.0.1:0", "--redis", "redis://127.0.0.1"]
        with Secret("too short") as short, Secret() as good:
            for flags, problem in (
                    (good.flags[:2], "name it by --peer-secret-file"),
                    (short.flags, "holds 9 bytes; write 16 or more"),
                    (("--peer", "0.0.0.0:7010", *good.flags[2:]), "stands for all addresses"),
                    (("--peer", "[::]:7010", *good.flags[2:]), "stands for all addresses"),
                    (("--peer", "nowhere", *good.flags[2:]), "--peer"),
                    (("--peer", "127.0.0.1:7010", "--peer-secret-file", "/nowhere"),
                     "cannot open /nowhere")):
                with self.subTest(flags=flags):
                    status, _, errors = run([*start, *flags])
                    self.assertNotEqual(status, 0)
                    self.assertIn(problem, errors)
            status, _, errors = run([*start[:-2], *good.flags])
            self.assertEqual(status, 1)
            self.assertIn("say --redis URL", errors)


@unittest.skipUnless(HAVE, "there is no redis-server")
@unittest.skipUnless(HAPROXY, "haproxy is not installed")
class Balanced(unittest.TestCase):
    """HAProxy gives each request to the next node."""

    setUp, haproxy = test_proxies.Behind.setUp, test_proxies.Behind.haproxy

    @contextlib.contextmanager
    def balanced(self, nodes):
        port = free_port()
        addresses = [node.address("web")[1] for node in nodes]
        config = replaced(snippet("HAProxy, several nodes"),
                          ("bind :8083", f"bind 127.0.0.1:{port}"),
                          ("192.0.2.11:8080", f"127.0.0.1:{addresses[0]}"),
                          ("192.0.2.12:8080", f"127.0.0.1:{addresses[1]}"))
        with self.haproxy(snippet("HAProxy, raw TCP").split("frontend")[0] + config, port):
            yield port

    def test_clients(self):
        with pair() as nodes, self.balanced(nodes) as port:
            self.check_polls(nodes, port)
            if published.WHY_NOT is None and not SANITIZED:  # which are slow on one that is slow
                self.check_published(nodes, port)
            self.assertEqual(sum(node.metric("ringpost_peer_failed_total") for node in nodes), 0)

    def check_polls(self, nodes, port):
        clients = [Polls(Through(port), eio, f"&id=poll-{eio}") for eio in (3, 4)]
        clients[1].say("0")
        for one in clients:
            self.assertEqual(one.poll()[0][0], "0")
        for number in range(6):
            for one in clients:
                status, answer, _ = nodes[number % 2].push(f"poll-{one.eio}", number)
                self.assertEqual((status, answer["state"]), (202, "queued"))
                self.assertEqual(one.poll(), [f'2["message",{number}]'])
                one.say('2["ignored"]')
        self.assertGreater(min(node.metric("ringpost_peer_polls_total") for node in nodes), 3)

    def check_published(self, nodes, port):
        for version in (2, 4):
            for transport, names in (("polling", ["polling"]),
                                     ("upgrade", ["polling", "websocket"])):
                self.check(nodes, port, version, f"{version}-{transport}", names)

    def check(self, nodes, port, version, me, names):
        """A client that asks for an upgrade may find the node that can give it, or goes on."""
        with published.Client(version) as client:
            client.open(f"http://127.0.0.1:{port}", transports=names)
            client.wait(got="connect")
            self.assertEqual(client.call("register", {"socketId": me}), [{"ok": True}])
            for node in nodes:
                answer = node.push(me, {"amount": 12}, "?ack=1&wait=ack&timeout=20")[1]
                self.assertEqual(answer["state"], "acked", answer)
                self.assertEqual(client.message()[0], [{"amount": 12}])
            data = bytes(range(256)) * 156
            nodes[0].api("POST", f"/v1/clients/{me}?raw=1", data)
            self.assertEqual(client.message()[0], [published.packed(data)])
            client.read()
            self.assertFalse([one for one in client.told if one["got"] == "disconnect"])
