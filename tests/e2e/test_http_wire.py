"""What every answer over HTTP has, and what plain tools make of it."""

import email.utils
import json
import re
import shutil
import subprocess
import time
import unittest
import urllib.request

from support import DEADLINE_S, JsonClient, Node, Socket, basic, wait_until

KEY = {"RINGPOST_API_KEY": "right"}


def run(*command):
    return subprocess.run(command, capture_output=True, check=False, text=True,
                          timeout=DEADLINE_S).stdout


class Answers(unittest.TestCase):
    def ask(self, node, kind, data):
        with Socket(node.address(kind)) as connection:
            connection.send(data)
            return connection.rest()

    def test_date_and_line_feed(self):
        post = (b"POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: %s\r\n"
                b"Content-Length: %d\r\n\r\n%s")
        get = b"%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        json_type, lines = b"application/json", b"application/x-ndjson"
        with Node("--demo", "on") as node, JsonClient(node, "a"):
            asked = [("api", get % (b"GET", path)) for path in
                     (b"/healthz", b"/readyz", b"/metrics", b"/v1/stats", b"/v1/clients/a",
                      b"/v1/clients/nobody", b"/v1/groups/g", b"/v1/messages/m", b"/nope")]
            asked += [("api", get % (b"DELETE", b"/v1/clients/nobody")),
                      ("api", get % (b"PUT", b"/v1/groups/g/clients/a")),
                      ("api", get % (b"HEAD", b"/v1/stats")), ("api", b"nonsense\r\n\r\n"),
                      ("api", get % (b"PATCH", b"/healthz"))]
            asked += [("web", get % (b"GET", path)) for path in (b"/", b"/healthz", b"/nope")]
            asked += [("web", get % (b"OPTIONS", b"/")),
                      ("web", get.replace(b"\r\n", b"\r\nOrigin: http://x\r\n", 1)
                       % (b"GET", b"/"))]
            batch = json.dumps([{"to": "a", "id": "x" * 60} for _ in range(100)]).encode()
            for kind, body in ((json_type, b'{"to":"a"}'), (json_type, b"[]"), (json_type, b"{"),
                               (json_type, batch), (lines, b"\n"),
                               (lines, b'{"to":"a"}\n{"to":"b"}'), (b"image/png", b"x")):
                asked.append(("api", post % (b"/v1/messages", kind, len(body), body)))
            for kind, data in asked:
                with self.subTest(asked=data[:60]):
                    answer = self.ask(node, kind, data)
                    head, body = answer.split(b"\r\n\r\n", 1)
                    dates = re.findall(rb"\r\nDate: ([^\r]*)", head)
                    self.assertEqual(len(dates), 1, head)
                    said = email.utils.parsedate_to_datetime(dates[0].decode()).timestamp()
                    self.assertLess(abs(said - time.time()), 5)
                    if data.startswith(b"HEAD") or b" 204 " in head[:20]:
                        self.assertEqual(body, b"")
                        continue
                    length = int(re.search(rb"\r\nContent-Length: (\d+)", head).group(1))
                    self.assertEqual(len(body), length)
                    if length:
                        self.assertTrue(body.endswith(b"\n") and not body.endswith(b"\n\n"), body)

    def test_a_date_goes_on(self):
        with Node() as node:
            first = node.api("GET", "/healthz")[2]["Date"]
            wait_until("the next second", lambda: node.api("GET", "/healthz")[2]["Date"] != first)

    def test_heads_up_to_the_limits(self):
        with Node() as node:
            for fields, status in ((100, 200), (101, 431)):
                more = b"".join(b"X-%d: y\r\n" % i for i in range(fields - 2))
                answer = self.ask(node, "api", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
                                  b"Connection: close\r\n" + more + b"\r\n")
                self.assertTrue(answer.startswith(b"HTTP/1.1 %d " % status), answer[:80])
            for size, status in ((16384, 200), (16385, 431)):
                start = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: "
                answer = self.ask(node, "api", start.ljust(size - 4, b"y") + b"\r\n\r\n")
                self.assertTrue(answer.startswith(b"HTTP/1.1 %d " % status), answer[:80])

    def test_connection_close_in_every_form(self):
        ends = [b"Connection: close", b"Connection: CLOSE", b"Connection: foo, Close",
                b"Connection:close ,x", b"Connection: keep-alive, close", b"Connection:\tclose\t",
                b"Connection: x\r\nConnection: close"]
        stays = [b"Connection: keep-alive", b"Connection: closed", b"Connection: x-close",
                 b"X: close", b"Connection:"]
        with Node() as node:
            for line in ends + stays:
                with self.subTest(line=line), Socket(node.address("api")) as connection:
                    asked = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n%s\r\n\r\n"
                    connection.send(asked % line + asked % b"Connection: close")
                    said = connection.rest().count(b"HTTP/1.1 200 ")
                    self.assertEqual(said, 1 if line in ends else 2)
            # HTTP/1.0, without Host: it ends unless it is asked to stay.
            for listener in ("api", "web"):
                answer = self.ask(node, listener, b"GET /healthz HTTP/1.0\r\n\r\n")
                self.assertTrue(answer.startswith(b"HTTP/1.1 200 "), answer)
                answer = self.ask(node, listener, b"GET /healthz HTTP/1.0\r\nConnection: keep-alive"
                                  b"\r\n\r\nGET /healthz HTTP/1.0\r\n\r\n")
                self.assertEqual(answer.count(b"HTTP/1.1 200 "), 2)
                self.assertEqual(answer.count(b"Connection: keep-alive\r\n"), 1)

    def test_blanks_around_a_length(self):
        with Node() as node, JsonClient(node, "a") as till:
            for value in (b"1\t", b"\t1", b" \t1 \t "):
                answer = self.ask(node, "api", b"POST /v1/clients/a HTTP/1.1\r\nHost: localhost\r\n"
                                  b"Connection: close\r\nContent-Length:" + value +
                                  b"\r\n\r\n7")
                self.assertTrue(answer.startswith(b"HTTP/1.1 202 "), (value, answer))
                self.assertEqual(till.hear_message()["data"], 7)
            for value in (b"1\t1", b"1 1", b"\t", b"1\x0b"):
                answer = self.ask(node, "api", b"POST /v1/clients/a HTTP/1.1\r\nHost: localhost\r\n"
                                  b"Content-Length:" + value + b"\r\n\r\n7")
                self.assertTrue(answer.startswith(b"HTTP/1.1 400 "), (value, answer))


