"""What the tests of the store on disk share: a directory that outlives its nodes, and what slows or
fails a node's disk."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

from support import BINARY, DEADLINE_S, EXTRA_FLAGS, SANITIZED, Node, Socket, wait_until
from test_ack import NO_SILENCE, Acks

STRACE = shutil.which("strace")
HEADER_BYTES = 4096  # of a segment, before its first record


class Data:
    """The directory of a store, and the nodes that use it one after the other."""

    def __init__(self, *flags, under=None):
        self.folder = tempfile.TemporaryDirectory(prefix="ringpost-store-", dir=under)
        self.path = pathlib.Path(self.folder.name) / "data"
        self.flags, self.nodes = flags, []

    def node(self, *flags, **more):
        node = Node(*NO_SILENCE, "--data", str(self.path), *self.flags, *flags,
                    **{**more, "wait": False})
        self.nodes.append(node)
        if more.get("wait", True):
            node.wait_started()
        return node

    def segments(self):
        return sorted(self.path.glob("*.segment"))

    def refused(self, *flags):
        """Starts a node that must not start; gives its last line."""
        node = self.node(*flags, wait=False)
        status = node.wait_exit()
        log = node.log()
        assert status == 1, log
        assert "event=started" not in log and "Sanitizer" not in log, log
        return log.splitlines()[-1]

    def flip(self, path, at, bits=1):
        with open(path, "r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ bits]))

    def __enter__(self):
        return self

    def close(self):
        """Ends whatever a test has left."""
        for node in self.nodes:
            if node.process.poll() is None:
                print(node.log()[-3000:])
                node.kill()
        self.folder.cleanup()

    def __exit__(self, *_):
        self.close()


class Stored(Acks):
    def told(self, node, names, state="acked"):
        """It can be asked for, so it is safe; `pending` of the metrics counts it out before."""
        def all_are():
            return {known and known["state"] for known in fates(node, names).values()} == {state}
        wait_until(f"all are told as {state}", all_are)

    def spares(self, node):
        """The disk is not asked for more than what is to be tested."""
        wait_until("spare segments are ready",
                   lambda: node.metric("ringpost_store_spare_segments") == 2)

    def refused_by_store(self, answer):
        status, body, headers = answer
        self.assertEqual((status, body["error"]["code"]), (503, "storage_unavailable"), body)
        self.assertIn("Retry-After", headers)


def degraded(node):
    return node.api("GET", "/readyz")[1].get("degraded", [])


def http_answer(connection):
    """The next answer on it: (status, body)."""
    line = connection.line()
    assert line is not None, "the node is gone"
    status, length = int(line.split()[1]), 0
    while line := connection.line().strip():
        name, value = line.split(b":", 1)
        if name.lower() == b"content-length":
            length = int(value)
    return status, connection.exactly(length)


def fates(node, message_ids):
    """{id: its fate, or None where the node knows none}, asked for in one connection."""
    told = {}
    with Socket(node.address("api")) as asker:
        for at in range(0, len(message_ids), 200):
            some = message_ids[at:at + 200]
            asker.send("".join(f"GET /v1/messages/{one} HTTP/1.1\r\nHost: localhost\r\n\r\n"
                               for one in some))
            for one in some:
                status, body = http_answer(asker)
                assert status in (200, 404), body
                told[one] = json.loads(body) if status == 200 else None
    return told


@contextlib.contextmanager
def disk_that(node, what, call="fdatasync"):
    """While this lasts, calls of the node's store behave so, in the words of strace's inject."""
    tasks = pathlib.Path(f"/proc/{node.pid}/task")
    thread = next(task.name for task in tasks.iterdir()
                  if (task / "comm").read_text().strip() == "port-store")
    strace = subprocess.Popen(
        [STRACE, "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:{what}",
         "-p", thread],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        said = strace.stderr.readline()
        assert b"attached" in said, said
        yield
    finally:
        strace.send_signal(signal.SIGTERM)
        strace.wait(DEADLINE_S)
        strace.stderr.close()


def store_command(verb, path):
    """Runs `ringpost store`; gives its status and all that it says."""
    done = subprocess.run([BINARY, "store", verb, str(path)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DEADLINE_S,
                          check=False)
    return done.returncode, done.stdout.decode()


ONCE = SANITIZED or bool(EXTRA_FLAGS)
ONCE_WHY = "it is about the disk alone: the release run has it"
