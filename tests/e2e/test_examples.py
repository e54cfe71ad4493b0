"""examples/, run: each client against a node that drains, ends and comes back, each producer
against a node and against one that refuses, says nothing and hangs up.

What is missing is skipped by name."""

import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from support import DEADLINE_S, JsonClient, Node, free_port, wait_until
from test_page import SCRIPTS, Browser, browser_missing

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"


def node_version():
    if not shutil.which("node"):
        return 0
    said = subprocess.run(["node", "--version"], stdout=subprocess.PIPE, check=False).stdout
    return int(re.sub(rb"^v(\d+).*", rb"\1", said, flags=re.S) or 0)


def python_with(module):
    """A Python that has the module: the one of the tests, or Debian's."""
    for python in ("python3", "/usr/bin/python3"):
        if shutil.which(python) and subprocess.run([python, "-c", f"import {module}"], check=False,
                                                   stderr=subprocess.DEVNULL).returncode == 0:
            return python
    return None


NODE = node_version()
NODE_FLAGS = ["--experimental-websocket", "--no-warnings"] if NODE in (20, 21) else []
PYTHON_WEBSOCKETS = python_with("websockets")
LUA = shutil.which("lua5.4")


class Clients(unittest.TestCase):
    def check_client(self, *command):
        """It gets and acknowledges messages, before and after the node went, and after a crash."""
        tcp, web = free_port(), free_port()
        flags = ("--tcp", f"127.0.0.1:{tcp}", "--web", f"127.0.0.1:{web}")
        environment = {**os.environ, "RINGPOST_TCP": f"127.0.0.1:{tcp}",
                       "RINGPOST_WS": f"ws://127.0.0.1:{web}/ws"}
        node = Node(*flags)
        self.addCleanup(lambda: node.kill())  # whichever it is then
        client = subprocess.Popen([*command, "till-8", "shop-1"], cwd=EXAMPLES, env=environment,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT)
        self.addCleanup(client.stdout.close)
        self.addCleanup(client.wait)
        self.addCleanup(client.kill)

        def there():
            self.assertIsNone(client.poll(), "the client has ended")
            return node.api("GET", "/v1/clients/till-8")[0] == 200

        def push(number):
            wait_until("the client is there", there)
            result = node.push("till-8", {"number": number},
                               f"?event=payment&id=m{number}&ack=1&wait=ack&timeout=20")[1]
            self.assertEqual(result.get("state"), "acked", result)

        push(1)
        self.assertEqual(node.api("POST", "/v1/groups/shop-1?event=price", "[1]",
                                  {"Content-Type": "application/json"})[1]["recipients"], 1)
        node.stop()  # with a goodbye
        node = Node(*flags)
        push(2)
        node.push("till-8", {"number": 1}, "?event=payment&id=m1&ack=1&wait=ack&timeout=20")
        node.kill()
        node = Node(*flags)
        push(3)
        client.kill()
        node.stop()
        said = client.stdout.read().decode()
        self.assertEqual(re.sub(r"[ :]+", " ", said).splitlines(),
                         ['payment {"number" 1}', "price [1]", 'payment {"number" 2}',
                          'payment {"number" 3}'])  # m1 came twice and was done once

    @unittest.skipUnless(NODE >= 18, "Node.js of version 18 or later is not installed")
    def test_node_over_tcp(self):
        self.check_client("node", "node/client-tcp.mjs")

    @unittest.skipUnless(NODE >= 20, "Node.js with WebSocket, version 20 or later, is not there")
    def test_node_over_websocket(self):
        self.check_client("node", *NODE_FLAGS, "node/client-websocket.mjs")

    def test_python_over_tcp(self):
        self.check_client("python3", "python/client_tcp.py")

    @unittest.skipUnless(PYTHON_WEBSOCKETS, "python3-websockets is not installed")
    def test_python_over_websocket(self):
        self.check_client(PYTHON_WEBSOCKETS, "python/client_websocket.py")

    @unittest.skipUnless(LUA, "lua5.4 is not installed")
    def test_lua_over_tcp(self):
        self.check_client(LUA, "lua/till.lua")


def page_missing():
    return browser_missing() or (
        "" if SCRIPTS[4].exists() else "socket.io-client 4 is not in build/npm")


