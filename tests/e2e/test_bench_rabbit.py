"""The load tool through a queue of RabbitMQ: what it finds is right, and it sees what is wrong."""

import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import unittest

import rabbit_server
import test_bench
import test_bench_lies
from support import BINARY, DEADLINE_S, wait_until

FEW = ("--clients", "20", "--producers", "2", "--inflight", "32")
STEADY = ("amqp", *FEW, "--rate", "500", "--seconds", "0.2", "--json")  # five for each client
PRELOAD = ("amqp", *FEW, "--preload", "100", "--json")
LIES = {  # what is told of each, with the queue filled before or not
    "drop": ["1 accepted messages did not arrive"],
    "twice": ["1 messages arrived more than once"],
    "swap": ["1 messages arrived out of order"],
    "stray": ["1 accepted messages did not arrive", "1 messages arrived at the wrong client"],
    "flip": ["1 accepted messages did not arrive", "1 messages arrived damaged"],
}


class Words(unittest.TestCase):
    def test_what_it_is_not_for(self):
        for options, word in ((("unicast", "--amqp", "127.0.0.1:1"), "are of amqp"),
                              (("amqp", "--amqp", "192.0.2.1:5672"), "this machine only"),
                              (("amqp", "--preload", "10", "--rate", "5"), "without --rate"),
                              (("amqp-max", "--preload", "10"), "--preload is of amqp"),
                              (("amqp", "--batch", "10"), "does not go with --batch"),
                              (("amqp", "--nodes", "2"), "--nodes is of"),
                              (("amqp", "--tcp", "127.0.0.1:1", "--api", "127.0.0.1:2"),
                               "starts its node")):
            with self.subTest(options=options):
                done = subprocess.run([BINARY, "bench", *options], capture_output=True, text=True,
                                      timeout=DEADLINE_S, check=False)
                self.assertEqual(done.returncode, 2)
                self.assertIn(word, done.stderr)

    def test_a_broker_that_is_not_there(self):
        done = subprocess.run([BINARY, "bench", "amqp", "--amqp", "127.0.0.1:1"],
                              capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("no connection to the broker", done.stderr)


@unittest.skipUnless(rabbit_server.HAVE, "rabbitmq-server or pika is missing")
class Rabbit(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rabbit = cls.enterClassContext(rabbit_server.Rabbit())
        cls.at = ("--amqp", f"127.0.0.1:{cls.rabbit.port}")

    def test_at_a_rate(self):
        for transport in ((), test_bench.WS, test_bench.SIO):
            with self.subTest(transport):
                status, figures = test_bench.bench("amqp", "--clients", "100", "--rate", "500",
                                                   "--seconds", "1", *transport, *self.at)
                self.assertEqual((status, figures["faults"]), (0, []))
                self.assertEqual((figures["accepted"], figures["delivered"]), (500, 500))
                self.assertGreater(figures["latency_p50_us"], 0)
                self.assertGreater(figures["answer_p50_us"], 0)
                self.assertGreater(figures["server_us_per_message"], 0)
                self.assertGreater(figures["broker_us_per_message"], 0)

    def test_what_was_in_the_queue_before(self):
        status, figures = test_bench.bench("amqp", "--clients", "100", "--preload", "5000",
                                           *self.at)
        self.assertEqual((status, figures["faults"]), (0, []))
        self.assertEqual((figures["accepted"], figures["delivered"]), (5000, 5000))
        self.assertAlmostEqual(figures["messages_per_s"] * figures["drain_s"], 5000, delta=100)

    def test_the_highest_rate(self):
        status, figures = test_bench.bench("amqp-max", "--clients", "50", "--seconds", "0.3",
                                           *self.at)
        self.assertEqual((status, figures["faults"]), (0, []))
        self.assertGreater(figures["highest_rate"], 100)

    def test_the_queue_is_gone_afterwards(self):
        test_bench.bench("amqp", *FEW, "--preload", "10", *self.at)
        connection = self.rabbit.connect()
        with self.assertRaisesRegex(rabbit_server.pika.exceptions.ChannelClosedByBroker, "404"):
            connection.channel().queue_declare("ringpost-bench", passive=True)
        connection.close()

    def test_each_lie_is_counted_as_what_it_is(self):
        for options in (STEADY, PRELOAD):
            status, out = test_bench_lies.bench(*options, *self.at)
            self.assertEqual((status, json.loads(out)["faults"]), (0, []))
            for lie, faults in LIES.items():
                with self.subTest(lie, options=options):
                    status, out = test_bench_lies.bench(*options, *self.at, lies=(lie,))
                    self.assertEqual((status, json.loads(out)["faults"]), (1, faults))

    def test_a_broker_of_its_own_that_cannot_start(self):
        with tempfile.TemporaryDirectory(prefix="ringpost-e2e-") as folder:
            done = subprocess.run([BINARY, "bench", "amqp"], capture_output=True, text=True,
                                  env={"PATH": folder, "TMPDIR": folder}, timeout=DEADLINE_S,
                                  check=False)  # without the port mapper
            self.assertEqual(done.returncode, 1)
            said = re.search(r"rabbitmq-server did not start; .* (\S+)\n", done.stderr)
            self.assertTrue(os.path.exists(said[1]), done.stderr)

    def test_a_broker_of_its_own_that_ends(self):
        pids = []

        def end(process):
            def broker():
                path = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
                pids[:] = [int(pid) for pid in path.read_text(encoding="ascii").split()]
                names = {}
                for pid in pids:
                    line = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
                    names["node" if b"\0serve\0" in line else
                          "beam" if b"beam.smp" in line else "other"] = pid
                sockets = len(os.listdir(f"/proc/{process.pid}/fd"))
                return names.get("beam") if "node" in names and sockets > 30 else None
            os.kill(wait_until("there is traffic", broker, rabbit_server.START_S), signal.SIGKILL)

        status, figures = test_bench.bench("amqp", "--clients", "50", "--rate", "500", "--seconds",
                                           "60", meanwhile=end)
        self.assertEqual(status, 1)
        self.assertIn("the broker ended", "\n".join(figures["faults"]))
        for pid in pids:  # with the port mapper
            self.assertFalse(os.path.exists(f"/proc/{pid}"), pid)


if __name__ == "__main__":
    unittest.main()
