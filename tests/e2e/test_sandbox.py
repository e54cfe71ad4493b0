"""The sandbox of a running node: in force in every thread, and in nobody's way."""

import os
import re
import signal
import unittest

from support import SANITIZED, JsonClient, Node

STATUS = re.compile(r"^(NoNewPrivs|Seccomp):\s+(\d+)$", re.M)


def confinement(node):
    """{(thread's name, no new privileges, mode of seccomp)} of all threads of the node."""
    found = set()
    for task in os.listdir(f"/proc/{node.pid}/task"):
        with open(f"/proc/{node.pid}/task/{task}/status", encoding="ascii") as file:
            text = file.read()
        name = re.match(r"Name:\t(.*)", text)[1]
        values = dict(STATUS.findall(text))
        found.add((name, values["NoNewPrivs"], values["Seccomp"]))
    return found


class Sandbox(unittest.TestCase):
    @unittest.skipIf(SANITIZED, "sanitizers make calls of their own: the node says so, see below")
    def test_it_is_on_in_every_thread_and_a_reload_and_a_drain_work(self):
        with Node("--config", "/dev/null") as node, JsonClient(node, "a") as till:
            node.wait_log("event=sandbox_on")
            threads = confinement(node)
            self.assertEqual({thread[1:] for thread in threads}, {("1", "2")}, threads)
            names = {thread[0] for thread in threads}
            self.assertLessEqual({"ringpost", "ringpost-log", "worker-0", "worker-1"}, names)
            node.signal(signal.SIGHUP)
            node.wait_log("event=reloaded")
            self.assertEqual(node.push("a", 1)[0], 202)
            self.assertEqual(till.hear_message()["data"], 1)
            self.assertEqual(node.metric("ringpost_sandbox_refused_total"), 0)

    def test_it_can_be_off_and_says_so(self):
        with Node("--sandbox", "off") as node:
            node.wait_log("level=warn event=sandbox_off reason=\"--sandbox off\"")
            self.assertEqual({thread[2] for thread in confinement(node)}, {"0"})

    @unittest.skipUnless(SANITIZED, "this build can be in it")
    def test_a_build_that_cannot_be_in_it_says_why(self):
        with Node() as node:
            node.wait_log("event=sandbox_off reason=\"this build has a sanitizer")


if __name__ == "__main__":
    unittest.main()
