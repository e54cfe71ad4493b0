"""Several nodes over two servers of Redis, by chance: clients move between nodes, messages are
pushed anywhere, a server dies and comes back. Whatever was accepted reaches each session that it is
for once, or its loss is counted."""

import collections
import contextlib
import os
import random
import socket
import threading
import time
import unittest

from redis_server import HAVE, Redis, missed
from support import SANITIZED, JsonClient, Node, wait_until

FULL = os.environ.get("RINGPOST_FULL") == "1"
NODES = 3 if SANITIZED else 12 if FULL else 5
CLIENTS = 16
GROUPS = 4
SERVERS = 2
SEEDS = 20 if FULL else 1
STEPS = 300 if FULL else 150
QUIET_S = 0.5  # nothing came for so long, and nobody waits for Redis


class Session:
    """One client of one node, read by a thread of its own until it is closed."""

    def __init__(self, world, number, node):
        self.number, self.node = number, node
        self.groups = [f"g{number % GROUPS}"]
        self.client = JsonClient(node, f"c{number}", groups=self.groups)
        self.since, self.until = world.step, None
        self.heard = collections.Counter()
        self.last_s = time.monotonic()
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        with contextlib.suppress(AssertionError, OSError, ValueError):
            while (heard := self.client.hear()) is not None:
                if heard["type"] == "message":
                    self.heard[heard["id"]] += 1
                    self.last_s = time.monotonic()

    def end(self, step):
        self.until = step
        self.client.socket.shutdown(socket.SHUT_RDWR)
        self.reader.join()
        self.client.close()

    def is_for(self, push):
        return push["broadcast"] or push["to"] == f"c{self.number}" or push["group"] in self.groups


class World:
    def __init__(self, seed, nodes, servers, moves):
        self.chance = random.Random(seed)
        self.moves = moves
        self.nodes, self.servers = nodes, servers
        self.step, self.deaths, self.dead = 0, 0, None
        self.sessions, self.gone, self.pushes = {}, [], []
        for number in range(CLIENTS):
            self.sessions[number] = Session(self, number, self.chance.choice(nodes))

    def move(self):
        number = self.chance.randrange(CLIENTS)
        old = self.sessions[number]
        old.end(self.step)
        self.gone.append(old)
        self.step += 1
        self.sessions[number] = Session(self, number, self.chance.choice(self.nodes))

    def push(self):
        kind = self.chance.choice(("to", "to", "group", "broadcast"))
        push = {"id": f"m{len(self.pushes)}", "step": self.step, "to": None, "group": None,
                "broadcast": kind == "broadcast"}
        if kind == "to":
            push["to"] = f"c{self.chance.randrange(CLIENTS)}"
        elif kind == "group":
            push["group"] = f"g{self.chance.randrange(GROUPS)}"
        node = self.chance.choice(self.nodes)
        fields = {key: push[key] for key in ("id", "to", "group", "broadcast") if push[key]}
        push["node"] = node
        push["status"], push["answer"], _ = node.message(data=1, **fields)
        self.pushes.append(push)

    def warm(self):
        """Something comes from each node on each channel by each server: until then nobody knows
        what is missing."""
        for dead in self.servers:
            dead.kill()
            self.connected(SERVERS - 1)
            for node in self.nodes:
                fields = [{"broadcast": True}, *({"group": f"g{n}"} for n in range(GROUPS))]
                fields += [{"to": f"c{n}"} for n in range(CLIENTS)]
                node.api("POST", "/v1/messages", [{**one, "data": 0} for one in fields])
            dead.start()
            self.connected(SERVERS)

    def connected(self, count):
        wait_until("the nodes are connected", lambda: all(
            node.metric("ringpost_redis_connected") == count for node in self.nodes))

    def act(self):
        self.step += 1
        if self.chance.random() < self.moves:
            self.move()
        elif self.servers and self.chance.random() < 0.05:
            self.die_or_live()
        else:
            self.push()

    def die_or_live(self):
        if self.dead is not None:
            self.dead.start()
            self.dead = None
        else:
            self.dead = self.chance.choice(self.servers)
            self.dead.kill()
            self.deaths += 1

    def settle(self):
        if self.dead is not None:
            self.die_or_live()
        self.connected(SERVERS)

        def quiet():
            last_s = max(session.last_s for session in self.sessions.values())
            return time.monotonic() - last_s > QUIET_S and all(
                node.metric("ringpost_redis_waiting") == 0 for node in self.nodes)
        wait_until("nothing is under way", quiet)

    def end(self):
        for session in self.sessions.values():
            session.end(self.step + 1)


def lost_copies(world):
    """Copies that were accepted for sessions that were there all the time, and did not come: each
    is one for a channel and a node."""
    lost = set()
    for push in world.pushes:
        if push["status"] != 202:
            continue
        for session in world.sessions.values():
            if session.since < push["step"] and session.is_for(push) and \
                    session.heard[push["id"]] == 0:
                lost.add((push["id"], session.node.address("tcp")))
    return lost


@unittest.skipUnless(HAVE, "there is no redis-server")
class Many(unittest.TestCase):
    def check(self, world, before, deaths, moves):
        for session in [*world.gone, *world.sessions.values()]:
            twice = [one for one, count in session.heard.items() if count > 1]
            self.assertEqual(twice, [], f"came twice to c{session.number}")
            for push in world.pushes:
                if session.heard[push["id"]]:
                    self.assertTrue(session.is_for(push), (push, session.number))
        lost = lost_copies(world)
        # Sessions of the same node as the producer do not need Redis.
        here = {(push["id"], push["node"].address("tcp")) for push in world.pushes}
        self.assertEqual(lost & here, set(), "lost within a node")
        if not deaths:
            self.assertEqual(lost, set())
        elif not moves:
            told = {push["id"] for push in world.pushes if "cluster" in push["answer"]}
            untold = {copy for copy in lost if copy[0] not in told}
            wait_until(f"each of these is counted: {untold}",
                       lambda: len(untold) <= missed(world.nodes) - before)
        return lost

    def run_seed(self, seed, deaths=False, moves=0.0):
        with contextlib.ExitStack() as stack:
            servers = [stack.enter_context(Redis()) for _ in range(SERVERS)]
            flags = [word for server in servers for word in ("--redis", server.url())]
            nodes = [stack.enter_context(Node("--node", f"n{number}", *flags, workers=1))
                     for number in range(NODES)]
            wait_until("the nodes know each other", lambda: all(
                node.metric("ringpost_redis_nodes") == NODES - 1 for node in nodes))
            world = World(seed, nodes, servers if deaths else [], moves)
            try:
                world.warm()
                before = missed(nodes)
                for _ in range(STEPS):
                    world.act()
                world.settle()
            finally:
                world.end()
            lost = self.check(world, before, deaths, moves)
            print(f"seed {seed}: {len(world.pushes)} pushed, {len(world.gone)} moves, "
                  f"{world.deaths} deaths of a server, "
                  f"{len(lost)} copies lost, {missed(nodes) - before:.0f} counted as missed")

    def test_clients_move(self):
        for seed in range(SEEDS):
            self.run_seed(seed, moves=0.15)

    def test_a_server_dies_now_and_then(self):
        for seed in range(100, 100 + SEEDS):
            self.run_seed(seed, deaths=True)

    def test_both(self):
        """What a node misses that has only just begun to hear a channel nobody knows."""
        for seed in range(200, 200 + SEEDS):
            self.run_seed(seed, deaths=True, moves=0.15)


if __name__ == "__main__":
    unittest.main()
