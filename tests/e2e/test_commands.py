"""The binary's commands before servers that mean harm: what they print, and that they end."""

import http.server
import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from support import BINARY, DEADLINE_S, EXTRA_FLAGS, SANITIZED, JsonClient, Node, run, wait_until

# DEL, C1, bidirectional controls, a line separator, characters that nobody sees; all of them may
# stand in a JSON string.
HARM = "\x7f\x9b31m\u202e\u2066\u061c\u2028\ufeff\u200b\U000e0041"


class Hostile:
    """A server that does as it pleases with each connection: `talk(socket, request)`."""

    def __init__(self, talk):
        self.talk = talk
        self.ending = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while not self.ending.is_set():
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            with peer:
                peer.settimeout(DEADLINE_S)
                try:
                    self.talk(peer, peer.recv(65536))
                except OSError:
                    pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(DEADLINE_S)


def answer(status, body):
    """One HTTP answer, whatever was asked."""
    body = body.encode() if isinstance(body, str) else body

    def talk(peer, _):
        peer.sendall(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body)
    return talk


def lines(*texts):
    """What a tcp listener says after the hello; then it waits for the end."""
    def talk(peer, _):
        for text in texts:
            peer.sendall(text.encode() + b"\n")
        while peer.recv(65536):
            pass
    return talk


def message(**fields):
    return json.dumps({"type": "message", **fields}, ensure_ascii=False)


WELCOME = json.dumps({"type": "welcome", "session": "s" + HARM, "node": "n" + HARM,
                      "heartbeat": 25}, ensure_ascii=False)


