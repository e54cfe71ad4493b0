"""The demo page in a real browser: Chromium, led by Playwright (tests/e2e/browser.mjs).

What is missing is skipped by name. Chromium is Debian's; playwright-core comes from the npm
registry into build/npm, as tests/e2e/npm/package-lock.json has it. With RINGPOST_SHOTS=FOLDER the
screenshots stay there, to be looked at.
"""

import base64
import hashlib
import http.client
import json
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import unittest

from support import DEADLINE_S, SANITIZED, Node, free_port, run, wait_until

HERE = pathlib.Path(__file__).resolve().parent
MODULES = HERE.parents[1] / "build/npm/node_modules"
SHOTS = os.environ.get("RINGPOST_SHOTS")
CHROMIUM = shutil.which("chromium")
PHONE, DESKTOP = (375, 812), (1280, 800)
SCRIPTS = {version: MODULES / f"socket.io-client-{version}/dist/socket.io.js"
           for version in (1, 2, 3, 4)}
SCRIPT_PATH = "/socket.io/socket.io.js"


def node_version():
    if not shutil.which("node"):
        return 0
    done = subprocess.run(["node", "--version"], stdout=subprocess.PIPE, check=False)
    return int(re.sub(rb"^v(\d+).*", rb"\1", done.stdout, flags=re.S) or 0)


def browser_missing():
    if SANITIZED:
        return "the browser takes long enough with the release binary"
    if not CHROMIUM:
        return "chromium is not installed"
    if node_version() < 20:
        return "Node.js of version 20 or later is not installed"
    if not (MODULES / "playwright-core").is_dir():
        return "playwright-core is not in build/npm (./dev test installs it from the npm registry)"
    return ""


