"""Alerts: a real Redis goes and comes, a real mail server and a receiver of JSON are told, or do
not want to be; and `ringpost alert-test`."""

import contextlib
import os
import re
import resource
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from alert_ends import HAVE_OPENSSL, SMTP_PYTHON, MailServer, Webhook, self_signed
from redis_server import HAVE as HAVE_REDIS
from redis_server import Redis
from stored import Data
from support import BINARY, SANITIZED, Node, free_port, run, wait_until

# Other tests take the same ways through the code in such a build.
SANITIZED_SKIPS = "the release build shows it"


@unittest.skipUnless(HAVE_REDIS, "there is no redis-server")
class Node_(unittest.TestCase):
    def told(self, got, state, node):
        self.assertEqual((got["what"], got["state"], got["node"]), ("redis", state, "till-a"), got)
        self.assertRegex(got["run"], "^[0-9a-f]{16}$")
        self.assertRegex(got["since"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertIn("ringpost till-a: redis ", got["text"])
        self.assertIn(got["meaning"], got["text"])
        self.assertIn(got["remedy"], got["text"])
        node.wait_log(f"event=alert_sent what=redis state={state} to=http://localhost:")

    def test_redis_is_lost_and_comes_back(self):
        """By both ways at once, with the sandbox on where it can be: `localhost` is looked up in
        it."""
        smtp = MailServer() if SMTP_PYTHON else contextlib.nullcontext()
        more = ["--alert-mail", "ann@example.org,ben@example.org", "--alert-smtp", smtp.url()] \
            if SMTP_PYTHON else []
        with smtp, Webhook() as webhook, Redis() as redis, \
                Node("--node", "till-a", "--redis", redis.url(), "--alert-after", "0.3",
                     "--alert-url", webhook.url("localhost"), *more) as node:
            node.wait_log("event=redis_connected")
            for count in (1, 2):  # a reload frees the settings before it
                node.signal(signal.SIGHUP)
                wait_until("it has reloaded", lambda n=count: node.log().count(
                    "event=reloaded") == n)
            redis.kill()
            self.told(lost := webhook.next(), "lost", node)
            redis.start()
            self.told(back := webhook.next(), "back", node)
            self.assertEqual(lost["since"], back["since"])
            self.assertEqual(node.metric("ringpost_alerts_sent_total", way="url"), 2)
            self.assertNotIn("secret", node.log())
            if not SMTP_PYTHON:
                return
            mail = smtp.next()
            self.assertEqual(mail["to"], ["ann@example.org", "ben@example.org"])
            self.assertRegex(mail["from"], "^ringpost@")
            self.assertIn("Subject: [ringpost] till-a: redis lost\r\n", mail["text"])
            self.assertIn("Subject: [ringpost] till-a: redis back\r\n", smtp.next()["text"])
            wait_until("both are counted",
                       lambda: node.metric("ringpost_alerts_sent_total", way="mail") == 2)

    @unittest.skipIf(SANITIZED, SANITIZED_SKIPS)
    def test_the_store_and_memory(self):
        with Webhook() as webhook, Data() as data, \
                data.node("--alert-after", "0.3", "--alert-url", webhook.url(), "--memory", "1M",
                          "--max-message", "100K") as node:
            resource.prlimit(node.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
            self.assertEqual(node.push("till-1", 1, "?ack=true")[0], 503)
            lost = webhook.next()
            resource.prlimit(node.pid, resource.RLIMIT_FSIZE,
                             (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            back = webhook.next()
            for got, state in ((lost, "lost"), (back, "back")):
                self.assertEqual((got["what"], got["state"]), ("store", state), got)
            taken = []

            def push():
                one = f"m{len(taken)}"
                if node.push("till-1", "x" * 50000, f"?ack=true&id={one}")[0] == 202:
                    taken.append(one)
                return not webhook.posted.empty()
            wait_until("memory is told of", push)
            lost = webhook.next()
            for one in taken:
                self.assertEqual(node.api("DELETE", f"/v1/messages/{one}")[0], 200)
            back = webhook.next()
            for got, state in ((lost, "lost"), (back, "back")):
                self.assertEqual((got["what"], got["state"]), ("memory", state), got)
            self.assertIn("the memory ceiling has been reached", lost["text"])

    def test_a_receiver_that_fails_is_asked_again(self):
        with Webhook(500, "close", 200) as webhook, \
                Node("--redis", f"redis://127.0.0.1:{free_port()}", "--alert-after", "0",
                     "--alert-url", webhook.url()) as node:
            first = webhook.next()
            node.wait_log('event=alert_failed .*problem="it answers 500: said by \\[31m the rec')
            self.assertEqual(node.metric("ringpost_alerts_waiting"), 1)
            node.signal(signal.SIGTERM)  # it need not wait for the next try

        self.assertEqual(first["state"], "lost")

    def test_a_receiver_that_hangs_is_in_nobodys_way(self):
        with Webhook("hang") as webhook, \
                Node("--redis", f"redis://127.0.0.1:{free_port()}", "--alert-after", "0",
                     "--alert-url", webhook.url()) as node:
            webhook.next()
            for i in range(10):
                self.assertEqual(node.push(f"till-{i}", 1)[0], 503)  # Redis is lost
            node.signal(signal.SIGTERM)
            self.assertEqual(node.wait_exit(), 0)
            self.assertIn('event=alert_dropped what=redis state=lost', node.log())
            self.assertIn("event=stopped", node.log())

    def test_a_host_that_is_not_there(self):
        """Whatever the machine's resolver does for that, the sandbox lets it, and nobody waits."""
        with Node("--redis", f"redis://127.0.0.1:{free_port()}", "--alert-after", "0",
                  "--alert-url", "http://alert-test.invalid/") as node:
            node.wait_log('event=alert_failed .*problem="its host cannot be looked up: ')


    @unittest.skipIf(SANITIZED, "TLS is of libraries that have no sanitizer")
    @unittest.skipUnless(SMTP_PYTHON, "python3-aiosmtpd is not there")
    @unittest.skipUnless(HAVE_OPENSSL, "there is no openssl to make a certificate with")
    def test_tls(self):
        """What it reads and calls for that, the sandbox lets it."""
        host, address = this_host(self)
        with tempfile.TemporaryDirectory() as folder:
            certificate = self_signed(folder)
            with Webhook(certificate=certificate) as webhook, \
                    MailServer(certificate=certificate, host=address) as server, \
                    Node("--redis", f"redis://127.0.0.1:{free_port()}", "--alert-after", "0",
                         "--alert-url", f"https://localhost:{webhook.port}/", "--alert-mail",
                         "ann@example.org", "--alert-smtp", server.url(host=host)) as node:
                self.assertTrue(server.next()["tls"])
                node.wait_log("event=alert_sent ")
                node.wait_log("event=alert_failed .*certificate")


def this_host(test):
    """This machine's name, which is no loopback in a URL, and its address."""
    host = socket.gethostname()
    if not re.fullmatch(r"([A-Za-z0-9][-A-Za-z0-9]*\.)*[A-Za-z][-A-Za-z0-9]*", host):
        test.skipTest("this machine's name is none that a URL may have")
    try:
        return host, socket.gethostbyname(host)
    except OSError:
        return test.skipTest("this machine's name has no address")


class Test(unittest.TestCase):
    """ringpost alert-test"""

    def test_a_webhook(self):
        takes = (200, 204, "endless", "cut")
        refuses = {500: "it answers 500", 404: "it answers 404", 302: "redirects are not followed",
                   "close": "", "head": "without an end"}
        for way in (*takes, *refuses):
            if SANITIZED and isinstance(way, int) and way not in (500, 404):
                continue  # those that send what they like are for these builds
            with self.subTest(way), Webhook(way) as webhook:
                status, out, error = run(["alert-test", "--node", "till-a", "--alert-url",
                                          webhook.url()])
                self.assertEqual(webhook.next()["state"], "test")
                self.assertTrue(webhook.posted.empty())  # once, and no redirect
                shown = f"webhook: http://127.0.0.1:{webhook.port}/***"
                if way in takes:
                    code = way if isinstance(way, int) else 200
                    self.assertEqual((status, out, error), (0, f"{shown} took it ({code})\n", ""))
                else:
                    self.assertEqual((status, out), (1, ""))
                    self.assertIn(f"ringpost alert-test: {shown} did not take it: ", error)
                    self.assertIn(refuses[way], error)
                    self.assertNotIn("\x1b", error)
                    self.assertNotIn("secret", error)

    def test_a_receiver_that_tells_a_part_of_a_long_secret(self):
        secret = "".join(f"{i:04x}" for i in range(0x1000, 0x1040))
        for cut in (0, 100):
            with self.subTest(cut), Webhook(403) as webhook:
                webhook.secret = secret[cut:]
                status, _, error = run(["alert-test", "--alert-url",
                                        webhook.url(path=f"/?token={secret}")])
                self.assertEqual(status, 1)
                self.assertIn("it answers 403;", error)
                self.assertNotIn(secret[cut:cut + 16], error)

    def test_what_cannot_be_reached(self):
        port = free_port()
        for host, words in (("127.0.0.1", "see that it listens there"),
                            ("alert-test.invalid", "its host cannot be looked up")):
            status, _, error = run(["alert-test", "--alert-url", f"http://{host}:{port}/"])
            self.assertEqual(status, 1)
            self.assertIn(words, error)

    def test_the_library_is_loaded_only_for_alerts(self):
        """And where it cannot be, the start says what to install."""
        loaded = subprocess.run(["ldd", BINARY], stdout=subprocess.PIPE, check=True).stdout
        self.assertNotIn(b"curl", loaded)
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "libcurl-gnutls.so.4"), "wb"):
                pass
            for command in ("alert-test", "serve"):
                status, _, error = run([command, "--alert-url", "http://127.0.0.1:1/", "--tcp",
                                        "off", "--web", "off", "--api", "127.0.0.1:0"],
                                       env={**os.environ, "LD_LIBRARY_PATH": folder})
                self.assertEqual(status, 1)
                self.assertIn("alerts need libcurl (", error)
                self.assertIn("apt-get install libcurl3-gnutls", error)

    def test_settings(self):
        status, _, error = run(["alert-test"])
        self.assertEqual(status, 1)
        self.assertIn("the settings name nobody to tell", error)
        status, _, error = run(["alert-test", "--alert-mail", "a@b"])
        self.assertEqual(status, 1)
        self.assertIn("--alert-mail: nobody takes the mail", error)
        status, _, error = run(["alert-test", "--alert-mail", "a@b\r\nRCPT TO:<c@d>"])
        self.assertEqual(status, 2)
        status, _, error = run(["alert-test", "--alert-url", "https://u:hidden@a/hidden"])
        self.assertEqual(status, 2)
        self.assertNotIn("hidden", error)
        status, out, _ = run(["check-config", "--alert-url", "https://a/hidden", "--alert-mail",
                              "a@b", "--alert-smtp", "smtp://ann:hidden@mail.example"])
        self.assertEqual(status, 0)
        self.assertIn("https://a:443/***", out)
        self.assertIn("smtp://ann:***@mail.example:25", out)
        self.assertNotIn("hidden", out)


@unittest.skipUnless(SMTP_PYTHON, "python3-aiosmtpd is not there")
class TestMail(unittest.TestCase):
    """ringpost alert-test, by mail"""

    def send(self, url, *more, to="ann@example.org"):
        return run(["alert-test", "--alert-mail", to, "--alert-from", "node@shop.example", *more,
                    *(["--alert-smtp", url] if url else [])])

    def test_it_arrives(self):
        with MailServer() as server:
            status, out, error = self.send(server.url())
            self.assertEqual((status, error), (0, ""))
            self.assertEqual(out, f"mail: smtp://127.0.0.1:{server.port} took it for "
                                  "ann@example.org\n")
            mail = server.next()
            self.assertEqual((mail["from"], mail["to"]), ("node@shop.example",
                                                          ["ann@example.org"]))
            self.assertRegex(mail["text"], "\r\nSubject: \\[ringpost\\] [^\r\n]*: test\r\n")
            self.assertIn("this is a test.", mail["text"])

    @unittest.skipIf(SANITIZED, SANITIZED_SKIPS)
    def test_a_server_that_hangs_once_it_has_taken_the_mail(self):
        with MailServer() as server:
            status, _, error = self.send(server.url(), "--alert-from", "hang@shop.example")
            self.assertEqual((status, error), (0, ""))
            self.assertEqual(server.next()["from"], "hang@shop.example")

    @unittest.skipIf(SANITIZED, SANITIZED_SKIPS)
    def test_a_server_that_hangs_once_it_has_refused_the_mail(self):
        """The thread is held by that for a second, and not for as long as a try may take."""
        with MailServer() as server:
            began = time.monotonic()
            status, _, error = self.send(server.url(), "--alert-from", "hang@shop.example",
                                         to="no-one@example.org")
            self.assertEqual(status, 1)
            self.assertIn("did not take it: it says 550 5.1.1 nobody", error)
            self.assertLess(time.monotonic() - began, 10)

    def test_one_of_two_addresses_is_wrong(self):
        with MailServer() as server:
            status, _, error = self.send(server.url(), to="no-one@example.org,ann@example.org")
            self.assertEqual(status, 1)
            self.assertIn("took it, but not for everybody: it says 550 5.1.1 nobody", error)
            self.assertEqual(server.next()["to"], ["ann@example.org"])

    @unittest.skipIf(SANITIZED, SANITIZED_SKIPS)
    def test_all_addresses_are_wrong(self):
        with MailServer() as server:
            status, _, error = self.send(server.url(), to="no-one@example.org")
            self.assertEqual(status, 1)
            self.assertIn("did not take it: it says 550 5.1.1 nobody", error)

    @unittest.skipIf(SANITIZED, SANITIZED_SKIPS)
    def test_a_password(self):
        """From a file; and a wrong one."""
        with MailServer("ann@b", "p:w") as server, tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "smtp")
            with open(path, "w", encoding="ascii") as file:
                file.write(f"# of the relay\n{server.url('ann%40b', 'p%3Aw')}\n")
            status, _, error = self.send(None, "--alert-smtp-file", path)
            self.assertEqual((status, error), (0, ""))
            server.next()
            status, _, error = self.send(server.url("ann%40b", "other"))
            self.assertEqual(status, 1)
            self.assertIn("it refuses user and password, 535", error)
            self.assertIn("give the right user and password", error)
            self.assertNotIn("other", error)

    @unittest.skipIf(SANITIZED, SANITIZED_SKIPS)
    @unittest.skipUnless(HAVE_OPENSSL, "there is no openssl to make a certificate with")
    def test_tls_beyond_this_machine(self):
        host, address = this_host(self)
        with tempfile.TemporaryDirectory() as folder, \
                MailServer("ann", "pw", self_signed(folder), address) as server:
            status, _, error = self.send(server.url("ann", "pw", host))
            self.assertEqual(status, 1)
            self.assertIn("certificate", error)
            self.assertTrue(server.logins.empty())
        with tempfile.TemporaryDirectory() as folder, \
                MailServer(certificate=self_signed(folder), host=address) as server:
            status, _, error = self.send(server.url(host=host))  # as mail servers do
            self.assertEqual((status, error), (0, ""))
            self.assertTrue(server.next()["tls"])
        with MailServer("ann", "pw", host=address) as server:
            status, _, error = self.send(server.url("ann", "pw", host))
            self.assertEqual(status, 1)
            self.assertIn("a password goes nowhere without TLS", error)
            self.assertTrue(server.logins.empty())


if __name__ == "__main__":
    unittest.main()