class Printing(unittest.TestCase):
    def harmless(self, *texts):
        for text in texts:
            for character in text:
                self.assertTrue(character == "\n" or character.isprintable(),
                                (hex(ord(character)), text))

    def ends(self, command, status):
        done = run(command)
        self.assertEqual(done[0], status, done)
        self.harmless(*done[1:])
        return done[1], done[2]

    def test_listen(self):
        payload = {HARM: HARM}
        sent = message(id=HARM, event=HARM, group=HARM, data=payload).replace(": ", ":\r")
        for form in ([], ["--json"]):
            with Hostile(lines(WELCOME, sent)) as server:
                out, _ = self.ends(["listen", "--tcp", server.address, "--count", "1", *form], 0)
                self.assertEqual(out.count("\n"), 1, out)
                if form:
                    self.assertEqual(json.loads(out)["data"], payload)

    def test_listen_refused(self):
        refusal = json.dumps({"type": "error", "code": HARM, "message": HARM}, ensure_ascii=False)
        with Hostile(lines(refusal)) as server:
            _, error = self.ends(["listen", "--tcp", server.address], 1)
            self.assertIn("\\u202e", error)
        goodbye = json.dumps({"type": "goodbye", "reason": HARM}, ensure_ascii=False)
        with Hostile(lines(WELCOME, goodbye, refusal)) as server:
            self.ends(["listen", "--tcp", server.address, "--timeout", "0.3"], 0)

    def test_push(self):
        result = json.dumps({"id": HARM, "state": "queued", "recipients": HARM, "cluster": HARM},
                            ensure_ascii=False).replace(": ", ":\r")
        refusal = json.dumps({"error": {"code": HARM, "message": HARM}}, ensure_ascii=False)
        for form in ([], ["--json"]):
            with Hostile(answer(202, result)) as server:
                out, _ = self.ends(["push", "--to", "a", "--api", server.address, *form, "1"], 0)
                self.assertEqual(out.count("\n"), 1)
                if form:
                    self.assertEqual(json.loads(out)["id"], HARM)
            with Hostile(answer(503, refusal)) as server:
                self.ends(["push", "--to", "a", "--api", server.address, *form, "1"], 1)
        with Hostile(lines(WELCOME, result.replace("{", '{"type":"ok","ref":1,', 1))) as server:
            self.ends(["push", "--to", "a", "--tcp", server.address, "--json", "1"], 0)

    def test_acknowledging(self):
        """Ids that are none are not acknowledged; what a fate holds is shown as it may be."""
        odd = [message(ack=True, **more) for more in (
            {}, {"id": 1}, {"id": ""}, {"id": HARM}, {"id": "x" * 65}, {"id": "x" * 100000},
            {"id": "a b"}, {"id": "m\n1"})]
        good = message(id='m"1', ack=True, redelivered=True)
        said = []

        def talk(peer, _):
            for text in [WELCOME, *odd, good]:
                peer.sendall(text.encode() + b"\n")
            while more := peer.recv(65536):
                said.append(more)
        with Hostile(talk) as server:
            out, _ = self.ends(["listen", "--id", "a", "--ack", "--tcp", server.address, "--count",
                                str(len(odd) + 1)], 0)
            self.assertEqual(out.count("\n"), len(odd) + 1)
            self.assertRegex(out, r'm"1 +ack  redelivered  null\n$')
        wait_until("it has acknowledged", lambda: said)
        self.assertEqual(b"".join(said).lstrip(), b'{"type":"ack","id":"m\\"1"}\n')
        fate = json.dumps({"id": HARM, "state": "acked", "to": {HARM: HARM, "b": {HARM: 1}},
                           "accepted": HARM, "settled": HARM, "latency_ms": HARM, "now": HARM},
                          ensure_ascii=False).replace(": ", ":\r")
        for form in ([], ["--json"]):
            with Hostile(answer(200, fate)) as server:
                out, _ = self.ends(["fate", "m1", "--api", server.address, *form], 0)
                self.assertIn("\\u202e", out)
                self.ends(["push", "--to", "a", "--ack", "--wait", "--api", server.address, *form],
                          0)
        for status, body in ((200, fate.replace('"acked"', json.dumps(HARM))), (404, fate),
                             (404, json.dumps({"error": {"code": HARM, "message": HARM}})),
                             (200, "[]"), (200, "{}"), (200, HARM)):
            with Hostile(answer(status, body)) as server:
                self.ends(["fate", "m1", "--api", server.address], 1)

    def test_top_and_audit(self):
        stats = {"version": HARM, "node": HARM, "run": HARM, "totals": {HARM: 1},
                 "workers": [{HARM: HARM, "ack_oldest_s": HARM}],
                 "listeners": [{"kind": HARM, "address": HARM}],
                 "ledger": {HARM: {"made": 1, "sent": 1, "waiting": 0, "dropped": {HARM: 1}}}}
        with Hostile(answer(200, json.dumps(stats, ensure_ascii=False))) as server:
            self.ends(["top", "--once", "--api", server.address], 0)
            self.ends(["audit", "--api", server.address], 1)
        with Hostile(answer(200, "\x1b[2J" + HARM)) as server:
            self.ends(["top", "--once", "--api", server.address], 1)
            self.ends(["audit", "--api", server.address], 1)

    def test_bench(self):
        """What a node says instead of a welcome, and instead of taking a message."""
        refusal = json.dumps({"type": "error", "code": HARM, "message": HARM}, ensure_ascii=False)
        welcome = json.dumps({"type": "welcome", "session": "s", "node": "n", "heartbeat": 25},
                             separators=(",", ":"))
        body = b"\xff" + HARM.encode()
        reply = b"HTTP/1.1 500 X\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

        def api(peer, request):
            while request:
                peer.sendall(reply * request.count(b"POST "))
                request = peer.recv(65536)

        def refuse(peer, _):
            peer.sendall(refusal.encode() + b"\n")

        command = ["bench", "ping", "--clients", "1", "--producers", "1", "--seconds", "0.2",
                   "--pid", str(os.getpid())]
        with Hostile(refuse) as tcp, Hostile(api) as web:
            _, error = self.ends([*command, "--tcp", tcp.address, "--api", web.address], 1)
            self.assertIn("\\u202e", error)
        for form in ([], ["--json"]):
            with Hostile(lines(welcome)) as tcp, Hostile(api) as web:
                out, _ = self.ends([*command, "--tcp", tcp.address, "--api", web.address, *form], 1)
                self.assertIn("\\xff", out)
                if form:
                    self.assertIn("\\u202e", "".join(json.loads(out)["notes"]))

    def test_what_the_command_line_and_files_hold(self):
        self.ends(["\x1b[2J" + HARM], 2)
        self.ends(["fate", HARM], 2)
        for command in ("listen", "push", "fate", "top", "audit", "serve"):
            self.ends([command, "--" + HARM], 2)
            self.ends([command, "--api-key", HARM, "--tcp", "\x1b" + HARM, "--api", HARM], 2)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
            file.write(f"node = {HARM}\n{HARM} = {HARM}\nlog-level = {HARM}\n")
            file.flush()
            for command in ("serve", "check-config"):
                done = run([command, "--config", file.name])
                self.assertIn(done[0], (1, 2), done)
                self.harmless(*done[1:])


