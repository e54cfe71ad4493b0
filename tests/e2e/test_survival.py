"""What the environment refuses must not end the node: descriptors, memory, parts of the kernel."""

import json
import os
import resource
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

from support import (BINARY, DEADLINE_S, SANITIZED, JsonClient, Node, Socket, free_port, run,
                     wait_until)


def connect_idle(address, count, first_port=0):
    """Opens `count` connections from one address and says nothing on them. With very many the
    kernel takes long to find free ports by itself; `first_port` counts upwards."""
    sockets = []
    port = first_port
    while len(sockets) < count:
        one = socket.socket()
        if first_port:
            port += 1
            try:
                one.bind(("127.9.9.9", port))
            except OSError:
                one.close()
                continue
        one.connect(address)
        sockets.append(one)
    return sockets


def ended(sockets):
    """How many of them the node has closed."""
    poll = select.poll()
    for one in sockets:
        poll.register(one, select.POLLIN)
    return len(poll.poll(0))


class Crowd:
    """Idle connections from one address, more than one process may hold: children hold them."""

    CHILDREN = 2

    def __init__(self, address, count):
        self.pids, self.connected = [], 0
        self.hold_read, self.hold_write = os.pipe()
        told_read, told_write = os.pipe()
        for index in range(self.CHILDREN):
            share = count // self.CHILDREN + (index < count % self.CHILDREN)
            pid = os.fork()
            if pid == 0:
                self.child(address, share, 10000 + index * 20000, told_write)
            self.pids.append(pid)
        os.close(self.hold_read)
        os.close(told_write)
        with os.fdopen(told_read) as told:
            self.connected = sum(int(line) for line in told)

    def child(self, address, share, first_port, told):
        status = 1
        try:
            os.close(self.hold_write)
            sockets = connect_idle(address, share, first_port)
            os.write(told, b"%d\n" % len(sockets))
            os.close(told)
            os.read(self.hold_read, 1)
            status = 0
        finally:
            os._exit(status)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.hold_write)
        for pid in self.pids:
            os.waitpid(pid, 0)


class Descriptors(unittest.TestCase):
    """More connections from one address than there are places for, none of which says a word."""

    def flood(self, kind, count, *flags, workers=1, kept=None, limits=None):
        with Node(*flags, "--hello-timeout", "300", workers=workers, limits=limits) as node:
            sockets = connect_idle(node.address(kind), count)
            try:
                def settled():
                    gone = ended(sockets)
                    return gone > 0 and gone == sum(
                        value for name, value in node.metrics().items()
                        if name.startswith("ringpost_refused_total"))
                wait_until("each connection is kept, or refused and counted", settled)
                if kept is not None:
                    self.assertEqual(count - ended(sockets), kept)
                # Operators get in, all 64 of them.
                operators = connect_idle(node.address("api"), 62)
                self.assertEqual(node.api("GET", "/readyz")[0], 200)
                self.assertEqual(ended(operators), 0)
                for one in operators:
                    one.close()
            finally:
                for one in sockets:
                    one.close()
            wait_until("all are gone", lambda: node.stats()["totals"]["connections"] <= 1)
            with JsonClient(node, "late") as late:
                self.assertEqual(node.push("late", 1)[0], 202)
                self.assertEqual(late.hear()["data"], 1)

    def test_more_connections_than_descriptors(self):
        for kind in ("tcp", "web"):
            for workers in (1, 2):
                with self.subTest(kind=kind, workers=workers):
                    self.flood(kind, 1100, workers=workers, limits={"nofile": 1024})

    def test_the_limit_just_under_that_of_descriptors(self):
        for most in (950, 1000, 1023):
            with self.subTest(max_connections=most):
                self.flood("tcp", 1100, "--max-connections", str(most), limits={"nofile": 1024})

    def test_a_limit_that_one_worker_cannot_hold(self):
        self.flood("tcp", 700, "--max-connections", "800", "--steer", "ip", workers=2,
                   limits={"nofile": 512})

    @unittest.skipIf(SANITIZED, "as many connections as a process may have")
    def test_all_defaults_and_more_than_the_descriptors(self):
        limit = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 20000)
        with Node("--hello-timeout", "300", limits={"nofile": limit}) as node:
            with Crowd(node.address("tcp"), limit + 13) as crowd:
                self.assertEqual(crowd.connected, limit + 13)
                # Beside the spare places each connection may need a descriptor of its own.
                most = node.metric("ringpost_connections_max")
                self.assertLessEqual(most, limit - 65)
                wait_until("those that are too many are refused", lambda: node.metric(
                    "ringpost_refused_total", reason="max_connections") == limit + 13 - most)
                operators = connect_idle(node.address("api"), 62)
                self.assertEqual(node.api("GET", "/readyz")[0], 200)
                for one in operators:
                    one.close()
            wait_until("all are gone", lambda: node.stats()["totals"]["connections"] <= 1)
            with JsonClient(node, "late") as late:
                self.assertEqual(node.push("late", 1)[0], 202)
                self.assertEqual(late.hear()["data"], 1)


