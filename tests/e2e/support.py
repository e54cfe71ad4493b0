"""What the end-to-end tests share: a real node on free ports, and small clients that speak to it.

A test gets its own node (Node(...)) and ends it by its pid. Everything waits with one deadline,
DEADLINE_S; nothing sleeps for a fixed time. Clients made here are deliberately plain: a socket and
a buffer, so that a test sees the very bytes.
"""

import base64
import contextlib
import http.client
import json
import os
import random
import re
import select
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse

BINARY = os.environ.get("RINGPOST_BINARY", "build/release/ringpost")
DEADLINE_S = float(os.environ.get("RINGPOST_DEADLINE_S", "20"))
EXTRA_FLAGS = os.environ.get("RINGPOST_EXTRA_FLAGS", "").split()
SANITIZED = os.environ.get("RINGPOST_SANITIZED", "") == "1"


def wait_until(what, condition, deadline_s=None):
    """Asks until it is true; fails by name."""
    end = time.monotonic() + (deadline_s or DEADLINE_S)
    pause = 0.001
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"never happened: {what}")
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


def free_port():
    """A port of TCP that no connection gets by itself, since it lies below the range of those."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        lowest = int(file.read().split()[0])
    while True:
        port = random.randrange(max(1024, lowest - 20000), lowest)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("", port))
            return port


def page_problems(where, page):
    """What is wrong with one page of a ledger: the formulas of `ringpost audit`."""
    dropped = sum(page["dropped"].values())
    if "accepted" in page:
        counted, all_of = page["accepted"], (page["acked"] + page["pending"] + page["expired"]
                                             + dropped)
    else:
        counted, all_of = page["made"], page["sent"] + page["waiting"] + dropped
    return [] if counted == all_of else [f"{where}: {counted} is not {all_of}: {page}"]


def page_sum(pages):
    """Numbers are added up, objects by their members."""
    return {key: page_sum([page[key] for page in pages]) if isinstance(value, dict)
            else sum(page[key] for page in pages) for key, value in pages[0].items()}


def ledger_problems(stats):
    """What does not balance in an answer of GET /v1/stats: each worker, and their sum."""
    ledgers = [worker["ledger"] for worker in stats["workers"]]
    problems = []
    for number, ledger in enumerate(ledgers):
        for name, page in ledger.items():
            problems += page_problems(f"worker {number}, {name}", page)
    if page_sum(ledgers) != stats["ledger"]:
        problems.append(f"the total {stats['ledger']} is not the sum of {ledgers}")
    return problems


class Node:
    """A running `ringpost serve`. Unless the test sets `audited` to False, every message must be
    accounted for when it is stopped."""

    def __init__(self, *flags, env=None, workers=2, wait=True, defaults=True, limits=None,
                 closed=False, through=()):
        """`limits`: {"nofile": 1024}, by the names that prlimit has. `closed`: without
        standard streams, so without a log. `through`: a program that runs it, with its flags."""
        self.folder = tempfile.TemporaryDirectory(prefix="ringpost-e2e-")
        self.log_path = os.path.join(self.folder.name, "log")
        self.ports_path = os.path.join(self.folder.name, "ports.json")
        command = [BINARY, "serve"]
        if defaults:
            given = {flag.split("=", 1)[0] for flag in flags}
            for name in ("--tcp", "--web", "--api"):
                if name not in given:
                    command += [name, "127.0.0.1:0"]
            if "--workers" not in given:
                command += ["--workers", str(workers)]
            command += ["--ports-file", self.ports_path]
        command += list(flags) + EXTRA_FLAGS
        environment = {k: v for k, v in os.environ.items() if not k.startswith("RINGPOST_")}
        environment.update(env or {})
        for name, value in (limits or {}).items():
            command = ["prlimit", f"--{name}={value}", *command]
        command = [*through, *command]
        if closed:
            command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command]
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=environment)
        self.pid = self.process.pid
        self.ports = {}
        self.audited = True
        self.key = self.key_of(command, environment)
        if wait:
            self.wait_started()

    @staticmethod
    def key_of(command, environment):
        """A key that it was given in the open; None: it was not."""
        if "--api-key" in command:
            return command[command.index("--api-key") + 1]
        return environment.get("RINGPOST_API_KEY", "").split(",")[0] or None

    def wait_started(self):
        def started():
            if self.process.poll() is not None:
                raise AssertionError(
                    f"the node ended with {self.process.returncode}:\n{self.log()}")
            return os.path.exists(self.ports_path)
        wait_until("the node starts", started)
        with open(self.ports_path, encoding="utf-8") as file:
            self.ports = json.load(file)

    def address(self, kind, index=0):
        host, port = self.ports[kind][index].rsplit(":", 1)
        return host.strip("[]"), int(port)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait_log(self, pattern):
        return wait_until(f"log line {pattern!r}", lambda: re.search(pattern, self.log()))

    def signal(self, number):
        if number in (signal.SIGTERM, signal.SIGINT):
            self.audited = False  # who drains counts what it cannot wait for
        os.kill(self.pid, number)

    def wait_exit(self, deadline_s=None):
        try:
            status = self.process.wait(deadline_s or DEADLINE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the node does not end:\n{self.log()[-4000:]}") from None
        return status

    def audit(self):
        """What its ledger does not account for, as one text; "" where it cannot be asked."""
        if not self.audited or not self.ports.get("api") or self.process.poll() is not None:
            return ""
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else None
        status, stats, _ = self.api("GET", "/v1/stats", headers=headers)
        if status != 200:
            return f"GET /v1/stats is answered {status}: {stats}"
        return "\n".join(ledger_problems(stats))

    def stop(self):
        """Checks that it accounts for every message, drains it and checks that it ended well."""
        problem = self.audit()
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        status = self.wait_exit()
        log = self.log()
        self.folder.cleanup()
        for alarm in ("Sanitizer", "runtime error:", "check failed", "event=sandbox_refused",
                      "event=ledger_unbalanced"):
            assert alarm not in log, f"the node reported:\n{log[-6000:]}"
        assert status == 0, f"the node ended with {status}:\n{log[-4000:]}"
        assert not problem, problem

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.stop()
        else:
            self.kill()
            print(self.log()[-3000:])

    # --- the API ---

    def api(self, method, path, body=None, headers=None, raw=False):
        """One request on a connection of its own. Returns (status, JSON or bytes, headers)."""
        connection = http.client.HTTPConnection(*self.address("api"), timeout=DEADLINE_S)
        try:
            if isinstance(body, (dict, list)):
                body = json.dumps(body)
                headers = {"Content-Type": "application/json", **(headers or {})}
            if isinstance(body, str):
                body = body.encode()
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if raw:
            return answer.status, content, answer.headers
        return answer.status, json.loads(content) if content else None, answer.headers

    def push(self, client_id, data, query="", headers=None):
        path = "/v1/clients/" + urllib.parse.quote(client_id, safe="") + query
        return self.api("POST", path, json.dumps(data),
                        headers or {"Content-Type": "application/json"})

    def message(self, **fields):
        if "except_" in fields:
            fields["except"] = fields.pop("except_")
        return self.api("POST", "/v1/messages", fields)

    def stats(self):
        return self.api("GET", "/v1/stats")[1]

    def metrics(self):
        """{'name{labels}': value} of all samples."""
        text = self.api("GET", "/metrics", raw=True)[1].decode()
        samples = {}
        for line in text.splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                samples[name] = float(value)
        return samples

    def metric(self, name, **labels):
        """The sum of the samples of a name whose labels include those given."""
        total = 0.0
        for sample, value in self.metrics().items():
            match = re.fullmatch(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})?", sample)
            if match.group(1) != name:
                continue
            have = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match.group(2) or ""))
            if all(have.get(key) == str(wanted) for key, wanted in labels.items()):
                total += value
        return total


class Socket:
    """A TCP socket with a buffer, from a chosen loopback address."""

    def __init__(self, address, source="127.0.0.1", receive_buffer=None):
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if family == socket.AF_INET:
            self.socket.bind((source, 0))
        self.socket.settimeout(DEADLINE_S)
        self.socket.connect(address)
        self.buffer = b""
        self.ended = False

    def send(self, data):
        self.socket.sendall(data.encode() if isinstance(data, str) else data)

    def fill(self):
        """Receives something more; False at the end."""
        try:
            got = self.socket.recv(65536)
        except ConnectionResetError:
            got = b""
        except socket.timeout:
            raise AssertionError(f"nothing more came; so far {self.buffer[-300:]!r}") from None
        self.ended = not got
        self.buffer += got
        return bool(got)

    def line(self):
        """The next line without its end; None at the end of the stream."""
        while b"\n" not in self.buffer:
            if not self.fill():
                assert not self.buffer, f"the stream ended within {self.buffer[:200]!r}"
                return None
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line

    def exactly(self, count):
        while len(self.buffer) < count:
            assert self.fill(), f"the stream ended after {len(self.buffer)} of {count} bytes"
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def rest(self):
        while self.fill():
            pass
        data, self.buffer = self.buffer, b""
        return data

    def silent(self, seconds=0.2):
        """Nothing is there and nothing comes for a while (the one place where time must pass)."""
        if self.buffer:
            return False
        return not select.select([self.socket], [], [], seconds)[0]

    def reset(self):
        """Ends the connection with a reset instead of a FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.socket.close()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class JsonClient(Socket):
    """A till that speaks JSON lines."""

    def __init__(self, node, client_id=None, groups=None, source="127.0.0.1", hello=True, **more):
        receive_buffer = more.pop("receive_buffer", None)
        super().__init__(node.address("tcp"), source, receive_buffer)
        self.welcome = None
        if hello:
            fields = {"type": "hello", **more}
            if client_id is not None:
                fields["id"] = client_id
            if groups is not None:
                fields["groups"] = groups
            self.say(**fields)
            self.welcome = self.hear()
            assert self.welcome["type"] == "welcome", self.welcome

    def say(self, **fields):
        self.send(json.dumps(fields) + "\n")

    def hear(self):
        line = self.line()
        return None if line is None else json.loads(line)

    def hear_message(self):
        """The next message; answers pings on the way."""
        while True:
            heard = self.hear()
            assert heard is not None, "the stream ended"
            if heard["type"] == "ping":
                self.say(type="pong")
            elif heard["type"] == "message":
                return heard
            else:
                raise AssertionError(f"instead of a message: {heard}")

    def asks(self, **fields):
        self.say(**fields)
        return self.hear()


