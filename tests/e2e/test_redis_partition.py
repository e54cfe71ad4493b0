"""A node that is cut off from Redis by the network: nothing is refused, nothing comes back. Redis
has a network namespace of its own, with a link for each node; the one that is set down is silent.
"""

import os
import shutil
import subprocess
import unittest

from redis_server import HAVE, Redis, is_up, missed
from support import JsonClient, Node, wait_until


def address(link, end):
    """Of the range for measurements, so nobody has it."""
    return f"198.18.{os.getpid() % 128 * 2 + link}.{end}"


def ip(*words, check=True):
    return subprocess.run(["ip", *words], capture_output=True, text=True, timeout=20, check=check)


def why_not():
    """Why there are no namespaces here; None: there are."""
    if not HAVE:
        return "there is no redis-server"
    if shutil.which("ip") is None:
        return "there is no ip (iproute2)"
    name = f"ringpost-try-{os.getpid()}"
    done = ip("netns", "add", name, check=False)
    if done.returncode != 0:
        return f"this user may not make network namespaces: {done.stderr.strip()}"
    ip("netns", "del", name)
    return None


class FarRedis(Redis):
    """One behind a link for each of so many nodes."""

    def __init__(self, links):
        super().__init__("--protected-mode", "no", start=False)
        self.space = f"ringpost-{os.getpid()}"
        self.links = [f"rp{os.getpid() % 1000000}-{number}" for number in range(links)]
        ip("netns", "add", self.space)
        try:
            ip("-n", self.space, "link", "set", "lo", "up")
            for number, link in enumerate(self.links):
                ip("link", "add", link, "type", "veth", "peer", "name", "to" + link[2:], "netns",
                   self.space)
                ip("addr", "add", address(number, 1) + "/30", "dev", link)
                ip("-n", self.space, "addr", "add", address(number, 2) + "/30", "dev",
                   "to" + link[2:])
                ip("link", "set", link, "up")
                self.up(number, True)
            self.start()
        except BaseException:
            self.__exit__()
            raise

    def up(self, number, linked):
        ip("-n", self.space, "link", "set", "to" + self.links[number][2:],
           "up" if linked else "down")

    def start(self):
        with open(os.path.join(self.folder.name, "log"), "ab") as log:
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", self.space, "redis-server", "--port", str(self.port),
                 "--bind", "0.0.0.0", "--save", "", "--dir", self.folder.name, *self.flags],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until("Redis starts", lambda: "Ready to accept" in self.log())

    def url(self, number):
        return f"redis://{address(number, 2)}:{self.port}"

    def __exit__(self, *_):
        super().__exit__()
        for link in self.links:
            ip("link", "del", link, check=False)
        ip("netns", "del", self.space)


UNAVAILABLE = 4


class Partition(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        why = why_not()
        if why:
            raise unittest.SkipTest(why)

    def test_a_node_is_cut_off(self):
        with FarRedis(2) as redis, \
                Node("--node", "a", "--redis", redis.url(0)) as a, \
                Node("--node", "b", "--redis", redis.url(1)) as b, \
                JsonClient(a, "at-a") as at_a, JsonClient(b, "at-b") as at_b:
            def reached(node, name, client, data):
                status, answer, _ = node.message(to=name, data=data)
                self.assertEqual((status, answer["state"]), (202, "queued"))
                # What was told to be unavailable may come all the same, once the network is back.
                while (heard := client.hear_message()["data"]) == UNAVAILABLE:
                    pass
                self.assertEqual(heard, data)
            wait_until("they know each other", lambda: all(
                node.metric("ringpost_redis_nodes") == 1 for node in (a, b)))
            reached(a, "at-b", at_b, 1)
            reached(b, "at-a", at_a, 2)
            redis.up(0, False)
            # Whoever is where it is pushed goes on; the other side is not known of, and that is
            # said within a second.
            reached(a, "at-a", at_a, 3)
            status, answer, _ = a.message(to="at-b", data=UNAVAILABLE)
            self.assertEqual((status, answer["error"]["code"]), (503, "cluster_unavailable"))
            reached(b, "at-b", at_b, 5)
            # Redis has not noticed yet: what is sent there is lost, and will be counted.
            self.assertEqual(b.message(to="at-a", data="lost")[1]["state"], "queued")
            wait_until("a says that it is alone", lambda: a.api("GET", "/readyz")[1].get(
                "degraded") == ["redis"])
            b.wait_log("event=redis_node_silent node=a")
            self.assertEqual(b.metric("ringpost_redis_connected"), 1)
            wait_until("a gives the connection up", lambda: not is_up(a))
            reached(a, "at-a", at_a, 6)
            redis.up(0, True)
            wait_until("a is back", lambda: is_up(a) and all(
                node.metric("ringpost_redis_nodes") == 1 for node in (a, b)))
            reached(a, "at-b", at_b, 7)
            reached(b, "at-a", at_a, 8)
            wait_until("the loss is counted", lambda: missed((a, b)) == 1)


if __name__ == "__main__":
    unittest.main()