class Browser:
    """A Chromium with one page. Called with JavaScript, gives what that returns."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="ringpost-chromium-",
                                                  ignore_cleanup_errors=True)
        self.process = subprocess.Popen(
            ["node", HERE / "browser.mjs", MODULES, CHROMIUM, self.folder.name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.answer()

    def answer(self):
        ready, _, _ = select.select([self.process.stdout], [], [], 3 * DEADLINE_S)
        assert ready, "the browser does not answer"
        line = self.process.stdout.readline()
        assert line, "the browser has ended"
        answer = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer["value"]

    def __call__(self, script):
        self.process.stdin.write(json.dumps(script).encode() + b"\n")
        self.process.stdin.flush()
        return self.answer()

    def shot(self, name):
        if SHOTS:
            path = json.dumps(os.path.join(SHOTS, name + ".png"))
            self(f"""await page.screenshot({{path: {path}, fullPage: true,
                                            animations: 'disabled'}})""")

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.folder.cleanup()


def page_of(node, path="/", method="GET", **headers):
    connection = http.client.HTTPConnection(*node.address("web"), timeout=DEADLINE_S)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def hash_of(body, tag):
    content = re.search(rb"<%b>(.*?)</%b>" % (tag, tag), body, re.S).group(1)
    return "'sha256-%s'" % base64.b64encode(hashlib.sha256(content).digest()).decode()


class Served(unittest.TestCase):
    def test_the_policy_lets_in_this_style_and_script_alone(self):
        with Node("--node", "secret-name") as node:
            answer, body = page_of(node)
        self.assertEqual(answer.status, 200)
        policy = dict(part.strip().split(" ", 1)
                      for part in answer.headers["Content-Security-Policy"].split(";"))
        self.assertEqual(policy["default-src"], "'none'")
        self.assertEqual(policy["script-src"], hash_of(body, b"script"))
        self.assertEqual(policy["style-src"], hash_of(body, b"style"))
        self.assertEqual(policy["connect-src"], "'self'")
        for name in ("base-uri", "form-action", "frame-ancestors", "trusted-types"):
            self.assertEqual(policy[name], "'none'")
        self.assertNotIn("unsafe", answer.headers["Content-Security-Policy"])
        self.assertEqual(answer.headers["X-Content-Type-Options"], "nosniff")
        # Nothing from elsewhere, nothing of this node, nothing that the policy would refuse.
        self.assertNotIn(b"secret-name", body)
        self.assertEqual(set(re.findall(rb"https?://[\w.:]+", body)),
                         {b"http://www.w3.org", b"http://127.0.0.1:8081"})
        self.assertIsNone(re.search(rb"\s(style|on\w+)=|innerHTML|src=|@import", body))

    def test_it_can_be_off(self):
        with Node("--demo", "off") as node:
            self.assertEqual(page_of(node)[0].status, 404)


class Script(unittest.TestCase):
    """--socketio-client."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ringpost-script-")
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "socket.io.js")

    def write(self, script):
        with open(self.path, "wb") as file:
            file.write(script)

    def test_it_is_served_as_it_is_and_read_again(self):
        script = b"/* \0 */ 'no line feed at the end';" * 2000
        self.write(script)
        with Node("--socketio-client", self.path) as node:
            answer, body = page_of(node, SCRIPT_PATH + "?v=4.8.3")
            self.assertEqual((answer.status, body), (200, script))
            self.assertEqual(answer.headers["Content-Type"],
                             "application/javascript; charset=utf-8")
            tag = answer.headers["ETag"]
            answer, body = page_of(node, SCRIPT_PATH, "HEAD")
            self.assertEqual((answer.status, answer.headers["Content-Length"], body),
                             (200, str(len(script)), b""))
            answer, body = page_of(node, SCRIPT_PATH, **{"If-None-Match": tag})
            self.assertEqual((answer.status, body), (304, b""))
            self.assertEqual(answer.headers["ETag"], tag)
            policy = page_of(node)[0].headers["Content-Security-Policy"]
            self.assertRegex(policy, "script-src 'sha256-[^ ]+' 'self';")

            self.write(b"'new';")
            node.signal(signal.SIGHUP)
            node.wait_log(f"event=setting_changed setting=socketio-client to={self.path}")
            wait_until("the new one is served", lambda: page_of(
                node, SCRIPT_PATH, **{"If-None-Match": tag})[1] == b"'new';")
            os.unlink(self.path)
            node.signal(signal.SIGHUP)
            node.wait_log("event=reload_refused problem=.*--socketio-client: cannot open")
            self.assertEqual(page_of(node, SCRIPT_PATH)[1], b"'new';")
            self.assertEqual(node.metric("ringpost_sandbox_refused_total"), 0)

    def test_the_same_script_has_the_same_tag_on_every_node(self):
        self.write(b"'x';")
        tags = set()
        for _ in range(2):
            with Node("--socketio-client", self.path, workers=1) as node:
                tags.add(page_of(node, SCRIPT_PATH)[0].headers["ETag"])
        self.assertEqual(len(tags), 1)

    def test_there_may_be_none(self):
        with Node() as node:
            answer, body = page_of(node, SCRIPT_PATH)
            error = json.loads(body)["error"]
            self.assertEqual((answer.status, error["code"]), (404, "not_found"))
            self.assertIn("--socketio-client", error["message"])
            self.assertNotIn("'self' ", page_of(node)[0].headers["Content-Security-Policy"])

    def test_who_does_not_read_it_holds_a_bounded_part_of_the_memory(self):
        """They are answered 503 then; producers and clients go on, and so does who reads."""
        self.write(b"x" * 1024 * 1024)
        with Node("--socketio-client", self.path, "--memory", "32M") as node:
            lazy = []
            for _ in range(40):
                lazy.append(http.client.HTTPConnection(*node.address("web"), timeout=DEADLINE_S))
                lazy[-1].connect()
                lazy[-1].request("GET", SCRIPT_PATH)
            wait_until("some are refused", lambda: page_of(node, SCRIPT_PATH)[0].status == 503)
            self.assertEqual(json.loads(page_of(node, SCRIPT_PATH)[1])["error"]["code"],
                             "overloaded")
            self.assertLess(node.metric("ringpost_memory_bytes"), 12 * 1024 * 1024)
            self.assertEqual(node.push("nobody", 1)[0], 404)
            for connection in lazy:
                connection.close()
            wait_until("it is served again", lambda: page_of(node, SCRIPT_PATH)[0].status == 200)

    def test_a_file_that_cannot_be_served_ends_the_start(self):
        os.mkfifo(self.path)
        status, _, said = run(["serve", "--socketio-client", self.path])
        self.assertEqual(status, 1)
        self.assertIn(f"--socketio-client: cannot open {self.path}: it is no file; name dist/",
                      said)