class Tools(unittest.TestCase):
    def test_a_key_for_those_who_wait_to_be_asked(self):
        with Node(env=KEY) as node:
            url = "http://%s:%d/v1/stats" % node.address("api")
            status, _, headers = node.api("GET", "/v1/stats")
            self.assertEqual(status, 401)
            self.assertIn("Basic realm=", headers["WWW-Authenticate"] + str(headers))
            self.assertIn('"run"', run("curl", "-s", "--anyauth", "-u", "any:right", url))
            self.assertIn('"run"', run("curl", "-s", "-H", "Authorization: Bearer right", url))
            if shutil.which("wget"):
                self.assertIn('"run"', run("wget", "-q", "-O", "-", "--user=any",
                                           "--password=right", url))
            # A page of another origin may not use what the browser keeps.
            own = "http://%s:%d" % node.address("api")
            for origin, status in ((own, 200), ("http://evil.example", 403), ("null", 403)):
                self.assertEqual(node.api("GET", "/v1/stats", headers={
                    "Authorization": basic("right"), "Origin": origin})[0], status)
            keys = urllib.request.HTTPPasswordMgrWithDefaultRealm()
            keys.add_password(None, url, "any", "right")
            opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(keys))
            with opener.open(url, timeout=DEADLINE_S) as answer:
                self.assertIn("run", json.load(answer))

    def test_curl_without_a_type(self):
        with Node() as node, JsonClient(node, "a") as till:
            url = "http://%s:%d/v1/messages" % node.address("api")
            self.assertIn('"queued"', run("curl", "-s", "-d", '{"to":"a","data":1}', url))
            self.assertEqual(till.hear_message()["data"], 1)
            self.assertIn('"status":202', run("curl", "-s", "-d", '[{"to":"a","data":2}]', url))
            self.assertEqual(till.hear_message()["data"], 2)
            self.assertIn('"bad_json"', run("curl", "-s", "-d", "to=a", url))


class Bodies(unittest.TestCase):
    def assert_pushes(self, node):
        """There is memory for them; a busy machine may refuse some for being late."""
        key = {"Authorization": "Bearer right", "Content-Type": "application/json"}
        for _ in range(20):
            self.assertIn(node.api("POST", "/v1/broadcast", b"1", key)[0], (202, 503))
        text = node.api("GET", "/metrics", headers=key, raw=True)[1].decode()
        refused = re.findall(r"^ringpost_memory_refused_total.* (\d+)$", text, re.M)
        self.assertEqual(sum(map(int, refused)), 0)

    def test_probes_have_none(self):
        """They need no key, so they may not fill the memory of those who have one."""
        with Node("--memory", "4M", env=KEY) as node:
            waiting = []
            for listener in ("api", "web"):
                for path in ("healthz", "readyz", ""):
                    for _ in range(20):
                        connection = Socket(node.address(listener))
                        connection.send(b"GET /%s HTTP/1.1\r\nHost: localhost\r\n"
                                        b"Content-Length: 1000000\r\n\r\n" % path.encode())
                        connection.send(bytes(900_000))
                        waiting.append(connection)
            for connection in waiting:
                self.assertRegex(connection.line(), rb"HTTP/1.1 (413|401|404) ")
            self.assert_pushes(node)
            for connection in waiting:
                connection.close()

    def test_wrong_keys_fill_no_memory(self):
        with Node("--memory", "4M", env=KEY) as node:
            waiting = [Socket(node.address("api")) for _ in range(200)]
            for connection in waiting:
                connection.send(b"POST /v1/broadcast HTTP/1.1\r\nHost: localhost\r\n"
                                b"Authorization: Bearer no\r\nContent-Length: 60000\r\n\r\n"
                                + bytes(59_000))
            for connection in waiting:
                self.assertEqual(connection.line(), b"HTTP/1.1 401 Unauthorized\r")
            self.assert_pushes(node)
            for connection in waiting:
                connection.send(bytes(1_000) + b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                connection.buffer = connection.buffer.split(b"\n}}\n")[-1]
                while b"200 OK" not in connection.buffer:
                    self.assertTrue(connection.fill())
                connection.close()


if __name__ == "__main__":
    unittest.main()
