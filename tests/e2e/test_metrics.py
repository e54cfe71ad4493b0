"""/metrics: the form that Prometheus wants, and every name that packaging/ uses exists."""

import json
import pathlib
import re
import shutil
import subprocess
import time
import unittest

from stored import Data
from support import CountedClient, JsonClient, Node, Socket, wait_until
from test_ack import push

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAME = re.compile(r"\b(?:ringpost|process)_[a-z0-9_]+")
# One that is not there has all its metrics; so have other nodes. Any file is a secret.
NO_REDIS = ("--redis", "redis+sentinel://127.0.0.1:1/m", "--store", "disk", "--alert-url",
            "http://127.0.0.1:1/", "--peer", "127.0.0.1:0", "--peer-secret-file", __file__,
            "--socketio-redis-key", "key")
NO_BROKER = ("--amqp", "amqp://127.0.0.1:1", "--amqp-queue", "q")
SAMPLE = re.compile(r'([a-z_][a-z0-9_]*)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*)\})? (\S+)')


def families(text):
    """{name: (type, {sample name: [labels]})}; complains of whatever is out of form."""
    found, name = {}, None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            _, _, name, help_text = line.split(" ", 3)
            assert name not in found, f"{name} comes twice"
            assert help_text.strip(), f"{name} has no help"
            found[name] = [None, {}]
        elif line.startswith("# TYPE "):
            _, _, typed, kind = line.split(" ")
            assert typed == name, f"the type of {typed} stands at {name}"
            found[name][0] = kind
        else:
            match = SAMPLE.fullmatch(line)
            assert match, f"no sample: {line!r}"
            sample = match.group(1)
            assert sample in (name, f"{name}_bucket", f"{name}_sum", f"{name}_count"), line
            labels = found[name][1].setdefault(sample, [])
            assert match.group(2) not in labels, f"{line} comes twice"
            labels.append(match.group(2))
            float(match.group(3))
    return found


def lint(found):
    """The rules of `promtool check metrics`."""
    for name, (kind, samples) in found.items():
        assert samples, f"{name} has no sample"
        assert name.startswith(("ringpost_", "process_")), name
        assert not re.search(r"nano|milli|micro|minutes|hours|kilo|mega", name), f"unit of {name}"
        if kind == "counter":
            assert name.endswith("_total"), f"the counter {name} does not end in _total"
        else:
            assert not name.endswith("_total"), f"{name} is a {kind}"
        if kind == "histogram":
            assert set(samples) == {f"{name}_bucket", f"{name}_sum", f"{name}_count"}, name
        else:
            assert not name.endswith(("_bucket", "_sum", "_count")), name


def refused(node):
    """{code: count} of pushes that were refused before their messages were known."""
    found = {}
    for sample, value in node.metrics().items():
        match = re.fullmatch(r'ringpost_messages_total\{class="unknown",result="(\w+)"\}', sample)
        if match and value:
            found[match.group(1)] = value
    return found