@unittest.skipIf(browser_missing(), browser_missing())
class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = Browser()  # a start takes longer than all that is done in it
        cls.addClassCleanup(cls.browser.close)

    def open(self, node, size=DESKTOP, scheme="light"):
        host, port = node.address("web")
        self.url = f"http://{host}:{port}/"
        self.browser(f"""
            await page.goto('about:blank');
            trouble.length = asked.length = 0;
            await page.setViewportSize({{width: {size[0]}, height: {size[1]}}});
            await page.emulateMedia({{colorScheme: '{scheme}'}});
            await page.goto('{self.url}')""")
        return self.browser

    def connect(self, client_id, transport="WebSocket"):
        self.browser(f"""
            await page.getByRole('radio', {{name: '{transport}'}}).check();
            await page.getByLabel('Client id').fill('{client_id}');
            await page.getByRole('button', {{name: 'Connect', exact: true}}).click();
            await page.locator('#status[data-state=on]').waitFor()""")

    def check_clean(self):
        """The browser had nothing to complain of, and asked nobody else."""
        self.assertEqual(self.browser("return trouble"), [])
        for url in self.browser("return asked"):
            self.assertRegex(url, "^(data:|" + re.escape(self.url) + ")")

    def check_width(self):
        wide = self.browser("""return page.evaluate(() =>
            document.documentElement.scrollWidth - document.documentElement.clientWidth)""")
        self.assertEqual(wide, 0, "the page is wider than the window")

    def check_pushed(self, browser, node, shot, transport="WebSocket"):
        """A payment is shown and acknowledged, and its producer is told."""
        self.connect("till-7", transport)
        status, result, _ = node.push("till-7", {"amount": 12, "currency": "EUR"},
                                      "?event=payment&ack=1&wait=ack&timeout=20")
        self.assertEqual((status, result["state"]), (200, "acked"), result)
        for text in ("payment", '"amount": 12', "Acknowledged"):
            self.waits(text, "li")
        self.assertIn(result["id"], browser("return page.locator('li').innerText()"))
        if transport == "WebSocket":
            browser("await page.getByText('answered in').waitFor()")
            node.api("POST", "/v1/groups/shop-1?event=price",
                     '{"sku":"4006381333931","cents":1299.0}',
                     {"Content-Type": "application/json"})
            browser("await page.getByText('1299.0').waitFor()")  # as it was written
        self.check_width()
        browser.shot(shot)
        self.check_clean()

    def test_a_phone(self):
        with Node() as node:
            browser = self.open(node, PHONE)
            browser.shot("phone-light-before")
            self.check_pushed(browser, node, "phone-light")
            browser("await page.setViewportSize({width: 320, height: 560})")
            self.check_width()
            browser.shot("phone-small")

    def test_a_phone_in_the_dark(self):
        with Node() as node:
            self.check_pushed(self.open(node, PHONE, "dark"), node, "phone-dark")

    def test_a_desktop(self):
        with Node() as node:
            browser = self.open(node)
            browser.shot("desktop-light-before")
            self.check_pushed(browser, node, "desktop-light")

    def test_a_desktop_in_the_dark(self):
        with Node() as node:
            self.check_pushed(self.open(node, scheme="dark"), node, "desktop-dark")

    def test_a_desktop_by_sse(self):
        with Node() as node:
            browser = self.open(node)
            browser("await page.getByRole('radio', {name: 'SSE'}).check()")
            browser.shot("desktop-sse-before")
            self.check_pushed(browser, node, "desktop-sse", "SSE")
            # An event whose name comes to be known later, by the form of the push.
            browser("""
                await page.getByText('Change the message').click();
                await page.getByRole('textbox', {name: 'Event', exact: true}).fill('open')""")
            self.assertEqual(node.push("till-7", "later", "?event=open")[0], 202)
            self.waits("later", "li")
            self.assertEqual(node.push("till-7", "forged", "?event=welcome")[0], 202)
            self.waits("forged", "li")
            self.assertEqual(browser("return page.locator('#status').innerText()"), "Connected")
            self.check_clean()

    def check_by_socketio(self, version, size, scheme, shot):
        with Node("--socketio-client", str(SCRIPTS[version])) as node:
            browser = self.open(node, size, scheme)
            browser("await page.getByRole('radio', {name: 'Socket.IO'}).check()")
            self.check_width()
            browser.shot(f"{shot}-before")
            self.check_pushed(browser, node, shot, "Socket.IO")
            self.waits("by websocket", "#facts")
            # Any event, a group, bytes.
            self.assertEqual(node.message(group="shop-1", event="an event of any name",
                                          data="\u00e4\u20ac")[1]["recipients"], 1)
            self.waits("\u00e4\u20ac", "li")
            self.waits("shop-1", "li")
            self.assertEqual(node.api("POST", "/v1/clients/till-7?raw=1&event=raw", b"\0\xff")[0],
                             202)
            self.waits("bytes, as base64", "li")
            self.waits('"AP8="', "li")
            self.check_width()
            browser.shot(f"{shot}-more")
            self.check_clean()

    @unittest.skipUnless(SCRIPTS[4].exists(), "socket.io-client 4 is not in build/npm")
    def test_a_phone_by_socketio_4(self):
        self.check_by_socketio(4, PHONE, "light", "phone-socketio")

    @unittest.skipUnless(SCRIPTS[4].exists(), "socket.io-client 4 is not in build/npm")
    def test_a_phone_in_the_dark_by_socketio_4(self):
        self.check_by_socketio(4, PHONE, "dark", "phone-dark-socketio")

    @unittest.skipUnless(SCRIPTS[3].exists(), "socket.io-client 3 is not in build/npm")
    def test_a_desktop_by_socketio_3(self):
        self.check_by_socketio(3, DESKTOP, "light", "desktop-socketio")

    @unittest.skipUnless(SCRIPTS[2].exists(), "socket.io-client 2 is not in build/npm")
    def test_a_desktop_by_socketio_2(self):
        self.check_by_socketio(2, DESKTOP, "dark", "desktop-dark-socketio")

    @unittest.skipUnless(SCRIPTS[1].exists(), "socket.io-client 1 is not in build/npm")
    def test_a_small_phone_by_socketio_1(self):
        self.check_by_socketio(1, (320, 560), "light", "phone-small-socketio")

    def waits(self, text, selector="body"):
        """Until the element has this text."""
        self.browser(f"""await page.locator({json.dumps(selector)})
                         .filter({{hasText: {json.dumps(text)}}}).first().waitFor()""")

    def test_acknowledging_by_hand(self):
        with Node() as node:
            browser = self.open(node)
            self.connect("till-7")
            browser("await page.getByLabel('Acknowledge by itself').uncheck()")
            told = []
            producer = threading.Thread(target=lambda: told.append(
                node.push("till-7", "by hand", "?ack=1&wait=ack&timeout=60")))
            producer.start()
            self.waits("Waits for you", "li")
            browser.shot("by-hand")
            self.assertEqual(told, [])
            browser("await page.getByRole('button', {name: 'Acknowledge', exact: true}).click()")
            self.waits("Acknowledged", "li")
            producer.join(DEADLINE_S)
            self.assertEqual(told[0][1]["state"], "acked")
            self.check_clean()

    def test_hostile_messages_stay_text(self):
        image = "<img src=x onerror='window.hurt = 1'><script>window.hurt = 1</script>"
        with Node() as node:
            browser = self.open(node)
            self.connect("till-7")
            for data in ({"html": image}, "invoice\u202egnp.exe", image * 850):
                status, answer, _ = node.message(to="till-7", event="<b>bold</b>\u202e", data=data)
                self.assertEqual(status, 202, answer)
            browser("await page.locator('li').nth(2).waitFor()")
            browser.shot("hostile")
            browser("await page.getByRole('button', {name: 'Show all of'}).click()")
            found = browser("""return page.evaluate(() => ({
                hurt: window.hurt ?? 0,
                elements: document.querySelectorAll('ol img, ol script, ol b').length,
                turned: document.body.innerText.includes('\\u202e'),
                text: document.querySelector('ol').innerText}))""")
            self.assertEqual((found["hurt"], found["elements"], found["turned"]), (0, 0, False))
            self.assertIn("<b>bold</b>\\u202e", found["text"])
            self.assertIn("invoice\\u202egnp.exe", found["text"])
            self.assertGreater(found["text"].count("onerror"), 850)
            self.assertEqual(browser("return page.locator('#status').innerText()"), "Connected")
            self.check_clean()

    def test_many_messages_leave_the_page_usable(self):
        with Node() as node:
            browser = self.open(node)
            self.connect("till-7")
            for begin in range(0, 3000, 1000):
                batch = [{"to": "till-7", "data": begin + i, "ack": True} for i in range(1000)]
                self.assertEqual(node.api("POST", "/v1/messages", json.dumps(batch),
                                          {"Content-Type": "application/json"})[0], 200)
            self.waits("the last 200 of 3000", "#count")
            wait_until("all are acknowledged",
                       lambda: node.metric("ringpost_ack_pending") == 0)
            self.assertEqual(browser("return page.locator('li').count()"), 200)
            browser("await page.getByRole('button', {name: 'Clear'}).click()")
            self.assertEqual(browser("return page.locator('li').count()"), 0)
            self.check_clean()

    def check_comes_back(self, transport, *flags):
        """After a goodbye when the node said, after a crash in its own time."""
        port = free_port()
        web = ("--web", f"127.0.0.1:{port}", *flags)
        with Node(*web) as node:
            browser = self.open(node)
            self.connect("till-7", transport)
            if flags:  # one that is cut off within its upgrade notices it late
                wait_until("it is upgraded", lambda: node.metric("ringpost_engine_upgrades_total"))
        self.waits("Reconnecting", "#status")
        browser.shot(f"reconnecting-{transport}")
        node = Node(*web)
        self.addCleanup(node.kill)
        self.waits("Connected", "#status")
        self.waits("Reconnects", "#facts")
        self.assertEqual(node.push("till-7", 1, "?event=payment&ack=1&wait=ack&timeout=20")[1]
                         ["state"], "acked")
        node.kill()
        browser("await page.locator('#status:not([data-state=on])').waitFor()")
        with Node(*web) as node:
            self.waits("Connected", "#status")
            self.assertEqual(node.push("till-7", 2, "?event=payment&ack=1&wait=ack&timeout=20")[1]
                             ["state"], "acked")
            browser("await page.locator('li').nth(1).waitFor()")

    def test_it_comes_back_by_websocket(self):
        self.check_comes_back("WebSocket")

    def test_it_comes_back_by_sse(self):
        self.check_comes_back("SSE")

    @unittest.skipUnless(SCRIPTS[4].exists(), "socket.io-client 4 is not in build/npm")
    def test_it_comes_back_by_socketio_4(self):
        self.check_comes_back("Socket.IO", "--socketio-client", str(SCRIPTS[4]))

    @unittest.skipUnless(SCRIPTS[1].exists(), "socket.io-client 1 is not in build/npm")
    def test_it_comes_back_by_socketio_1(self):
        self.check_comes_back("Socket.IO", "--socketio-client", str(SCRIPTS[1]))

    def test_a_session_that_an_operator_closed_stays_closed(self):
        self.check_stays_closed("WebSocket")

    @unittest.skipUnless(SCRIPTS[4].exists(), "socket.io-client 4 is not in build/npm")
    def test_a_session_by_socketio_that_an_operator_closed_stays_closed(self):
        self.check_stays_closed("Socket.IO", "--socketio-client", str(SCRIPTS[4]))

    def check_stays_closed(self, transport, *flags):
        with Node(*flags) as node:
            browser = self.open(node)
            self.connect("till-7", transport)
            self.assertEqual(node.api("DELETE", "/v1/clients/till-7")[1], {"closed": 1})
            self.waits("Ended", "#status")
            self.waits("The node closed the session", "#problem")
            browser.shot("ended")
            self.assertEqual(node.metric("ringpost_sessions"), 0)

    def test_keys_alone_do(self):
        with Node() as node:
            browser = self.open(node)
            focus = "return page.evaluate(() => document.activeElement.textContent.trim())"
            browser("""await page.getByLabel('Client id').focus();
                       await page.keyboard.press('Enter');
                       await page.locator('#status[data-state=on]').waitFor()""")
            self.assertEqual(browser(focus), "Disconnect")
            browser("await page.keyboard.press('Tab')")
            self.assertIn("curl", browser(focus))
            browser("await page.keyboard.press('Tab')")
            self.assertEqual(browser(focus), "Copy")
            browser("""await page.keyboard.press('Shift+Tab');
                       await page.keyboard.press('Shift+Tab');
                       await page.keyboard.press('Enter');
                       await page.locator('#status[data-state=off]').waitFor()""")
            self.assertEqual(browser(focus), "Connect")
            self.check_clean()

    def test_the_copied_command_does_what_it_says(self):
        client_id = """it's "50 %" of $HOME/ü?#&;"""
        with Node() as node:
            browser = self.open(node)
            browser(f"""
                await context.grantPermissions(['clipboard-read', 'clipboard-write']);
                await page.getByLabel('Client id').fill({json.dumps(client_id)});
                await page.getByLabel('Client id').press('Enter');
                await page.locator('#status[data-state=on]').waitFor();
                await page.getByText('Change the message').click();
                await page.getByRole('textbox', {{name: 'Event', exact: true}}).fill('a&b');
                await page.getByLabel('Data').fill("it's\\n@new");
                await page.getByLabel('Address of the API').fill(
                    'http://127.0.0.1:{node.address("api")[1]}/')""")
            browser.shot("command")
            browser("await page.getByRole('button', {name: 'Copy'}).click()")
            self.waits("Copied", "#copied")
            command = browser("return page.evaluate(() => navigator.clipboard.readText())")
            done = subprocess.run(["sh", "-c", command.replace("curl", "curl -sS", 1)],
                                  stdout=subprocess.PIPE, check=True, timeout=DEADLINE_S)
            self.assertEqual(json.loads(done.stdout)["state"], "acked", done.stdout)
            self.waits('"it\'s\\n@new"', "li")
            self.waits("a&b", "li")
            self.check_clean()

    def test_a_name_that_cannot_be_is_told_at_once(self):
        with Node() as node:
            browser = self.open(node)
            browser("""await page.getByLabel('Client id').fill('ü'.repeat(65));
                       await page.getByRole('button', {name: 'Connect', exact: true}).click()""")
            self.waits("The client id has 130 bytes; 128 is the most.", "#problem")
            self.assertEqual(node.metric("ringpost_sessions"), 0)
            self.check_clean()


if __name__ == "__main__":
    unittest.main()