@unittest.skipIf(page_missing(), page_missing())
class Page(unittest.TestCase):
    """As examples/README.md says it: the page from another server, the script from the node."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ringpost-page-")
        self.addCleanup(folder.cleanup)
        self.web, self.pages = free_port(), free_port()
        text = (EXAMPLES / "browser/client-socketio.html").read_text(encoding="utf-8")
        self.assertEqual(text.count("http://127.0.0.1:8080"), 2)
        text = text.replace("http://127.0.0.1:8080", f"http://127.0.0.1:{self.web}")
        (pathlib.Path(folder.name) / "page.html").write_text(text, encoding="utf-8")
        server = subprocess.Popen(
            [sys.executable, "-m", "http.server", str(self.pages), "--bind", "127.0.0.1",
             "--directory", folder.name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)

    def node(self, *more):
        return Node("--web", f"127.0.0.1:{self.web}", "--steer", "none",
                    "--cors", f"http://127.0.0.1:{self.pages}",
                    "--socketio-client", str(SCRIPTS[4]), *more)

    def push(self, node, number):
        wait_until("the page is there", lambda: node.api("GET", "/v1/clients/till-8")[0] == 200)
        result = node.push("till-8", {"number": number},
                           f"?event=payment&id=m{number}&ack=1&wait=ack&timeout=20")[1]
        self.assertEqual(result.get("state"), "acked", result)

    def test_socketio(self):
        node = self.node()
        self.addCleanup(lambda: node.kill())  # whichever it is then
        browser = Browser()
        self.addCleanup(browser.close)
        url = f"http://127.0.0.1:{self.pages}/page.html?id=till-8&groups=shop-1,shop-2"
        wait_until("the pages are served", lambda: browser(
            f"return page.goto({json.dumps(url)}).then((answer) => answer.ok(), () => false)"))
        self.push(node, 1)
        self.assertEqual(browser("return trouble.filter((text) => !/favicon|404/.test(text))"), [])
        self.assertEqual(node.api("POST", "/v1/groups/shop-2?event=price", "[1]",
                                  {"Content-Type": "application/json"})[1]["recipients"], 1)
        browser("await page.getByText('price [1]').waitFor()")
        node.stop()
        node = self.node()
        self.push(node, 2)
        node.push("till-8", {"number": 1}, "?event=payment&id=m1&ack=1&wait=ack&timeout=20")
        node.kill()
        node = self.node()
        self.push(node, 3)
        self.assertEqual(browser("return page.locator('li').allInnerTexts()"),
                         ['payment {"number":1}', "price [1]", 'payment {"number":2}',
                          'payment {"number":3}'])  # m1 came twice and was done once
        browser.shot("example-socketio")
        node.api("DELETE", "/v1/clients/till-8")
        browser("await page.getByText('Closed by the node').waitFor()")
        node.stop()

    def test_a_page_that_is_not_allowed(self):
        """The script loads, as scripts do, but the page gets no further."""
        with Node("--web", f"127.0.0.1:{self.web}", "--socketio-client", str(SCRIPTS[4])) as node:
            browser = Browser()
            self.addCleanup(browser.close)
            url = f"http://127.0.0.1:{self.pages}/page.html?id=till-8"
            wait_until("the pages are served", lambda: browser(
                f"return page.goto({json.dumps(url)}).then((answer) => answer.ok(), () => false)"))
            browser("await page.getByText('no connection').waitFor()")
            self.assertEqual(node.api("GET", "/v1/clients/till-8")[0], 404)


class Moody(http.server.BaseHTTPRequestHandler):
    """Refuses the first push for a second, hangs up on the second, takes the third."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        found = re.search(r'"id": ?"([^"]+)"|[?&]id=([^&]+)', body + self.path)
        self.server.pushes.append((time.monotonic(), found.group(1) or found.group(2)))
        number = len(self.server.pushes)
        self.close_connection = True
        if number == 2:
            return
        status, answer = (503, {"error": {"code": "overloaded", "message": "later"}}) \
            if number == 1 else (200, {"id": "m1", "state": "acked", "recipients": 1})
        content = json.dumps(answer, separators=(",", ":")).encode() + b"\n"
        self.send_response(status)
        if number == 1:
            self.send_header("Retry-After", "1")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


class Producers(unittest.TestCase):
    def run_one(self, command, api, *arguments):
        done = subprocess.run([*command, *arguments], cwd=EXAMPLES, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                              env={**os.environ, "RINGPOST_API": api}, timeout=3 * DEADLINE_S)
        return done.returncode, done.stdout.decode() + done.stderr.decode()

    def check_producer(self, *command):
        client_id = "till 8/ü'&\"$HOME"
        with Node() as node:
            api = "http://%s:%d" % node.address("api")
            self.check(command, api, 1, "absent", client_id, "payment", '{"amount":12}')
            self.check(command, api, 2, "bad_message", client_id, "connect", '{"amount":12}')
            with JsonClient(node, client_id) as till:
                self.check(command, api, 0, "queued", client_id, "price & more", '"it\'s"')
                self.assertEqual(till.hear_message()["event"], "price & more")

                def acknowledge():
                    message = till.hear_message()
                    till.say(type="ack", id=message["id"])
                thread = threading.Thread(target=acknowledge)
                thread.start()
                self.check(command, api, 0, "acked", client_id, "payment", '{"amount":12}', "ack")
                thread.join(DEADLINE_S)
        server = http.server.HTTPServer(("127.0.0.1", 0), Moody)
        server.pushes = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.check(command, "http://127.0.0.1:%d" % server.server_address[1], 0, "acked",
                   client_id, "payment", '{"amount":12}', "ack")
        times, ids = zip(*server.pushes)
        self.assertEqual(len(ids), 3)
        self.assertEqual(len(set(ids)), 1, "a repeat has another id")
        self.assertGreaterEqual(times[1] - times[0], 0.99, "Retry-After was not kept")

    def check(self, command, api, status, word, *arguments):
        got, said = self.run_one(command, api, *arguments)
        self.assertEqual(got, status, said)
        self.assertIn(word, said)

    @unittest.skipUnless(NODE >= 18, "Node.js of version 18 or later is not installed")
    def test_node(self):
        self.check_producer("node", "node/producer.mjs")

    def test_python(self):
        self.check_producer("python3", "python/producer.py")

    def test_shell(self):
        self.check_producer("shell/push.sh")


if __name__ == "__main__":
    unittest.main()
