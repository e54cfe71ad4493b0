"""Clients and producers that others wrote, and the binary's own commands."""

import json
import os
import pathlib
import pty
import re
import shutil
import signal
import subprocess
import termios
import unittest

from support import BINARY, DEADLINE_S, JsonClient, Node, run, wait_until
from test_sio import Sio

LUA = shutil.which("lua5.4") or shutil.which("lua")
HERE = pathlib.Path(__file__).resolve().parent
WEBHOOK = json.dumps({"id": "evt_1", "type": "payment_intent.succeeded",
                      "data": {"object": {"amount": 1200, "currency": "eur", "note": "caf\u00e9"}}},
                     indent=2, ensure_ascii=False).encode() + b"\n"


class Lua(unittest.TestCase):
    def till(self, node, framing, client_id, count):
        process = subprocess.Popen([LUA, str(HERE / "till.lua"), framing,
                                    str(node.address("tcp")[1]), client_id, str(count)],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        ready = process.stdout.readline()
        self.assertEqual(ready, b"ready\n", ready or process.stderr.read())
        return process

    def test_a_signed_webhook_in_both_framings(self):
        with Node("--steer", "tuple", "--workers", "4") as node:
            tills = [self.till(node, "counted", "till-7", 2) for _ in range(3)]
            lines = self.till(node, "lines", "till-7", 2)
            host, port = node.address("api")
            url = f"http://{host}:{port}/v1/clients/till-7"
            done = subprocess.run(
                ["curl", "-sS", "-X", "POST", f"{url}?raw=1&event=stripe", "--data-binary", "@-",
                 "-H", "Content-Type: application/json", "-H", "Stripe-Signature: t=1,v1=5257a8"],
                input=WEBHOOK, stdout=subprocess.PIPE, timeout=DEADLINE_S, check=True)
            self.assertEqual(json.loads(done.stdout)["recipients"], 4)
            subprocess.run(["curl", "-sS", url, "--data-binary", "@-", "-H",
                            "Content-Type: application/json"], input=WEBHOOK,
                           stdout=subprocess.PIPE, timeout=DEADLINE_S, check=True)
            joined = b"".join(WEBHOOK.splitlines())
            for till in tills:
                out, err = till.communicate(timeout=DEADLINE_S)
                self.assertEqual(err, b"")
                raw, plain = [bytes.fromhex(line) for line in out.decode().split()]
                self.assertEqual(raw, WEBHOOK)
                self.assertEqual(plain, joined)
            out, err = lines.communicate(timeout=DEADLINE_S)
            self.assertEqual(err, b"")
            raw, plain = [bytes.fromhex(line) for line in out.decode().split()]
            self.assertEqual(json.loads(raw)["encoding"], "base64")
            self.assertIn(b'"data":' + joined, plain)


class Others(unittest.TestCase):
    def test_netcat(self):
        with Node() as node:
            host, port = node.address("tcp")
            netcat = subprocess.Popen(["nc", host, str(port)], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE)
            netcat.stdin.write(b'{"type":"hello","id":"nc"}\n')
            netcat.stdin.flush()
            self.assertEqual(json.loads(netcat.stdout.readline())["type"], "welcome")
            self.assertEqual(node.push("nc", {"x": 1})[0], 202)
            self.assertEqual(json.loads(netcat.stdout.readline())["data"], {"x": 1})
            netcat.kill()
            netcat.communicate()

    def test_curl_as_it_comes(self):
        """No content type given: curl says that it is a form."""
        with Node() as node, JsonClient(node, "till-7") as till:
            host, port = node.address("api")
            done = subprocess.run(
                ["curl", "-sS", f"http://{host}:{port}/v1/clients/till-7?event=payment", "-d",
                 '{"amount":12}'], stdout=subprocess.PIPE, timeout=DEADLINE_S, check=True)
            self.assertEqual(json.loads(done.stdout)["state"], "queued")
            self.assertEqual(till.hear()["data"], {"amount": 12})


class Commands(unittest.TestCase):
    def flags(self, node, kind):
        host, port = node.address(kind)
        return [f"--{kind}", f"{host}:{port}"]

    def test_push_and_listen(self):
        with Node() as node:
            listen = subprocess.Popen(
                [BINARY, "listen", "--id", "till-7", "--count", "2", "--json",
                 *self.flags(node, "tcp")], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            wait_until("it listens",
                       lambda: node.api("GET", "/v1/clients/till-7")[0] == 200)
            status, out, error = run(["push", "--to", "till-7", "--event", "payment",
                                      *self.flags(node, "api"), '{"amount":12}'])
            self.assertEqual(status, 0, error)
            self.assertIn("queued", out)
            run(["push", "--broadcast", *self.flags(node, "api"), "[1]"])
            out, error = listen.communicate(timeout=DEADLINE_S)
            lines = [json.loads(line) for line in out.splitlines()]
            self.assertEqual([line["data"] for line in lines], [{"amount": 12}, [1]], error)
            self.assertEqual(listen.returncode, 0)
            status, out, error = run(["push", "--to", "nobody", *self.flags(node, "api"), "1"])
            self.assertEqual(status, 1)
            self.assertIn("absent", out + error)

    def test_push_into_a_namespace(self):
        with Node("--namespaces", "/shop", "--client-send", "on") as node, \
                Sio(node, connect='0/shop,{"id":"a","group":"g","meta":true}') as client:
            api = self.flags(node, "api")
            for address in (["--to", "a"], ["--group", "g"], ["--broadcast"]):
                for form, sent in (([], '["message",7'), (["--raw"], '["message",')):
                    status, out, error = run(["push", *address, *form, "--namespace", "/shop",
                                              *api, "7"])
                    self.assertEqual((status, out[-13:]), (0, "recipients=1\n"), (out, error))
                    self.assertIn(sent, client.packet())
                    if form:
                        self.assertEqual(client.attachment(), b"7")
            status, out, _ = run(["push", "--to", "a", *api, "1"])
            self.assertEqual(status, 1)
            self.assertIn("absent", out)
            for address, words in (("--to", "under that id in that namespace"),
                                   ("--group", "in that group of that namespace")):
                self.assertIn(words, run(["push", address, "b", "--namespace", "/shop", *api])[1])
            tcp = self.flags(node, "tcp")
            status, out, error = run(["push", "--to", "a", "--namespace", "/shop", *tcp, "8"])
            self.assertEqual(status, 0, error)
            self.assertIn('["message",8', client.packet())
            status, _, error = run(["push", "--to", "a", "--namespace", "/none", *api, "1"])
            self.assertEqual(status, 1)
            self.assertIn("see --namespaces", error)

    def test_what_a_0_means(self):
        with Node() as node:
            for address, words in ((["--group", "g"], "nobody who is connected is in that group"),
                                   (["--broadcast"], "nobody is connected, so nobody got it")):
                status, out, error = run(["push", *address, *self.flags(node, "api"), "1"])
                self.assertEqual(status, 0, error)
                self.assertIn("recipients=0  (0: " + words, out)
            for flags, status, words in (
                    (["--id", "x"], 0, "push --to 'x' 1"),
                    (["--group", "g"], 0, "push --group 'g' 1"),
                    ([], 0, "push --broadcast 1"),
                    (["--id", "x", "--count", "3"], 1, "push --to 'x' 1")):
                done = run(["listen", *flags, "--timeout", "0.5", *self.flags(node, "tcp")])
                self.assertEqual(done[0], status, done)
                self.assertIn("0 messages: in that time nobody pushed to", done[2])
                self.assertIn(words, done[2])
            with JsonClient(node, "a", groups=["g"]):
                _, out, _ = run(["push", "--group", "g", *self.flags(node, "api"), "1"])
                self.assertRegex(out, r"recipients=1\n$")

    def test_acknowledged(self):
        """listen --ack, push --ack --wait, fate, top."""
        with Node("--ack-silence", "0.3") as node:
            api, tcp = self.flags(node, "api"), self.flags(node, "tcp")
            status, out, _ = run(["push", "--to", "till-7", "--ack", "--id", "m1", *api, "1"])
            self.assertEqual(status, 0)
            self.assertRegex(out, r"^stored  id=m1  recipients=0  \(nobody is connected")
            status, out, _ = run(["push", "--to", "till-7", "--ack", "--id", "m1", *api, "1"])
            self.assertEqual(status, 0)
            self.assertRegex(out, r"^duplicate .*; it is pending: the node keeps it")
            for wait in (["--wait=0.2"], ["--wait=0"]):
                status, out, _ = run(["push", "--to", "till-7", "--ack", "--id", "m1", *wait, *api,
                                      "1"])
                self.assertEqual(status, 1)
                status, out, _ = run(["push", "--to", "other", "--ack", *wait, "--ttl", "1", *api,
                                      "1"])
                self.assertEqual(status, 1)
                self.assertRegex(out, r"^pending  id=\S+  recipients=0  \(the node keeps it")
            status, out, _ = run(["fate", "m1", *api])
            self.assertEqual(status, 1)
            self.assertRegex(out, r"^pending  id=m1  accepted=\S+Z  \(.*\)\n  till-7 +pending\n$")
            _, out, _ = run(["top", "--once", *api])
            self.assertRegex(out, r"\npending \(ack\) +\d")
            wait_until("it grows old", lambda: re.search(
                r"\noldest pending +([\d.]+) s", run(["top", "--once", *api])[1])[1] >= "0.2")
            # Without --ack it comes again and again, and is said to.
            status, out, error = run(["listen", "--id", "till-7", "--count", "3", *tcp])
            self.assertEqual(status, 0, error)
            self.assertRegex(out, r"m1 +ack  1\n.*m1 +ack  redelivered  1\n.*redelivered  1\n$")
            self.assertEqual(error.count("--ack does that"), 1)
            status, out, error = run(["listen", "--id", "till-7", "--count", "1", "--ack", "--json",
                                      *tcp])
            self.assertEqual(status, 0, error)
            self.assertEqual(json.loads(out), {
                "type": "message", "id": "m1", "event": "message", "ack": True,
                "redelivered": True, "data": 1})
            wait_until("it is acknowledged", lambda: run(["fate", "m1", *api])[0] == 0)
            status, out, _ = run(["fate", "m1", "--json", *api])
            self.assertEqual((status, json.loads(out)["state"]), (0, "acked"))
            self.assertRegex(run(["fate", "m1", *api])[1], r"^acked  id=m1 .*settled=")
            status, _, error = run(["fate", "never", *api])
            self.assertEqual(status, 1)
            self.assertIn("knows no fate of that id", error)
            with subprocess.Popen([BINARY, "listen", "--id", "till-7", "--ack", *tcp],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE) as listen:
                listen.stderr.readline()
                for more in ([], ["--text"], ["--raw"]):
                    status, out, error = run(["push", "--to", "till-7", "--ack", "--wait=20", *more,
                                              *api, "7"])
                    self.assertEqual(status, 0, out + error)
                    self.assertRegex(out, r"^acked .*, \d+\.\d ms after the node took it\)\n$")
                status, out, _ = run(["push", "--to", "till-7", "--to", "away", "--ack", "--ttl",
                                      "0.3", "--wait", *api, "7"])
                self.assertEqual(status, 1)
                self.assertRegex(out, r"^expired (.*)\n  away +expired\n  till-7 +acked\n$")
                listen.send_signal(signal.SIGINT)
                listen.communicate(timeout=DEADLINE_S)
                self.assertEqual(listen.returncode, 0)

    def test_listen_acknowledges_all_that_it_printed(self):
        """Also when more comes than it was to print, and it ends."""
        count = 300
        with Node("--ack-silence", "600") as node:
            tcp = self.flags(node, "tcp")
            batch = [{"to": "till-7", "ack": True, "id": f"m{i}", "data": "x" * 1000}
                     for i in range(count)]
            node.api("POST", "/v1/messages", batch)
            printed = []
            while len(printed) < count:
                status, out, error = run(["listen", "--id", "till-7", "--ack", "--json", "--count",
                                          str(min(70, count - len(printed))), *tcp])
                self.assertEqual(status, 0, error)
                printed += [json.loads(line)["id"] for line in out.splitlines()]
            self.assertEqual(printed, [f"m{i}" for i in range(count)])
            wait_until("all are", lambda: node.metric("ringpost_ack_pending") == 0)

    def test_listen_ends_well(self):
        with Node() as node:
            listen = subprocess.Popen([BINARY, "listen", "--id", "x", *self.flags(node, "tcp")],
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            wait_until("it listens", lambda: node.api("GET", "/v1/clients/x")[0] == 200)
            listen.send_signal(signal.SIGINT)
            listen.communicate(timeout=DEADLINE_S)
            self.assertIn(listen.returncode, (0, 130))

    def test_top(self):
        with Node("--max-connections", "777", "--memory", "64M", "--outbox-bytes", "16M") as node:
            slow = JsonClient(node, "till-7", receive_buffer=4096)
            batch = "\n".join(['{"group":"nobody"}'] * 1000)
            for _ in range(2):
                node.api("POST", "/v1/messages", batch,
                         {"Content-Type": "application/x-ndjson"}, raw=True)
            node.message(to="till-7", oops=1)
            for _ in range(100):
                node.push("till-7", "x" * 60000)
            wait_until("something is queued", lambda: node.stats()["slowest"])
            queued = node.stats()["slowest"][0]["queued_bytes"]
            status, out, error = run(["top", "--once", *self.flags(node, "api")])
            self.assertEqual(status, 0, error)
            totals = node.stats()["totals"]
            self.assertGreater(totals["accepted"], 1000)
            self.assertGreater(totals["refused"], 0)
            self.assertRegex(out, rf"accepted +{totals['accepted']} ")
            self.assertRegex(out, rf"\nrefused +{totals['refused']} ")
            self.assertRegex(out, r"connections +\d+ +777\n")
            self.assertRegex(out, r"memory +[\d.]+ MiB +64.0 MiB\n")
            self.assertRegex(out, rf" {queued}  till-7 +127.0.0.1:\d+\n")
            self.assertNotIn("MAILS", out)
            _, out, _ = run(["top", "--once", "--workers", *self.flags(node, "api")])
            self.assertIn("MAILS", out)
            self.assertIn("tcp on 127.0.0.1:", out)
            slow.close()

    def test_top_ends_at_q(self):
        """On a terminal, whose mode is as before afterwards."""
        with Node() as node:
            for keys, status in ((b"q", 0), (b"x\x03", 0)):
                before = []
                pid, terminal = pty.fork()
                if pid == 0:
                    os.execv(BINARY, [BINARY, "top", *self.flags(node, "api")])
                try:
                    seen = b""
                    while b"(q quits)" not in seen:
                        seen += os.read(terminal, 65536)
                    before = termios.tcgetattr(terminal)
                    self.assertFalse(before[3] & termios.ECHO)
                    os.write(terminal, keys)
                    while True:
                        try:
                            if not os.read(terminal, 65536):
                                break
                        except OSError:  # the other side has gone
                            break
                    _, ended = os.waitpid(pid, 0)
                    pid = 0
                    self.assertEqual(os.waitstatus_to_exitcode(ended), status, seen)
                    self.assertTrue(termios.tcgetattr(terminal)[3] & termios.ECHO)
                finally:
                    if pid != 0:
                        os.kill(pid, signal.SIGKILL)
                        os.waitpid(pid, 0)
                    os.close(terminal)

    def test_audit(self):
        with Node() as node, JsonClient(node, "a") as till:
            for number in range(10):
                node.push("a", number)
                till.hear()
            status, out, error = run(["audit", *self.flags(node, "api")])
            self.assertEqual(status, 0, out + error)

    def test_help_and_version(self):
        for command in ([], ["serve"], ["listen"], ["push"], ["check-config"], ["top"], ["bench"],
                        ["audit"], ["health"], ["fate"]):
            status, out, error = run([*command, "--help"])
            self.assertEqual(status, 0, error)
            self.assertIn("ringpost", out)
        self.assertRegex(run(["--version"])[1], r"^ringpost \d+\.\d+\.\d+\n$")

    def test_check_config(self):
        status, out, _ = run(["check-config", "--workers", "1", "--api-key", "hidden"])
        self.assertEqual(status, 0)
        self.assertNotIn("hidden", out)
        environment = {**os.environ, "RINGPOST_WORKERS": "0"}
        status, _, error = run(["check-config"], env=environment)
        self.assertNotEqual(status, 0)
        self.assertIn("RINGPOST_WORKERS", error)


if __name__ == "__main__":
    unittest.main()
