"""A Redis Cluster for the end-to-end tests: nodes on ports of their own, joined by redis-cli."""

import contextlib
import subprocess

from redis_server import Redis, Refusal
from support import free_port, wait_until

SLOTS = 16384


def slot_of(channel):
    """CRC16, bit by bit, of the channel or its tag."""
    tag = channel
    if "{" in channel:
        rest = channel.split("{", 1)[1]
        if "}" in rest and not rest.startswith("}"):
            tag = rest.split("}", 1)[0]
    crc = 0
    for byte in tag.encode():
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc % SLOTS


class RedisCluster:
    def __init__(self, replicas=0, shards=3, password=None):
        self.password = password
        self.stack = contextlib.ExitStack()
        self.nodes = [self.stack.enter_context(self.node()) for _ in range(shards * (1 + replicas))]
        more = ["-a", password, "--no-auth-warning"] if password else []
        places = [f"127.0.0.1:{node.port}" for node in self.nodes]
        done = subprocess.run(["redis-cli", *more, "--cluster", "create", *places,
                               "--cluster-replicas", str(replicas), "--cluster-yes"],
                              capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        wait_until("all agree on every slot", self.agrees)

    def node(self):
        """A node whose bus has a free port as well; both may be taken before it has them."""
        for _ in range(4):
            with contextlib.suppress(AssertionError):
                return self.node_once()
        return self.node_once()

    def node_once(self):
        flags = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000",
                 "--cluster-port", str(free_port()), "--repl-diskless-sync-delay", "0"]
        if self.password:
            flags += ["--masterauth", self.password]
        return Redis(*flags, password=self.password)

    def lines(self, node):
        """What it says of all: id, place, flags, slots."""
        found = []
        for line in node.ask("CLUSTER", "NODES").splitlines():
            words = line.split(" ")
            found.append((words[0], int(words[1].split("@")[0].rsplit(":", 1)[1]),
                          words[2].split(","), [one for one in words[8:] if one[0] != "["]))
        return found

    def owners(self, node):
        """The port of each slot's primary, as the node sees it."""
        owners = {}
        for _, port, _, ranges in self.lines(node):
            for one in ranges:
                first, _, last = one.partition("-")
                for slot in range(int(first), int(last or first) + 1):
                    owners[slot] = port
        return owners

    def alive(self):
        return [node for node in self.nodes if node.process.poll() is None and not node.paused]

    def agrees(self):
        with contextlib.suppress(OSError, EOFError, Refusal):
            views = [self.owners(node) for node in self.alive()]
            states = [node.ask("CLUSTER", "INFO") for node in self.alive()]
            return len(views[0]) == SLOTS and all(view == views[0] for view in views) and \
                all("cluster_state:ok" in state for state in states)
        return False

    def primaries(self):
        ports = set(self.owners(self.alive()[0]).values())
        return [node for node in self.nodes if node.port in ports]

    def at(self, channel):
        """The node that has the channel."""
        port = self.owners(self.alive()[0])[slot_of(channel)]
        return next(node for node in self.nodes if node.port == port)

    def id_of(self, node):
        return node.ask("CLUSTER", "MYID")

    def move(self, slot, to):
        """The slot, which has no keys, goes to that node; as redis-cli moves it."""
        source = next(node for node in self.nodes
                      if node.port == self.owners(self.alive()[0])[slot])
        to.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", self.id_of(source))
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", self.id_of(to))
        for node in (to, source, *self.alive()):
            with contextlib.suppress(Refusal):  # to a replica
                node.ask("CLUSTER", "SETSLOT", slot, "NODE", self.id_of(to))

    def give(self, slots, to):
        """Many at once, without a word to whom they leave."""
        ident = self.id_of(to)
        for node in (to, *(one for one in self.nodes if one is not to)):
            with node.connect() as connection:
                for slot in slots:
                    connection.send("CLUSTER", "SETSLOT", slot, "NODE", ident)
                for slot in slots:
                    with contextlib.suppress(Refusal):  # a replica by now
                        connection.reply()

    def reshard(self, source, to, count):
        more = ["-a", self.password, "--no-auth-warning"] if self.password else []
        done = subprocess.run(
            ["redis-cli", *more, "--cluster", "reshard", f"127.0.0.1:{to.port}", "--cluster-from",
             self.id_of(source), "--cluster-to", self.id_of(to), "--cluster-slots", str(count),
             "--cluster-yes"], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def url(self):
        who = f":{self.password}@" if self.password else ""
        return "redis+cluster://" + who + ",".join(
            f"127.0.0.1:{node.port}" for node in self.nodes[:2])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.close()
