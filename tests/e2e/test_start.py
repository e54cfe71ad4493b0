"""Around the start: the ports file wherever it is put, addresses that are taken, limits that are
low, a stop before the node has started."""

import json
import os
import signal
import socket
import stat
import subprocess
import tempfile
import time
import unittest

from support import SANITIZED, Node, run, wait_until


class PortsFile(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="ringpost-ports-")
        self.path = os.path.join(self.folder.name, "ports.json")

    def tearDown(self):
        self.folder.cleanup()

    def node(self, path=None):
        return Node("--tcp", "127.0.0.1:0", "--web", "127.0.0.1:0", "--api", "127.0.0.1:0",
                    "--workers", "1", "--ports-file", path or self.path, defaults=False, wait=False)

    def names(self):
        return sorted(os.listdir(self.folder.name))

    def check_written(self, node):
        node.wait_log("event=started")
        self.assertTrue(stat.S_ISREG(os.lstat(self.path).st_mode))
        with open(self.path, encoding="utf-8") as file:
            self.assertEqual(set(json.load(file)), {"tcp", "web", "api"})

    def test_a_link_is_replaced_and_not_followed(self):
        victim = os.path.join(self.folder.name, "victim")
        for target in (victim, os.path.join(self.folder.name, "nowhere")):
            with open(victim, "w", encoding="utf-8") as file:
                file.write("precious")
            os.symlink(target, self.path)
            with self.node() as node:
                self.check_written(node)
                self.assertEqual(self.names(), ["ports.json", "victim"])
            with open(victim, encoding="utf-8") as file:
                self.assertEqual(file.read(), "precious")
            self.assertEqual(self.names(), ["victim"])

    def test_links_under_names_that_can_be_foreseen(self):
        """Whoever guesses the process id gains nothing."""
        victim = os.path.join(self.folder.name, "victim")
        with open("/proc/sys/kernel/ns_last_pid", encoding="ascii") as file:
            last = int(file.read())
        for pid in range(last, last + 400):
            os.symlink(victim, f"{self.path}.{pid}")
        with self.node() as node:
            self.check_written(node)
        self.assertFalse(os.path.exists(victim))

    def test_a_file_over_the_limit_of_files_is_refused(self):
        """The kernel sends SIGXFSZ for it, which ends a process that does not ignore it."""
        node = Node("--tcp", "127.0.0.1:0", "--web", "127.0.0.1:0", "--api", "127.0.0.1:0",
                    "--workers", "1", "--ports-file", self.path, defaults=False, wait=False,
                    limits={"fsize": 16})
        self.assertEqual(node.wait_exit(), 1)
        self.assertEqual(self.names(), [])
        node.folder.cleanup()

    def test_what_is_no_file_is_refused_at_once(self):
        fifo = os.path.join(self.folder.name, "fifo")
        os.mkfifo(fifo)
        link = os.path.join(self.folder.name, "link")
        os.symlink(fifo, link)
        for path, word in ((fifo, "FIFO"), (link, "FIFO"), (self.folder.name, "folder"),
                           ("/dev/null", "device"),
                           (os.path.join(self.folder.name, "no", "file"), "No such file")):
            node = self.node(path)
            self.assertEqual(node.wait_exit(), 1)
            self.assertRegex(node.log(), rf"--ports-file .*{word}.*: name a file in a folder")
            node.folder.cleanup()
        self.assertTrue(stat.S_ISCHR(os.stat("/dev/null").st_mode))
        self.assertEqual(self.names(), ["fifo", "link"])

    def test_the_file_of_a_later_node_stays(self):
        first = self.node()
        self.check_written(first)
        with self.node() as second:
            second.wait_log("event=started")
            first.stop()
            with open(self.path, encoding="utf-8") as file:
                address = json.load(file)["tcp"][0]
            self.assertIn(f"address={address}", second.log())
        self.assertEqual(self.names(), [])


class TakenAddress(unittest.TestCase):
    def test_one_that_is_free_a_moment_later(self):
        """As after kill -9, when the kernel still takes the dead node's rings apart."""
        holder = socket.create_server(("127.0.0.1", 0))
        port = holder.getsockname()[1]
        with Node("--tcp", f"127.0.0.1:{port}", wait=False) as node:
            node.wait_log("event=address_busy")
            holder.close()
            node.wait_started()
            self.assertEqual(node.address("tcp")[1], port)

    def test_one_that_stays_taken(self):
        with socket.create_server(("127.0.0.1", 0)) as holder:
            port = holder.getsockname()[1]
            status, _, error = run(["serve", "--tcp", f"127.0.0.1:{port}", "--web", "off", "--api",
                                    "127.0.0.1:0", "--workers", "1"])
            self.assertEqual(status, 1)
            self.assertIn("another program listens there", error)

    def test_restart_after_kill_9(self):
        first = Node("--tcp", "127.0.0.1:0")
        port = first.address("tcp")[1]
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(300)]
        wait_until("all are there", lambda: first.stats()["totals"]["connections"] > 300)
        first.kill()
        with Node("--tcp", f"127.0.0.1:{port}") as second:
            self.assertEqual(second.address("tcp")[1], port)
        for client in clients:
            client.close()


