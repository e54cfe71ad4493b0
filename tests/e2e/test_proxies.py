"""docs/proxies.md, run: its snippets in front of a node, with the real HAProxy and the real nginx.

What is not installed is skipped by name; Debian's packages are haproxy, nginx-light and
libnginx-mod-stream."""

import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import test_sio_clients as published
from support import DEADLINE_S, JsonClient, Node, Socket, free_port, wait_until
from test_sio import Polls
from ws_client import PING, PONG, TEXT, WebSocket, frame

PAGE = (pathlib.Path(__file__).resolve().parents[2] / "docs/proxies.md").read_text(encoding="utf-8")
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
HAPROXY = shutil.which("haproxy", path=PATH)
NGINX = shutil.which("nginx", path=PATH)
STREAM = pathlib.Path("/usr/lib/nginx/modules/ngx_stream_module.so")


def snippet(heading, index=0):
    """The code of the page below a heading, with ports in place of those that it names."""
    part = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"```\w*\n(.*?)```", part, re.S)[index]


def replaced(text, *pairs):
    for old, new in pairs:
        assert old in text, f"docs/proxies.md says {old!r} no more"
        text = text.replace(old, new)
    return text


def accepted(node, kind):
    return node.metric(f"ringpost_accepted_{kind}_total")


class Proxy:
    """A proxy that runs in the foreground until the end of a `with`; listens when it is entered."""

    def __init__(self, command, port):
        self.command, self.port = command, port

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

        def listens():
            if self.process.poll() is not None:
                raise AssertionError(self.process.stdout.read().decode())
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0
        wait_until("the proxy listens", listens)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(DEADLINE_S)
        self.process.stdout.close()


class Through:
    """The address of a proxy, for clients that ask a node for its own."""

    def __init__(self, port):
        self.port = port

    def address(self, _):
        return "127.0.0.1", self.port