def endless(first, more):
    """Says `more` again and again, as fast as it is taken, until the peer goes."""
    def talk(peer, _):
        peer.sendall(first)
        while True:
            peer.sendall(more)
    return talk


def drip(first, more):
    """The same, a little every few milliseconds: nobody who waits for silence hears it."""
    def talk(peer, _):
        peer.sendall(first)
        while True:
            peer.sendall(more)
            time.sleep(0.005)
    return talk


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
LONG = OK + b"Content-Length: 4000000\r\n\r\n"


class Ending(unittest.TestCase):
    """One deadline for all that a server says, and Ctrl-C at any time."""

    def within(self, seconds, command, status):
        began = time.monotonic()
        done = run(command)
        took = time.monotonic() - began
        self.assertEqual(done[0], status, done)
        self.assertLess(took, seconds + 3, done)
        return done

    def test_push_against_endless_answers(self):
        for talk in (endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
                     drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
                     drip(OK, b"a"), drip(LONG, b"a"), drip(CHUNKED, b"1\r\na\r\n"),
                     endless(CHUNKED + b"1;", b"x" * 1000), drip(b"HTTP/1.1 ", b"2")):
            with Hostile(talk) as server:
                done = self.within(0.5, ["push", "--to", "a", "--api", server.address, "--timeout",
                                         "0.5", "1"], 1)
                self.assertRegex(done[2], "in time|too long|no HTTP")
            with Hostile(talk) as server:
                done = self.within(0.5, ["fate", "m1", "--api", server.address, "--timeout", "0.5"],
                                   1)
                self.assertRegex(done[2], "in time|too long|no HTTP")

    def test_push_over_tcp_against_endless_lines(self):
        for talk in (endless(b"", b"{}\n" * 1000), endless(b"", b"\n" * 1000), drip(b"", b"{}\n"),
                     drip(b"", b"x"), drip(WELCOME.encode() + b"\n", b"{}\n")):
            with Hostile(talk) as server:
                self.within(0.5, ["push", "--to", "a", "--tcp", server.address, "--timeout", "0.5",
                                  "1"], 1)

    def test_listen_against_endless_lines(self):
        welcome = WELCOME.encode() + b"\n"
        goodbye = b'{"type":"goodbye"}\n'
        for talk in (endless(welcome, goodbye * 100), endless(welcome, b"\n" * 1000),
                     drip(welcome, b"{}\n"), drip(b"", b'{"type":"pong"}\n')):
            with Hostile(talk) as server:
                self.within(0.5, ["listen", "--tcp", server.address, "--timeout", "0.5"], 0)

    def test_listen_leaves_a_server_that_does_not_end(self):
        """It waits for the end of who may still read what it acknowledged, but not for long."""
        asks = (message(id="m1", ack=True) + "\n").encode()
        for talk in (endless(WELCOME.encode() + b"\n", asks * 100), drip(
                WELCOME.encode() + b"\n" + asks, b"{}\n")):
            with Hostile(talk) as server:
                self.within(2, ["listen", "--id", "a", "--ack", "--count", "1", "--tcp",
                                server.address], 0)

    def test_push_takes_no_unknown_state_for_success(self):
        for state in ("", "taken", "QUEUED", "queued ", HARM):
            result = json.dumps({"id": "a", "state": state, "recipients": 1})
            for form in ([], ["--json"], ["--ack", "--wait=1"]):
                with Hostile(answer(202, result)) as server:
                    done = run(["push", "--to", "a", "--api", server.address, *form, "1"])
                    self.assertEqual(done[0], 1, done)
                    self.assertIn("taken for no success", done[2])
            with Hostile(lines(WELCOME, result.replace("{", '{"type":"ok","ref":1,', 1))) as server:
                done = run(["push", "--to", "a", "--tcp", server.address, "1"])
                self.assertEqual(done[0], 1, done)

    def test_push_takes_no_contradiction_for_success(self):
        queued = json.dumps({"id": "a", "state": "queued", "recipients": 1})
        for status in (500, 404, 302):
            for form in ([], ["--json"]):
                with Hostile(answer(status, queued)) as server:
                    done = run(["push", "--to", "a", "--api", server.address, *form, "1"])
                    self.assertEqual(done[0], 1, done)
                    self.assertIn("queued", done[1])
                    self.assertIn(f"answered {status}", done[2])
        plain = '{"type":"welcome","session":"s","node":"n","heartbeat":25}'
        good = '{"type":"ok","ref":1,"id":"a","state":"queued"}'
        for said, status in (([plain, good], 0), ([good], 1),
                             ([plain, good.replace(":1", ":99")], 1),
                             ([plain, good.replace(":1", ':"1"')], 1),
                             ([plain, good.replace('"ref":1,', "")], 1)):
            with Hostile(lines(*said)) as server:
                done = run(["push", "--to", "a", "--tcp", server.address, "--timeout", "5", "1"])
                self.assertEqual(done[0], status, (said, done))

    def test_listen_against_who_asks_and_never_reads(self):
        with Hostile(endless(WELCOME.encode() + b"\n", b'{"type":"ping"}\n' * 4096)) as server:
            self.within(1, ["listen", "--tcp", server.address, "--timeout", "1"], 0)

    def test_listen_that_waits_for_an_address(self):
        with Hostile(drip(OK, b"a")) as server:
            self.within(0.5, ["listen", "--api", server.address, "--timeout", "0.5"], 1)

    def test_listen_against_hasty_goodbyes(self):
        """Whoever sends each connection away at once is not asked again at once."""
        calls = []

        def talk(peer, _):
            calls.append(peer)
            peer.sendall(WELCOME.encode() + b'\n{"type":"goodbye","reconnect_ms":1}\n')
        with Hostile(talk) as server:
            self.within(1, ["listen", "--tcp", server.address, "--timeout", "1"], 0)
        self.assertIn(len(calls), range(2, 6))

    def test_listen_comes_back_when_a_goodbye_says(self):
        self.assertIn("within 5 minutes", run(["listen", "--help"])[1])
        for asked, pause in (("40000", "40.0"), ("1e300", "300.0"), ("-5", "0.")):
            def talk(peer, _, asked=asked):
                peer.sendall(WELCOME.encode() + b'\n{"type":"goodbye","reconnect_ms":%s}\n' %
                             asked.encode())
            with Hostile(talk) as server:
                done = self.within(0.3, ["listen", "--tcp", server.address, "--timeout", "0.3"], 0)
                self.assertIn(f"again in {pause}", done[2])

    def test_listen_ends_when_nothing_can_be_written(self):
        with Hostile(lines(WELCOME, message())) as server, open("/dev/full", "wb") as full:
            done = subprocess.run([BINARY, "listen", "--tcp", server.address], stdout=full,
                                  stderr=subprocess.PIPE, timeout=DEADLINE_S, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"cannot write to standard output", done.stderr)

    @unittest.skipIf(SANITIZED or EXTRA_FLAGS, "it takes 10 s; once is enough")
    def test_a_listener_that_is_never_welcomed_gives_up(self):
        with Hostile(drip(b"", b'{"type":"pong"}\n')) as server:
            self.within(10, ["listen", "--tcp", server.address], 1)

    def test_long_lists_are_read_once(self):
        """What took time with the square of a list's length, deaf to Ctrl-C."""
        page = '{"default":{"made":0,"sent":0,"waiting":0,"dropped":{}}}'
        for name, element in (("listeners", "[]"), ("listeners", '{"kind":1}'), ("workers", "[]"),
                              ("workers", '{"ledger":%s}' % page)):
            many = ",".join([element] * (3900000 // (len(element) + 1)))
            body = '{"ledger":%s,"%s":[%s]}' % (page, name, many)
            with Hostile(answer(200, body)) as server:
                self.within(2, ["top", "--once", "--api", server.address], 0)
                self.within(2, ["audit", "--api", server.address], 1)
        deep = '{"workers":' + "[" * 1000000 + "]" * 1000000 + "}"
        with Hostile(answer(200, deep)) as server:
            self.within(2, ["top", "--once", "--api", server.address], 1)
        with Hostile(answer(200, " " * 14000000)) as server:
            self.assertIn("too long", self.within(2, ["top", "--api", server.address], 1)[2])

    def interrupt(self, command, until, **more):
        process = subprocess.Popen([BINARY, *command], stderr=subprocess.PIPE, **more)
        try:
            until(process)
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            status = process.wait(DEADLINE_S)
            self.assertLess(time.monotonic() - began, 4)
            return status
        finally:
            process.kill()
            process.communicate()

    @unittest.skipIf(SANITIZED, "a sanitizer may hold the signal back until the write is over")
    def test_interrupted_before_a_pipe_that_nobody_reads(self):
        """It is within a write, not within a wait."""
        sent = [message(data="x" * 60000)] * 100
        read_fd, write_fd = os.pipe()
        with Hostile(lines(WELCOME, *sent)) as server:
            def stuck(process):
                def blocked():
                    with open(f"/proc/{process.pid}/wchan", encoding="ascii") as file:
                        return "pipe" in file.read()
                wait_until("it waits for the pipe", blocked)
            status = self.interrupt(["listen", "--tcp", server.address], stuck, stdout=write_fd)
            self.assertEqual(status, 130)
        os.close(read_fd)
        os.close(write_fd)

    def test_interrupted_while_it_waits(self):
        asked = threading.Event()

        def silent(peer, _):
            asked.set()
            peer.recv(1)
        for command in (["top", "--api"], ["push", "--to", "a", "1", "--api"], ["listen", "--tcp"]):
            asked.clear()
            with Hostile(silent) as server:
                status = self.interrupt([*command, server.address],
                                        lambda _: self.assertTrue(asked.wait(DEADLINE_S)),
                                        stdout=subprocess.DEVNULL)
                self.assertIn(status, (0, 1))


class Addresses(unittest.TestCase):
    """Where a command connects: flags, environment, defaults."""

    def run_with(self, command, **environment):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("RINGPOST_")}
        return run(command, env={**clean, **environment})

    def test_health(self):
        with Node("--api", "0.0.0.0:0", "--api-key", "secret") as node:
            host, port = node.address("api")
            self.assertEqual(host, "0.0.0.0")
            for command, environment in (
                    (["health", "--api", f"127.0.0.1:{port}"], {}),
                    (["health"], {"RINGPOST_API": f"0.0.0.0:{port}"}),
                    (["health"], {"RINGPOST_API": f"0.0.0.0:{port},127.0.0.2:1"}),
                    (["health"], {"RINGPOST_API": f"[::]:{port}"})):
                status, out, error = self.run_with(command, **environment)
                self.assertEqual((status, out), (0, "ready\n"), error)
        status, _, error = self.run_with(["health", "--api", f"127.0.0.1:{port}"])
        self.assertEqual(status, 1, error)

    def test_health_of_what_is_no_node(self):
        class Other(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b'{"status":"up"}')

            def log_message(self, *_):
                pass

        with http.server.HTTPServer(("127.0.0.1", 0), Other) as other:
            threading.Thread(target=other.serve_forever, daemon=True).start()
            address = "127.0.0.1:%d" % other.server_address[1]
            status, out, error = self.run_with(["health", "--api", address])
            other.shutdown()
        self.assertEqual((status, out), (1, ""))
        self.assertIn("something else than a node", error)

    def test_a_misspelt_flag_is_named_without_its_value(self):
        status, _, error = self.run_with(["top", "--apikey=secret"])
        self.assertEqual(status, 2)
        self.assertIn("did you mean --api-key", error)
        self.assertNotIn("secret", error)
        status, _, error = self.run_with(["bench", "ping", "--apikey=secret"])
        self.assertEqual(status, 2)
        self.assertIn("--apikey", error)
        self.assertNotIn("secret", error)

    def test_all_addresses_mean_loopback(self):
        """A node without a key serves no other Host, so that is what it must be told."""
        with Node() as node:
            port = node.address("api")[1]
            for address in (f"0.0.0.0:{port}", f"[::]:{port}", f":{port}"):
                for command in (["health"], ["audit"], ["top", "--once"]):
                    status, _, error = self.run_with([*command, "--api", address])
                    self.assertEqual(status, 0, error)

    def test_health_of_a_node_that_drains(self):
        with Node("--drain-timeout", "30") as node:
            slow = JsonClient(node, "slow", receive_buffer=4096)
            # More than the kernel holds, and less than half of --outbox-bytes: it is not slow.
            for _ in range(8):
                node.push("slow", "x" * 60000)
            node.signal(signal.SIGTERM)
            node.wait_log("event=draining")
            host, port = node.address("api")
            status, _, error = self.run_with(["health", "--api", f"{host}:{port}"])
            self.assertEqual(status, 1)
            self.assertIn("not ready (503): the node is going", error)
            slow.close()

    def test_health_of_what_is_no_node(self):
        for talk in (answer(200, "{}x"), answer(404, "{}"), answer(200, "[]"), drip(b"", b"H")):
            with Hostile(talk) as server:
                status, _, error = self.run_with(["health", "--timeout", "0.3", "--api",
                                                  server.address])
                self.assertEqual(status, 1, error)
        degraded = '{"status":"ready","degraded":["redis"]}'
        with Hostile(answer(200, degraded)) as server:
            status, out, _ = self.run_with(["health", "--api", server.address])
            self.assertEqual((status, out), (0, 'ready, degraded: ["redis"]\n'))

    def test_bad_usage(self):
        for command, environment in ((["health", "word"], {}), (["health", "--timeout", "0"], {}),
                                     (["health"], {"RINGPOST_API": "off"}),
                                     (["top"], {"RINGPOST_API": "127.0.0.1:0"}),
                                     (["top", "--tcp", "127.0.0.1:1"], {}),
                                     (["listen"], {"RINGPOST_TCP": "nonsense"}),
                                     (["listen", "--tcp", "a:1", "--api", "a:1"], {}),
                                     (["push", "--broadcast", "--api", "a:1", "--tcp", "a:1"], {}),
                                     (["audit"], {"RINGPOST_API": "x" * 300 + ":1"}),
                                     (["fate"], {}), (["fate", "a", "b"], {}),
                                     (["fate", "a b"], {}), (["fate", "x" * 65], {}),
                                     (["fate", "a", "--timeout", "0"], {}),
                                     (["listen", "--ack"], {}),
                                     (["push", "--group", "g", "--ack"], {}),
                                     (["push", "--broadcast", "--ack"], {}),
                                     (["push", "--to", "a", "--ack", "--volatile"], {}),
                                     (["push", "--to", "a", "--wait"], {}),
                                     (["push", "--to", "a", "--ack", "--wait=61"], {}),
                                     (["push", "--to", "a", "--ack", "--wait=x"], {}),
                                     (["push", "--to", "a", "--ack", "--wait", "9", "1"], {}),
                                     (["push", "--to", "a", "--ack", "--wait", "--tcp", "a:1"],
                                      {})):
            status, _, error = self.run_with(command, **environment)
            self.assertEqual(status, 2, (command, error))
            self.assertIn(f"see ringpost {command[0]} --help", error)

    def test_the_environment_of_the_node_serves_its_commands(self):
        with Node("--tcp", "0.0.0.0:0", "--api-key", "secret", "--api", "0.0.0.0:0") as node:
            environment = {"RINGPOST_TCP": node.ports["tcp"][0] + ",127.0.0.1:1",
                           "RINGPOST_API": node.ports["api"][0], "RINGPOST_API_KEY": "secret,old"}
            api = "127.0.0.1:%d" % node.address("api")[1]
            clean = {k: v for k, v in os.environ.items() if not k.startswith("RINGPOST_")}
            for command in (["listen", "--id", "a", "--count", "1"],
                            ["listen", "--id", "a", "--count", "1", "--api", api]):
                listen = subprocess.Popen([BINARY, *command], stdout=subprocess.PIPE,
                                          stderr=subprocess.PIPE, env={**clean, **environment})
                key = {"Authorization": "Bearer secret"}
                wait_until("it listens", lambda: node.api("GET", "/v1/clients/a",
                                                          headers=key)[0] == 200)
                status, _, error = self.run_with(["push", "--to", "a", "7"], **environment)
                self.assertEqual(status, 0, error)
                out, error = listen.communicate(timeout=DEADLINE_S)
                self.assertEqual(listen.returncode, 0, error)
                self.assertIn(b"7", out)
                wait_until("it has gone", lambda: node.api("GET", "/v1/clients/a",
                                                           headers=key)[0] == 404)
            for command in (["top", "--once"], ["audit"], ["health"]):
                status, _, error = self.run_with(command, **environment)
                self.assertEqual(status, 0, error)


if __name__ == "__main__":
    unittest.main()