class Metrics(unittest.TestCase):
    def test_the_form(self):
        with Data() as data, data.node(*NO_REDIS, *NO_BROKER) as node:
            push(node, "till-7")
            raw = node.api("GET", "/metrics", raw=True)[1]
            lint(families(raw.decode()))
            promtool = shutil.which("promtool")
            if promtool:
                done = subprocess.run([promtool, "check", "metrics"], input=raw, check=False,
                                      capture_output=True)
                self.assertEqual((done.returncode, done.stderr + done.stdout), (0, b""))

    def test_a_dashboard_asks_for_what_is_there(self):
        with Data() as data, data.node(*NO_REDIS, *NO_BROKER) as node:
            found = families(node.api("GET", "/metrics", raw=True)[1].decode())
            there = set(found)
            for _, samples in found.values():
                there |= set(samples)
            dashboard = json.loads((ROOT / "packaging/grafana.json").read_text())
            wanted = [target["expr"] for panel in dashboard["panels"]
                      for target in panel["targets"]]
            wanted += [entry["query"] for entry in dashboard["templating"]["list"]]
            wanted.append((ROOT / "packaging/alerts.yml").read_text())
            names = {name for text in wanted for name in NAME.findall(text)}
            self.assertGreater(len(names), 20)
            self.assertEqual(names - there, set())
            operations = (ROOT / "docs/operations.md").read_text()
            self.assertEqual(set(NAME.findall(operations)) - there, set())
        promtool = shutil.which("promtool")
        if promtool:
            subprocess.run([promtool, "check", "rules", ROOT / "packaging/alerts.yml"], check=True,
                           capture_output=True)

    def test_each_rule_is_explained(self):
        rules = re.findall(r"- alert: (\w+)", (ROOT / "packaging/alerts.yml").read_text())
        operations = (ROOT / "docs/operations.md").read_text()
        self.assertGreater(len(rules), 20)
        self.assertEqual(set(rules), set(re.findall(r"`(Ringpost\w+)`", operations)))

    def test_each_refused_push_counts_once(self):
        """Also one whose path cannot be read, in one packet or in two, and a SEND that is cut."""
        with Node("--max-message", "1000", "--client-send", "on", workers=1) as node:
            head = (b"POST /v1/clients/%zz HTTP/1.1\r\nHost: localhost\r\n"
                    b"Content-Length: 1\r\n\r\n")
            with Socket(node.address("api")) as split, Socket(node.address("api")) as whole:
                split.send(head)
                self.assertIn(b" 400 ", split.line())
                split.send(b"1")
                whole.send(head + b"1")
                self.assertIn(b" 400 ", whole.line())
            self.assertEqual(refused(node), {"bad_message": 2})
            for line, code in ((b"SEND \x01 1 {}\r\n1\r\n", "bad_message"),
                               (b"SEND 1 1\r\n1\r\n", "bad_message"),
                               (b"SEND 1 9200 {}\r\n", "too_large"),
                               (b"SEND 1 01 {}\r\n", "bad_frame"),
                               (b"SEND 1 1 {}\r\n1x", "bad_frame")):
                before = refused(node)
                with CountedClient(node) as till:
                    till.send(line)
                    self.assertEqual(till.words()[:2], ["ERR", code])
                before[code] = before.get(code, 0) + 1
                self.assertEqual(refused(node), before, line)

    def test_how_long_messages_take(self):
        with Node(workers=1) as node, JsonClient(node, "till") as till:
            for number in range(20):
                self.assertEqual(node.push("till", number)[0], 202)
                till.hear_message()
            name = "ringpost_delivery_seconds"
            self.assertEqual(node.metric(f"{name}_count", **{"class": "default"}), 20)
            buckets = [node.metric(f"{name}_bucket", **{"class": "default", "le": bound})
                       for bound in ("0.001", "0.05", "1", "60", "+Inf")]
            self.assertEqual(buckets, sorted(buckets))
            self.assertEqual(buckets[-1], 20)
            self.assertGreater(node.metric(f"{name}_sum", **{"class": "default"}), 0)

    def test_how_long_syncs_take(self):
        with Data() as data, data.node() as node:
            for _ in range(10):
                push(node, "away")
            name = "ringpost_store_sync_seconds"
            wait_until("each is counted", lambda: node.metric(f"{name}_count") == 10)
            buckets = [node.metric(f"{name}_bucket", le=bound)
                       for bound in ("0.0002", "0.01", "1", "10", "+Inf")]
            self.assertEqual(buckets, sorted(buckets))
            self.assertEqual(buckets[-1], 10)
            self.assertGreater(node.metric(f"{name}_sum"), 0)
            self.assertEqual(node.metric("ringpost_store_syncs_total"), 10)
            self.assertGreater(node.metric("ringpost_store_bytes"), 0)

    def test_a_session_that_does_not_read_is_seen(self):
        with Node(workers=1) as node, JsonClient(node, "till", groups=["g"]):
            began = time.monotonic()
            text = "x" * 60000
            while node.metric("ringpost_queue_age_seconds") < 0.5:
                self.assertLess(time.monotonic() - began, 30)
                if node.metric("ringpost_outbox_bytes") < 500000:
                    node.message(group="g", data=text)
                else:
                    time.sleep(0.1)


if __name__ == "__main__":
    unittest.main()