@unittest.skipIf(shutil.which("strace") is None, "apt-get install strace")
@unittest.skipIf(SANITIZED, "a leak check does not work under strace")
class Rings(unittest.TestCase):
    """io_uring refused in part, from the start and later."""

    # strace injects an error by making a call of no number, which the sandbox would refuse itself.
    OFF = ["--web", "off", "--api", "off", "--tcp", "127.0.0.1:0", "--workers", "2",
           "--sandbox", "off"]

    URING = "io_uring_enter,io_uring_register,io_uring_setup"

    def inject(self, what, *flags, calls=URING):
        return subprocess.run(
            ["strace", "-f", "-o", "/dev/null", "-e", f"trace={calls}", "-e", f"inject={what}",
             BINARY, "serve", *self.OFF, *flags],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            timeout=DEADLINE_S, check=False, text=True)

    def test_refused_at_the_start(self):
        for call in ("setup", "enter", "register"):
            for error in ("EPERM", "ENOSYS"):
                with self.subTest(call=call, error=error):
                    done = self.inject(f"io_uring_{call}:error={error}")
                    self.assertEqual(done.returncode, 1, done.stderr)
                    self.assertIn(f"io_uring_{call} is refused", done.stderr)
                    self.assertIn("seccomp", done.stderr)
                    self.assertNotIn("event=started", done.stderr)

    def test_refused_in_the_middle(self):
        """An idle node makes no third call; the first is that of the probe."""
        for error in ("EPERM", "EBADF"):
            with self.subTest(error=error):
                done = self.inject(f"io_uring_enter:error={error}:when=2+")
                self.assertEqual(done.returncode, 1, done.stderr)
                last = done.stderr.splitlines()[-1]
                self.assertRegex(last, "event=ring_failed call=io_uring_enter error=.* remedy=")

    def refuse_now(self, node, error, call="io_uring_enter"):
        """The calls of a node that is running fail from now on."""
        strace = subprocess.Popen(
            ["strace", "-f", "-o", "/dev/null", "-e", f"trace={call}",
             "-e", f"inject={call}:error={error}", "-p", str(node.pid)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.addCleanup(strace.stderr.close)
        self.addCleanup(strace.wait)
        self.addCleanup(strace.kill)
        self.assertIn(b"attached", strace.stderr.readline())

    def test_a_node_that_serves_ends_and_says_why(self):
        node = Node("--log-format", "json", "--sandbox", "off")
        self.addCleanup(node.kill)
        with JsonClient(node, "a") as till:
            self.assertEqual(node.push("a", 1)[0], 202)
            self.assertEqual(till.hear()["data"], 1)
            self.refuse_now(node, "EACCES")
            till.say(type="ping")
            self.assertEqual(node.wait_exit(), 1)
        log = node.log()
        self.assertNotIn("sandbox_refused", log)
        last = json.loads(log.splitlines()[-1])
        self.assertEqual((last["event"], last["call"]), ("ring_failed", "io_uring_enter"))
        self.assertFalse(os.path.exists(node.ports_path))

    def test_a_node_that_cannot_wait_for_signals_does_not_start(self):
        for call in ("rt_sigtimedwait", "rt_sigprocmask"):
            for error in ("EPERM", "ENOSYS"):
                with self.subTest(call=call, error=error):
                    done = self.inject(f"{call}:error={error}", calls=call)
                    self.assertEqual(done.returncode, 1, done.stderr)
                    self.assertIn(f"ringpost: {call} is refused", done.stderr)
                    self.assertNotIn("event=started", done.stderr)

    def test_a_node_that_cannot_wait_for_signals_any_more_ends(self):
        node = Node("--sandbox", "off")
        self.addCleanup(node.kill)
        self.refuse_now(node, "EPERM", "rt_sigtimedwait")
        self.assertEqual(node.wait_exit(), 1)
        self.assertRegex(node.log().splitlines()[-1],
                         "event=signals_unheard call=rt_sigtimedwait error=.* remedy=")
        self.assertFalse(os.path.exists(node.ports_path))

    def test_a_wait_that_fails_for_a_moment_ends_nothing(self):
        node = Node("--sandbox", "off")
        self.addCleanup(node.kill)
        self.refuse_now(node, "EINTR", "rt_sigtimedwait")
        with JsonClient(node, "a") as till:
            self.assertEqual(node.push("a", 1)[0], 202)
            self.assertEqual(till.hear_message()["data"], 1)

    def test_sigterm_is_heard_meanwhile(self):
        node = Node("--sandbox", "off")
        self.addCleanup(node.kill)
        self.refuse_now(node, "EAGAIN")
        node.signal(signal.SIGTERM)
        self.assertEqual(node.wait_exit(), 1)
        self.assertIn("event=ring_failed", node.log().splitlines()[-1])


class Start(unittest.TestCase):
    def test_closed_standard_streams(self):
        """What is printed must never go to a socket that was given the stream's number."""
        with Node() as node:
            host, port = node.address("tcp")
            for closed in ("0<&-", ">&-", "2>&-", "0<&- >&- 2>&-"):
                for command in (f"listen --tcp {host}:{port} --id c --count 1", "--version",
                                "check-config"):
                    with self.subTest(closed=closed, command=command):
                        done = subprocess.Popen(f"exec '{BINARY}' {command} {closed}", shell=True,
                                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                        if command.startswith("listen"):
                            wait_until("it is there or gone", lambda: done.poll() is not None
                                       or node.api("GET", "/v1/clients/c")[0] == 200)
                            node.push("c", 1)
                        out, _ = done.communicate(timeout=DEADLINE_S)
                        if ">&-" in closed and "2>&-" != closed:
                            self.assertNotEqual(done.returncode, 0)
                        elif command.startswith("listen"):
                            self.assertEqual(done.returncode, 0)
                            self.assertIn(b"1", out)
            # Nothing but what listen says as a client has reached the node.
            self.assertEqual(node.metric("ringpost_client_errors_total"), 0)

    def test_serve_without_standard_streams(self):
        with Node(closed=True) as node, JsonClient(node, "a") as till:
            self.assertEqual(node.push("a", 1)[0], 202)
            self.assertEqual(till.hear()["data"], 1)

    def test_config_that_is_no_file(self):
        with Node() as node:
            fifo = os.path.join(node.folder.name, "fifo")
            os.mkfifo(fifo)
            huge = os.path.join(node.folder.name, "huge")
            with open(huge, "wb") as file:
                file.truncate(1 << 40)
            for path, why in ((fifo, "it is no file"), (node.folder.name, "Is a directory"),
                              (huge, "larger than 1 MiB"), ("/dev/zero", "larger than 1 MiB")):
                with self.subTest(path=path):
                    for command in ("serve", "check-config"):
                        status, _, said = run([command, "--config", path])
                        self.assertEqual(status, 1, said)
                        self.assertIn(why, said)

    def test_config_that_becomes_a_fifo(self):
        with Node() as first:
            path = os.path.join(first.folder.name, "conf")
            with open(path, "w", encoding="utf-8") as file:
                file.write("log-level = info\n")
            with Node("--config", path) as node:
                os.unlink(path)
                os.mkfifo(path)
                node.signal(signal.SIGHUP)
                node.wait_log("event=reload_refused.*no file")

    def test_both_families_on_one_port(self):
        port = free_port()
        for first, second in (("0.0.0.0", "[::]"), ("[::]", "0.0.0.0"), ("[::]", "127.0.0.1")):
            with self.subTest(first=first), \
                    Node("--tcp", f"{first}:{port}", "--tcp", f"{second}:{port}") as node:
                for host in ("127.0.0.1", "::1"):
                    with Socket((host, port)) as till:
                        till.send('{"type":"hello"}\n')
                        self.assertEqual(json.loads(till.line())["type"], "welcome")
        # Alone it takes both.
        with Node("--tcp", f"[::]:{port}"), Socket(("127.0.0.1", port)) as till:
            till.send('{"type":"hello"}\n')
            self.assertEqual(json.loads(till.line())["type"], "welcome")
        for pair in (("0.0.0.0", "127.0.0.1"), ("[::1]", "[::]"), ("127.0.0.1", "127.0.0.1")):
            status, _, said = run(["serve", "--tcp", f"{pair[0]}:{port}",
                                   "--web", f"{pair[1]}:{port}", "--api", "off"])
            self.assertEqual(status, 1)
            self.assertIn("is taken by --tcp", said)


@unittest.skipIf(os.getuid() != 0 or shutil.which("setpriv") is None,
                 "only root can be another user")
class LockedMemory(unittest.TestCase):
    """RLIMIT_MEMLOCK is for all processes of a user, and root is not bound by it."""

    def start(self, binary, workers, uid=65534, memlock=8 << 20):
        node = subprocess.Popen(
            ["setpriv", "--reuid", str(uid), "--regid", "65534", "--clear-groups",
             "prlimit", f"--memlock={memlock}", "--nofile=4096",
             binary, "serve", "--workers", str(workers), "--tcp", "127.0.0.1:0",
             "--web", "off", "--api", "off", "--log-format", "json"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(node.stderr.close)
        self.addCleanup(node.wait)
        self.addCleanup(node.kill)
        said = ""
        for line in node.stderr:
            said += line
            if '"event":"started"' in line:
                break
        return said

    def test_nodes_of_one_user_share_it(self):
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            binary = shutil.copy(BINARY, folder)
            for workers in (2, 16, 16):
                with self.subTest(workers=workers):
                    self.assertIn('"event":"started"', self.start(binary, workers))
            # Not even for the one that is tried first, when the others left less than that.
            self.assertRegex(self.start(binary, 48),
                             "for all processes of a user, has no room for (48 io_urings|an io_ur)")

    def test_a_start_that_waits_for_it_says_so(self):
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            binary = shutil.copy(BINARY, folder)
            said = self.start(binary, 8, uid=65533, memlock=300000)
            self.assertEqual(said.count('"event":"waiting_for_locked_memory"'), 1)
            self.assertIn("RLIMIT_MEMLOCK of 300000 bytes", said)


class Crashes(unittest.TestCase):
    """The last line of a node that dies of a bug."""

    def last_line(self, number, *flags, thread=None):
        node = Node(*flags, limits={"core": 0})
        self.addCleanup(node.kill)
        with JsonClient(node, "a") as till:
            self.assertEqual(node.push("a", 1)[0], 202)
            self.assertEqual(till.hear()["data"], 1)
            task = node.pid
            if thread:
                for name in os.listdir(f"/proc/{node.pid}/task"):
                    with open(f"/proc/{node.pid}/task/{name}/comm", encoding="ascii") as file:
                        if file.read().strip() == thread:
                            task = int(name)
            signal_thread(node.pid, task, number)
            self.assertEqual(node.wait_exit(), -number)
        log = node.log()
        self.assertIn("sandbox_off" if SANITIZED else "sandbox_on", log)
        self.assertNotIn("sandbox_refused", log)
        return log.splitlines()[-1]

    def test_signals(self):
        numbers = [signal.SIGABRT]
        if not SANITIZED:
            numbers += [signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL]
        for number in numbers:
            with self.subTest(signal=number):
                last = self.last_line(number, "--workers", "1", thread="worker-0")
                self.assertRegex(last, f'level=error event=crashed cause="{number.name} from '
                                       'process [0-9]+" thread=worker-0 ')
                self.assertRegex(last, r'recent="[A-Z]+ [0-9]+\.[0-9]+=-?[0-9]+@[0-9]+, ')
                self.assertIn("SEND ", last)

    def test_json_and_other_threads(self):
        for thread, name in ((None, "main"), ("ringpost-log", "other")):
            last = json.loads(self.last_line(signal.SIGABRT, "--log-format", "json",
                                             thread=thread))
            self.assertEqual((last["event"], last["thread"], last["recent"]),
                             ("crashed", name, ""))


def signal_thread(process, thread, number):
    """tgkill, which Python does not have."""
    import ctypes
    TGKILL = {"x86_64": 234, "aarch64": 131}[os.uname().machine]
    assert ctypes.CDLL(None).syscall(TGKILL, process, thread, int(number)) == 0
