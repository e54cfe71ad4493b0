"""A server of Redis with replicas, and three Sentinels, each in a folder of its own."""

import contextlib
import os
import shutil
import subprocess
import tempfile

from redis_server import HAVE as HAVE_REDIS
from redis_server import Connection, Redis, Refusal
from support import free_port, wait_until

HAVE = HAVE_REDIS and shutil.which("redis-sentinel") is not None
NAME = "till.main-1"


class Sentinel:
    """Ended only by its pid. `password`: of the servers; `own`: what it asks for itself."""

    def __init__(self, first, password=None, own=None, quorum=2, name=NAME):
        self.folder = tempfile.TemporaryDirectory(prefix="ringpost-sentinel-")
        self.port = free_port()
        self.own = own
        self.process = None
        lines = [f"port {self.port}", "bind 127.0.0.1", f"dir {self.folder.name}",
                 f"sentinel monitor {name} 127.0.0.1 {first.port} {quorum}",
                 f"sentinel down-after-milliseconds {name} 500",
                 f"sentinel failover-timeout {name} 2000"]
        if password:
            lines.append(f"sentinel auth-pass {name} {password}")
        if own:
            lines.append(f"requirepass {own}")
        self.file = os.path.join(self.folder.name, "sentinel.conf")
        with open(self.file, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")

    def start(self):
        with open(os.path.join(self.folder.name, "log"), "ab") as log:
            self.process = subprocess.Popen(["redis-sentinel", self.file],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def ask(self, *words):
        with Connection(self.port, self.own) as connection:
            return connection.ask(*words)

    def tries(self, *words):
        """None where it does not answer, or refuses."""
        with contextlib.suppress(OSError, Refusal, EOFError):
            return self.ask(*words)

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def fini(self):
        self.kill()
        self.folder.cleanup()


class Failover:
    """The servers, and the Sentinels; all are agreed before a test begins."""

    def __init__(self, replicas=1, password=None, own=None):
        self.password, self.own = password, own
        self.stack = contextlib.ExitStack()
        more = ["--masterauth", password] if password else []
        more += ["--repl-diskless-sync-delay", "0"]
        first = self.stack.enter_context(Redis(*more, password=password))
        self.servers = [first]
        for _ in range(replicas):
            self.servers.append(self.stack.enter_context(
                Redis(*more, "--replicaof", f"127.0.0.1 {first.port}", password=password)))
        wait_until("replicas follow", lambda: all(
            "master_link_status:up" in one.ask("INFO", "replication")
            for one in self.servers[1:]))
        self.sentinels = [Sentinel(first, password, own) for _ in range(3)]
        for one in self.sentinels:
            self.stack.callback(one.fini)
            one.start()
        wait_until("the Sentinels agree", lambda: all(map(self.knows_all, self.sentinels)))

    def knows_all(self, sentinel):
        words = sentinel.tries("SENTINEL", "MASTER", NAME) or []
        facts = dict(zip(words[::2], words[1::2]))
        return (facts.get("num-slaves"), facts.get("num-other-sentinels"),
                facts.get("flags")) == (str(len(self.servers) - 1), "2", "master")

    def url(self, name=NAME):
        who = f":{self.password}@" if self.password else ""
        return f"redis+sentinel://{who}" + ",".join(
            f"127.0.0.1:{one.port}" for one in self.sentinels) + f"/{name}"

    def first(self):
        """The server that all Sentinels which live name now; None: they do not agree."""
        named = {tuple(one.tries("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME) or ())
                 for one in self.sentinels if one.process.poll() is None}
        found = [one for one in self.servers if named == {("127.0.0.1", str(one.port))}]
        return found[0] if found else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for one in self.servers:
            if one.paused:
                one.resume()
        self.stack.close()