class CountedClient(Socket):
    """A back-end that speaks the counted framing."""

    def __init__(self, node, client_id=None, groups=None, source="127.0.0.1"):
        super().__init__(node.address("tcp"), source)
        fields = {}
        if client_id is not None:
            fields["id"] = client_id
        if groups is not None:
            fields["groups"] = groups
        self.send("HELLO " + json.dumps(fields) + "\r\n")
        word, rest = self.words()[0], None
        assert word == "WELCOME", (word, rest)

    def words(self):
        line = self.line()
        if line is None:
            return None
        assert line.endswith(b"\r"), line
        return line[:-1].decode().split(" ")

    def hear_message(self):
        """(id, event, flags, payload bytes)"""
        words = self.words()
        assert words and words[0] == "MSG", words
        payload = self.exactly(int(words[4]))
        assert self.exactly(2) == b"\r\n"
        return words[1], words[2], words[3], payload


def addresses(count):
    """Loopback addresses that source-IP steering spreads over the workers."""
    return [f"127.0.{1 + i // 250}.{1 + i % 250}" for i in range(count)]


def basic(key):
    return "Basic " + base64.b64encode(b"user:" + key.encode()).decode()


def run(command, **more):
    """A command of the binary to its end; (status, standard output, standard error)."""
    done = subprocess.run([BINARY, *command], stdin=more.pop("stdin", subprocess.DEVNULL),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=DEADLINE_S,
                          check=False, **more)
    return done.returncode, done.stdout.decode(), done.stderr.decode()