class Behind(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ringpost-proxies-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def haproxy(self, config, port):
        path = os.path.join(self.folder, "haproxy.cfg")
        with open(path, "w", encoding="utf-8") as file:
            file.write(config)
        return Proxy([HAPROXY, "-db", "-f", path], port)

    def nginx(self, block, config, port):
        module = f"load_module {STREAM};\n" if block == "stream" and STREAM.exists() else ""
        temporary = "".join(f"{name}_temp_path {self.folder}/{name};\n" for name in (
            "client_body", "proxy", "fastcgi", "uwsgi", "scgi")) if block == "http" else ""
        access = "access_log off;\n" if block == "http" else ""
        path = os.path.join(self.folder, "nginx.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"{module}daemon off;\nmaster_process off;\npid {self.folder}/pid;\n"
                       f"error_log stderr;\nevents {{}}\n"
                       f"{block} {{\n{access}{temporary}{config}\n}}\n")
        return Proxy([NGINX, "-e", "stderr", "-p", self.folder, "-c", path], port)

    def check_till(self, node, port):
        """A till through the proxy is known by its own address."""
        with Socket(("127.0.0.1", port), source="127.0.0.33") as till:
            till.send('{"type":"hello","id":"till-7"}\n')
            self.assertIn(b'"welcome"', till.line())
            self.assertEqual(node.push("till-7", 1)[0], 202)
            self.assertIn(b'"data":1', till.line())
            session = node.api("GET", "/v1/clients/till-7")[1]["sessions"][0]
            self.assertRegex(session["address"], r"^127\.0\.0\.33:")

    def check_producer(self, node, port):
        """Keeps its connection, escapes in the path arrive as written, a body over 1 MB passes."""
        producer = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
        with JsonClient(node, "shop/7") as till:
            for number in range(20):
                producer.request("POST", "/v1/clients/shop%2F7", str(number),
                                 {"Content-Type": "application/json"})
                answer = producer.getresponse()
                self.assertEqual(answer.status, 202, answer.read())
                answer.read()
                self.assertEqual(till.hear_message()["data"], number)
            body = b" " * 2000000 + b'{"to":"shop/7","data":"long"}'
            producer.request("POST", "/v1/messages", body, {"Content-Type": "application/json"})
            answer = producer.getresponse()
            self.assertEqual(answer.status, 202, answer.read())
            answer.read()
            self.assertEqual(till.hear_message()["data"], "long")
        producer.close()

    def check_address(self, node, client_id, transport):
        session = node.api("GET", f"/v1/clients/{client_id}")[1]["sessions"][0]
        self.assertEqual(session["transport"], transport)
        self.assertRegex(session["address"], r"^127\.0\.0\.33\b")

    def check_browser(self, node, port):
        """Both transports are let through at once, known by the client's own address, and stay
        for longer than the proxy's timeouts: of a heartbeat of 1 s, and 3 s of the proxy."""
        host = f"127.0.0.1:{port}"
        with WebSocket(Through(port), "/ws?id=socket", source="127.0.0.33", Host=host,
                       Origin=f"http://{host}") as socket_, \
                Socket(("127.0.0.1", port), source="127.0.0.33") as stream:
            self.assertEqual(socket_.welcome["type"], "welcome")
            stream.send(f"GET /events?id=stream HTTP/1.1\r\nHost: {host}\r\n"
                        f"Origin: http://{host}\r\nAccept: text/event-stream\r\n\r\n")
            session = json.loads(self.line_with(stream, b"data: ").split(b": ", 1)[1])["session"]
            self.check_address(node, "socket", "websocket")
            self.check_address(node, "stream", "sse")
            for number in range(3):
                self.assertEqual(node.push("socket", number)[0], 202)
                self.assertEqual(socket_.hear()["data"], number)
                self.assertEqual(node.push("stream", number, f"?ack=1&id=m{number}")[0], 202)
                self.assertEqual(self.line_with(stream, b"data: "), b"data: %d" % number)
            quiet_until, pings = time.monotonic() + 7, 0
            while time.monotonic() < quiet_until:
                opcode, data = socket_.frame()
                self.assertEqual(opcode, PING)
                socket_.send(frame(PONG, data))
                pings += 1
                self.line_with(stream, b":")
            self.assertGreater(pings, 4)
            self.assertEqual(node.push("socket", "still there")[0], 202)
            self.assertEqual(socket_.hear()["data"], "still there")
            self.assertEqual(node.push("stream", "still there")[0], 202)
            self.assertEqual(self.line_with(stream, b"data: "), b'data: "still there"')
            producer = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
            producer.request("POST", "/events/ack",
                             json.dumps({"session": session, "ids": ["m0", "m1", "m2"]}),
                             {"Content-Type": "application/json", "Origin": f"http://{host}"})
            self.assertEqual(producer.getresponse().status, 204)
            producer.close()
            wait_until("all are acknowledged", lambda: node.metric("ringpost_ack_pending") == 0)

    def check_polls(self, node, port):
        """Eight clients that poll, each request by a connection of its own, wherever the proxy and
        the kernel bring it. Gives one of them, `poll-1`."""
        origin = {"Host": f"127.0.0.1:{port}", "Origin": f"http://127.0.0.1:{port}"}
        clients = []
        for number in range(8):
            one = Polls(Through(port), 4 if number % 2 else 3, f"&id=poll-{number}", "127.0.0.33",
                        origin)
            if one.eio == 4:
                one.say("0")
            self.assertEqual(one.poll()[0][0], "0")
            self.check_address(node, f"poll-{number}", "socketio-polling")
            clients.append(one)

        def polled():
            """What each hears; all of them wait for it at the same time."""
            heard = [None] * len(clients)

            def wait(number):
                heard[number] = clients[number].poll()
            waiting = [threading.Thread(target=wait, args=(n,)) for n in range(len(clients))]
            for thread in waiting:
                thread.start()
            for number in range(len(clients)):
                self.assertEqual(node.push(f"poll-{number}", number)[0], 202)
            for thread in waiting:
                thread.join(2 * DEADLINE_S)
            return heard

        wanted = [[f'2["message",{number}]'] for number in range(8)]
        for _ in range(5):
            self.assertEqual(polled(), wanted)
            for one in clients:
                one.say('2["ignored"]')
        self.assertGreater(node.metric("ringpost_relays_total"), 0, "no poll met a foreign worker")
        return clients[1]

    def check_socketio(self, node, port):
        """Polls, WebSockets and upgrades, without stickiness, for each published client."""
        client = self.check_polls(node, port)
        heard = []  # by that one, which waits for longer than the proxy's timeouts
        patient = threading.Thread(target=lambda: heard.append(client.poll()))
        patient.start()
        quiet_until = time.monotonic() + 5
        origin = {"Host": f"127.0.0.1:{port}", "Origin": f"http://127.0.0.1:{port}"}
        one = Polls(Through(port), 4, "&id=upgrades", "127.0.0.33", origin)
        one.say("0")
        one.poll()
        with WebSocket(Through(port), "/socket.io/?" + one.query.replace("polling", "websocket"),
                       "127.0.0.33", welcomed=False, **origin) as upgraded:
            upgraded.send(frame(TEXT, "2probe"))
            self.assertEqual(upgraded.frame(), (TEXT, b"3probe"))
            upgraded.send(frame(TEXT, "5"))
            wait_until("the upgrade is finished", lambda: node.api(
                "GET", "/v1/clients/upgrades")[1]["sessions"][0]["transport"]
                == "socketio-websocket")
            self.check_address(node, "upgrades", "socketio-websocket")
            self.assertEqual(node.push("upgrades", 1)[0], 202)
            while (got := upgraded.frame()) == (TEXT, b"2"):
                upgraded.send(frame(TEXT, "3"))
            self.assertEqual(got, (TEXT, b'42["message",1]'))
        if published.WHY_NOT is None:
            for version in published.PACKAGES:
                for transport, names in published.TRANSPORTS.items():
                    self.check_published(node, port, version, transport, names)
        # Longer than the proxy waits for an answer: that poll must still be there.
        time.sleep(max(0, quiet_until - time.monotonic()))
        self.assertEqual(node.push("poll-1", "still there")[0], 202)
        patient.join(2 * DEADLINE_S)
        self.assertEqual(heard, [['2["message","still there"]']])

    def check_published(self, node, port, version, transport, names):
        me = f"published-{version}-{transport}"
        with published.Client(version) as client:
            client.open(f"http://127.0.0.1:{port}", transports=names)
            client.wait(got="connect")
            self.assertEqual(client.call("register", {"socketId": me}), [{"ok": True}])
            wanted = "polling" if transport == "polling" else "websocket"
            wait_until(f"{me} has its transport", lambda: node.api(
                "GET", f"/v1/clients/{me}")[1]["sessions"][0]["transport"] == f"socketio-{wanted}")
            answer = node.push(me, {"amount": 12}, "?ack=1&wait=ack&timeout=20")[1]
            self.assertEqual(answer["state"], "acked", answer)
            self.assertEqual(client.message()[0], [{"amount": 12}])
            data = bytes(range(256)) * 156
            node.api("POST", f"/v1/clients/{me}?raw=1", data)
            self.assertEqual(client.message()[0], [published.packed(data)])
            client.read()
            self.assertFalse([one for one in client.told if one["got"] == "disconnect"])

    def line_with(self, stream, begin):
        """The next line that begins so."""
        while True:
            line = stream.line()
            self.assertIsNotNone(line, "the stream ended")
            if line.startswith(begin):
                return line.rstrip(b"\r")

    def haproxy_web(self, node, port, *pairs):
        return self.haproxy(replaced(
            snippet("HAProxy, raw TCP").split("frontend")[0]
            + snippet("HAProxy, WebSocket, SSE and Socket.IO"),
            ("bind :8083", f"bind 127.0.0.1:{port}"), ("60s", "3s"),
            ("127.0.0.1:8080", f"127.0.0.1:{node.address('web')[1]} source 127.0.0.7"), *pairs),
            port)

    def check_haproxy(self, check):
        port = free_port()
        with Node("--proxy-protocol", "127.0.0.7", "--heartbeat", "1") as node:
            with self.haproxy_web(node, port, ("send-proxy-v2 check ",
                                               "send-proxy-v2 check inter 50ms ")):
                before = accepted(node, "web")
                wait_until("some checks", lambda: accepted(node, "web") > before + 3)
                check(node, port)
            self.assertNotIn("bad_proxy_header", node.log())

    @unittest.skipUnless(HAPROXY, "haproxy is not installed")
    def test_haproxy_browsers(self):
        self.check_haproxy(self.check_browser)

    @unittest.skipUnless(HAPROXY, "haproxy is not installed")
    def test_haproxy_socketio(self):
        self.check_haproxy(self.check_socketio)

    def check_haproxy_by_a_header(self, check):
        port = free_port()
        with Node("--forwarded", "127.0.0.7", "--steer", "tuple", "--heartbeat", "1") as node:
            with self.haproxy_web(
                    node, port, ("    option httpchk", "    option forwardfor\n    option httpchk"),
                    ("send-proxy-v2 check check-send-proxy", "check")):
                check(node, port)

    @unittest.skipUnless(HAPROXY, "haproxy is not installed")
    def test_haproxy_browsers_by_a_header(self):
        self.check_haproxy_by_a_header(self.check_browser)

    @unittest.skipUnless(HAPROXY, "haproxy is not installed")
    def test_haproxy_socketio_by_a_header(self):
        self.check_haproxy_by_a_header(self.check_socketio)

    def check_nginx(self, check):
        port = free_port()
        with Node("--forwarded", "127.0.0.1", "--steer", "tuple", "--heartbeat", "1") as node:
            config = replaced(
                snippet("nginx, WebSocket, SSE and Socket.IO"),
                ("listen 8083", f"listen 127.0.0.1:{port}"),
                ("127.0.0.1:8080", f"127.0.0.1:{node.address('web')[1]}"), ("60s", "3s"))
            with self.nginx("http", config, port):
                check(node, port)

    @unittest.skipUnless(NGINX, "nginx is not installed")
    def test_nginx_browsers(self):
        self.check_nginx(self.check_browser)

    @unittest.skipUnless(NGINX, "nginx is not installed")
    def test_nginx_socketio(self):
        self.check_nginx(self.check_socketio)

    @unittest.skipUnless(HAPROXY, "haproxy is not installed")
    def test_haproxy_raw_tcp_with_its_checks(self):
        port = free_port()
        with Node("--proxy-protocol", "127.0.0.7") as node:
            tcp = node.address("tcp")[1]
            config = replaced(snippet("HAProxy, raw TCP"), ("bind :7000", f"bind 127.0.0.1:{port}"),
                              ("127.0.0.1:7001", f"127.0.0.1:{tcp} source 127.0.0.7"),
                              ("send-proxy-v2 check ", "send-proxy-v2 check inter 50ms "))
            with self.haproxy(config, port):
                self.check_till(node, port)
                before = accepted(node, "tcp")
                wait_until("some checks", lambda: accepted(node, "tcp") > before + 10)
                self.check_till(node, port)
            self.assertNotIn("bad_proxy_header", node.log())

    @unittest.skipUnless(HAPROXY, "haproxy is not installed")
    def test_haproxy_http(self):
        port = free_port()
        with Node() as node:
            config = replaced(
                snippet("HAProxy, raw TCP").split("frontend")[0] + snippet("HAProxy, HTTP"),
                ("bind :8082", f"bind 127.0.0.1:{port}"),
                ("127.0.0.1:8081", f"127.0.0.1:{node.address('api')[1]}"))
            with self.haproxy(config, port):
                self.check_producer(node, port)

    @unittest.skipUnless(NGINX, "nginx is not installed")
    def test_nginx_http(self):
        port = free_port()
        with Node() as node:
            config = replaced(snippet("nginx, HTTP"), ("listen 8082", f"listen 127.0.0.1:{port}"),
                              ("127.0.0.1:8081", f"127.0.0.1:{node.address('api')[1]}"))
            with self.nginx("http", config, port):
                before = accepted(node, "api")
                self.check_producer(node, port)
                # A few for nginx, and one for the second look, instead of one for each of 21.
                self.assertIn(accepted(node, "api") - before, range(2, 8))

    @unittest.skipUnless(NGINX and STREAM.exists(), "nginx's stream module is not installed")
    def test_nginx_raw_tcp(self):
        port = free_port()
        with Node("--proxy-protocol", "127.0.0.7") as node:
            config = replaced(snippet("nginx, raw TCP"),
                              ("listen 7000", f"listen 127.0.0.1:{port}"),
                              ("127.0.0.1:7001", f"127.0.0.1:{node.address('tcp')[1]}"),
                              ("proxy_protocol on;", "proxy_protocol on; proxy_bind 127.0.0.7;"))
            with self.nginx("stream", config, port):
                self.check_till(node, port)

    def test_a_missing_header_names_its_listener(self):
        with Node("--proxy-protocol", "127.0.0.7") as node:
            for kind in ("tcp", "web"):
                with Socket(node.address(kind), source="127.0.0.7") as bare:
                    bare.send("GET / HTTP/1.1\r\n\r\n")
                    self.assertEqual(bare.rest(), b"")
                node.wait_log(rf"event=bad_proxy_header listener={kind} address=127.0.0.7:")


if __name__ == "__main__":
    unittest.main()