def cpu_seconds(node):
    """Of all threads, so far."""
    with open(f"/proc/{node.pid}/stat", encoding="ascii") as file:
        words = file.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


class StopBeforeTheStart(unittest.TestCase):
    """A start that waits ends when it is asked to, in the middle of the wait."""

    def ends(self, node, number):
        asked = time.monotonic()
        node.signal(number)
        self.assertEqual(node.wait_exit(), 0, node.log())
        took = time.monotonic() - asked
        name = signal.Signals(number).name
        self.assertIn(f'event=stopped reason="{name} before the start"', node.log())
        self.assertNotIn("event=started", node.log())
        node.folder.cleanup()
        return took

    def test_while_it_waits_for_an_address(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with socket.create_server(("127.0.0.1", 0)) as holder:
                node = Node("--tcp", f"127.0.0.1:{holder.getsockname()[1]}", wait=False)
                node.wait_log("event=address_busy")
                self.assertLess(self.ends(node, number), 1.5)

    def test_while_it_waits_for_locked_memory(self):
        """The kernel counts rings as locked memory since Linux 6.14. The limit falls when the node
        has looked at it and opens no ring yet."""
        release = tuple(int(part) for part in os.uname().release.split(".")[:2])
        if release < (6, 14):
            self.skipTest("no ring needs locked memory")
        bound = ()
        if os.geteuid() == 0:  # root is not bound but without this capability
            bound = ("setpriv", "--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock")
        with socket.create_server(("127.0.0.1", 0)) as holder:
            node = Node("--tcp", f"127.0.0.1:{holder.getsockname()[1]}", wait=False, through=bound)
            node.wait_log("event=address_busy")
            subprocess.run(["prlimit", f"--pid={node.pid}", "--memlock=1:1"], check=True)
        node.wait_log("event=io_uring")
        before = cpu_seconds(node)
        time.sleep(0.5)  # what is measured is that it waits and does nothing meanwhile
        self.assertIsNone(node.process.poll(), node.log())
        self.assertLess(cpu_seconds(node) - before, 0.25)
        self.assertLess(self.ends(node, signal.SIGTERM), 1.5)


@unittest.skipIf(SANITIZED, "sanitizers take address space and stack as they like")
class LowLimits(unittest.TestCase):
    """What is short is named, whatever asked for it."""

    def outcome(self, limits):
        """"started", or the last line of a node that did not."""
        node = Node(wait=False, limits=limits)
        wait_until("it starts or ends", lambda: node.process.poll() is not None or
                   os.path.exists(node.ports_path))
        if node.process.poll() is None:
            node.stop()
            return "started"
        self.assertEqual(node.process.returncode, 1, node.log())
        line = node.log().splitlines()[-1]
        node.folder.cleanup()
        return line

    def test_address_space(self):
        began = time.monotonic()
        lines = [self.outcome({"as": megabytes * 1000000}) for megabytes in range(24, 58, 2)]
        self.assertLess(time.monotonic() - began, 20)  # nobody would give it back
        failed = [line for line in lines if line != "started"]
        self.assertIn("started", lines)
        self.assertGreater(len(failed), 3)
        for line in failed:
            self.assertRegex(line, "RLIMIT_AS of [0-9]+ bytes .*LimitAS")

    def test_address_space_that_threads_would_use_up(self):
        """Whatever starts serves: no arena of one thread takes what the others need."""
        for megabytes in (162, 165, 167):
            self.serves({"as": megabytes * 1000000})

    def test_hardly_enough_address_space(self):
        said = [self.outcome({"as": megabytes * 1000000}) for megabytes in range(42, 54)]
        self.assertIn("started", said)
        # The first may start or not: where things lie in memory is chance.
        for megabytes in range(43 + said.index("started"), 55):
            self.serves({"as": megabytes * 1000000})

    def serves(self, limits):
        with self.subTest(limits=limits), Node(limits=limits) as node:
            self.assertEqual([node.push("nobody", 1)[0] for _ in range(20)], [404] * 20)

    def test_data(self):
        self.assertRegex(self.outcome({"data": 11000000}), "RLIMIT_DATA of .*LimitDATA")

    def test_a_small_stack(self):
        with Node("--config", "/dev/null", limits={"stack": 131072}) as node:
            node.signal(signal.SIGHUP)
            node.wait_log("event=reloaded")
            self.assertEqual(node.push("nobody", 1)[0], 404)

    def test_a_stack_that_is_too_small(self):
        self.assertRegex(self.outcome({"stack": 65536}), "RLIMIT_STACK .*LimitSTACK")


if __name__ == "__main__":
    unittest.main()
