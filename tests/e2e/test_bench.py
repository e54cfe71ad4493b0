"""The load tool, with little load: what it finds is right, and it sees what is wrong."""

import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

import redis_server
from stored import Data
from support import BINARY, DEADLINE_S, EXTRA_FLAGS


def bench(scenario, *options, server=(), meanwhile=None):
    """One run on a node of its own. Gives the exit status and the figures. `meanwhile` is called
    with the process."""
    command = [BINARY, "bench", scenario, "--json", *options]
    for flag in [*EXTRA_FLAGS, *server]:
        command += ["--server-arg", flag]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RINGPOST_")}
    with tempfile.TemporaryDirectory(prefix="ringpost-e2e-") as folder:
        environment["TMPDIR"] = folder  # where the log of a node is kept after a failure
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env=environment) as process:
            try:
                if meanwhile:
                    meanwhile(process)
                out, said = process.communicate(timeout=6 * DEADLINE_S)
            finally:
                process.kill()  # does nothing when it has ended
    try:
        return process.returncode, json.loads(out)
    except ValueError:
        raise AssertionError(f"status {process.returncode}, no figures:\n{said}") from None


WS = ("--transport", "ws")
SSE = ("--transport", "sse")
SIO = ("--transport", "sio")
POLLS = ("--transport", "sio-poll")


def end_child(what):
    """For `meanwhile`: kills a node, its Redis, or a process of clients, when there is traffic."""
    wanted = {"node": b"serve", "clients": b"bench"}
    def end(process):
        deadline = time.monotonic() + DEADLINE_S
        while len(os.listdir(f"/proc/{process.pid}/fd")) < 30 and time.monotonic() < deadline:
            time.sleep(0.05)  # producers and clients open their sockets
        time.sleep(0.5)
        path = f"/proc/{process.pid}/task/{process.pid}/children"
        for pid in pathlib.Path(path).read_text(encoding="utf-8").split():
            arguments = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if (arguments[1] == wanted[what] if what in wanted
                    else arguments[0].startswith(b"redis-server")):
                os.kill(int(pid), signal.SIGKILL)
                return
        raise AssertionError("no such child")
    return end


@unittest.skipUnless(redis_server.HAVE, "redis-server is missing")
class Nodes(unittest.TestCase):
    """Producers push to one node, and clients are at others."""

    def test_what_goes_between_them_is_measured(self):
        for scenario, options, delivered in (
                ("unicast", ("--nodes", "2", "--rate", "500"), 500),
                ("unicast", ("--nodes", "3", "--rate", "500", *WS), 500),
                ("groups", ("--nodes", "3", "--groups", "4", "--rate", "20"), 20 * 25),
                ("broadcast", ("--nodes", "3", "--rate", "20"), 20 * 100)):
            with self.subTest(scenario=scenario, options=options):
                status, figures = bench(scenario, "--clients", "100", "--seconds", "1", *options)
                self.assertEqual((status, figures["faults"]), (0, []))
                self.assertEqual(figures["delivered"], delivered)
                self.assertEqual(figures["nodes"], int(options[1]))
                self.assertGreater(figures["redis_us_per_message"], 0)

    def test_it_ends_with_each_of_them(self):
        for what, word in (("node", "signal 9"), ("redis", "the Redis between the nodes ended")):
            with self.subTest(what=what):
                status, figures = bench("unicast", "--nodes", "2", "--clients", "100", "--rate",
                                        "500", "--seconds", "60", meanwhile=end_child(what))
                self.assertEqual(status, 1)
                self.assertIn(word, " ".join(figures["faults"]))

    def test_what_it_is_not_for(self):
        for options, word in ((("storm", "--nodes", "2"), "--nodes is of"),
                              (("unicast", "--nodes", "4"), "--nodes needs"),
                              (("unicast", "--nodes", "2", *POLLS), "sio-poll"),
                              (("unicast", "--nodes", "2", "--tcp", "127.0.0.1:1", "--api",
                                "127.0.0.1:2"), "--nodes starts its nodes")):
            with self.subTest(options=options):
                done = subprocess.run([BINARY, "bench", *options], capture_output=True, text=True,
                                      timeout=DEADLINE_S, check=False)
                self.assertEqual(done.returncode, 2)
                self.assertIn(word, done.stderr)


class Bench(unittest.TestCase):
    def test_everybody_lives(self):
        status, figures = bench("live", "--clients", "300", "--rate", "2000", "--procs", "2")
        self.assertEqual((status, figures["faults"]), (0, []))
        for key in ("clients", "welcomed", "live", "delivered"):
            self.assertEqual(figures[key], 300, key)
        self.assertEqual(figures["missing"], 0)
        self.assertGreater(figures["descriptors_limit"], 0)
        self.assertGreater(figures["descriptors_open"], 3)

    def test_acknowledged(self):
        for form in (("--framing", "json"), ("--framing", "counted"), WS, SIO):
            status, figures = bench("ack", "--clients", "200", "--rate", "1000", "--seconds", "1",
                                    "--never", "10", "--reconnect", "20", *form,
                                    server=("--workers", "2", "--ack-silence", "2"))
            self.assertEqual((status, figures["faults"]), (0, []))
            accepted = figures["ledger_accepted"]
            self.assertGreater(accepted, 500)  # a slow node refuses some
            self.assertAlmostEqual(figures["ledger_pending"] / accepted, 0.1, delta=0.05)
            self.assertEqual(figures["ledger_acked"], accepted - figures["ledger_pending"])
            self.assertGreater(figures["reconnects"], 10)
            self.assertGreater(figures["us_ratio"], 0)
            self.assertGreater(figures["fates_compared"], 200)

    def test_acknowledged_in_random_order(self):
        with Data() as data:
            data.path.mkdir()
            status, figures = bench("ack", "--clients", "50", "--rate", "1000", "--seconds", "1",
                                    "--never", "0", "--reconnect", "0", "--hold", "4",
                                    server=("--data", str(data.path), "--ack-silence", "60"))
        self.assertEqual((status, figures["faults"]), (0, []))
        self.assertEqual((figures["held"], figures["ledger_pending"]), (200, 200))
        self.assertEqual(figures["ledger_acked"], figures["ledger_accepted"] - 200)
        self.assertGreater(figures["store_records_per_s"], 500)
        self.assertGreater(figures["store_sync_us"], 0)
        self.assertGreater(figures["fates_compared"], 200)

    def test_a_node_that_takes_fewer(self):
        for transport in ((), SSE, SIO, POLLS):
            with self.subTest(transport):
                # A session that has no poll under way needs no connection for so long: many more
                # than there are connections may be welcomed, one after the other.
                most = 50 if transport is POLLS else 200
                status, figures = bench("live", "--clients", "300", *transport,
                                        server=("--max-connections", str(most)))
                self.assertEqual(status, 1)
                self.assertLessEqual(figures["welcomed"], 299 if transport is POLLS else 200)
                self.assertIn("of 300 clients were welcomed", figures["faults"][0])
                self.assertIn("refused", figures["notes"][0])

    def test_each_shape_of_an_overload(self):
        common = ("overload", "--clients", "60", "--seconds", "0.5", "--workers", "2",
                  "--heartbeat", "0.25")
        shapes = {"flood": ("--rate", "600"), "keepalive": ("--rate", "600", "--producers", "40"),
                  "single": ("--rate", "600"), "group": ("--rate", "20"),
                  "broadcast": ("--rate", "20"), "mixed": ("--rate", "600")}
        with ThreadPoolExecutor(3) as pool:  # they wait most of the time
            runs = {shape: pool.submit(bench, *common, "--shape", shape, *options)
                    for shape, options in shapes.items()}
        for shape, run in runs.items():
            with self.subTest(shape):
                status, figures = run.result()
                self.assertEqual((status, figures["faults"]), (0, []))
                self.assertEqual(figures["shape"], shape)
                self.assertGreater(figures["goodput_per_s"], 0)
                self.assertGreater(figures["flood_p99_us"], 0)
                self.assertGreater(figures["lone_sent"], 0)
                self.assertEqual(figures["lone_delivered"] + figures["lone_refused"],
                                 figures["lone_sent"])
                self.assertGreater(figures["heartbeats"], 0)
                self.assertGreater(figures["heartbeat_p99_us"], 0)
                self.assertEqual(figures["sessions_lost"], 0)
                self.assertGreater(figures["pss_max_kb"], 0)
                if shape == "group":
                    self.assertNotEqual(figures["members_worker"], figures["producer_worker"])

    def test_each_scenario_over_websocket(self):
        few = ("--clients", "60", "--workers", "2", *WS)
        runs = {"unicast": ("--rate", "500", "--seconds", "0.5"),
                "broadcast": ("--rate", "10", "--seconds", "0.5"),
                "groups": ("--rate", "50", "--seconds", "0.5", "--groups", "6", "--join", "5"),
                "ping": ("--rate", "50", "--seconds", "0.5"),
                "cross": ("--rate", "500", "--seconds", "0.4", "--rounds", "1"),
                "storm": ("--rounds", "1", "--procs", "2"), "live": ("--rate", "500"),
                "overload": ("--rate", "200", "--seconds", "0.5", "--heartbeat", "0.25",
                             "--shape", "mixed", "--register", "hello")}
        with ThreadPoolExecutor(3) as pool:
            runs = {name: pool.submit(bench, name, *few, *options)
                    for name, options in runs.items()}
        for name, run in runs.items():
            with self.subTest(name):
                status, figures = run.result()
                self.assertEqual((status, figures["faults"]), (0, []))
        self.assertEqual(runs["groups"].result()[1]["delivered"], 25 * 50)
        self.assertGreater(runs["overload"].result()[1]["heartbeats"], 0)

    def test_memory_over_every_transport(self):
        for transport in (WS, SSE, SIO, POLLS):
            with self.subTest(transport[1]):
                status, figures = bench("idle", "--clients", "300", *transport)
                self.assertEqual((status, figures["faults"]), (0, []))
                self.assertGreater(figures["before_kb_each"], 0)

    def test_each_scenario_over_the_other_transports(self):
        few = ("--clients", "60", "--workers", "2")
        scenarios = {"unicast": ("--rate", "500", "--seconds", "0.5"),
                     "broadcast": ("--rate", "10", "--seconds", "0.5"),
                     "groups": ("--rate", "50", "--seconds", "0.5", "--groups", "6", "--join", "5"),
                     "cross": ("--rate", "500", "--seconds", "0.4", "--rounds", "1"),
                     "storm": ("--rounds", "2", "--procs", "2")}
        runs = {(name, transport): (*options, *transport)
                for name, options in scenarios.items() for transport in (SSE, SIO, POLLS)}
        runs["unicast", "register"] = (*scenarios["unicast"], *SIO, "--register", "hello",
                                       "--heartbeat", "0.2")
        runs["groups", "register"] = (*scenarios["groups"], *POLLS, "--register", "hello")
        runs["overload", SSE] = ("--rate", "200", "--seconds", "0.5", *SSE)
        runs["overload", SIO] = ("--rate", "200", "--seconds", "0.5", "--heartbeat", "0.25", *SIO)
        with ThreadPoolExecutor(3) as pool:
            runs = {name: pool.submit(bench, name[0], *few, *options)
                    for name, options in runs.items()}
        for name, run in runs.items():
            with self.subTest(name):
                status, figures = run.result()
                self.assertEqual((status, figures["faults"]), (0, []))
                if name[0] == "groups":
                    self.assertEqual(figures["delivered"], 25 * 50)
        self.assertGreater(runs["overload", SIO].result()[1]["heartbeats"], 0)

    def test_polls_take_any_connection_and_meet_any_worker(self):
        status, figures = bench("unicast", *POLLS, "--clients", "400", "--rate", "2000",
                                "--seconds", "1", "--workers", "2")
        self.assertEqual((status, figures["faults"]), (0, []))
        self.assertEqual(figures["delivered"], figures["accepted"])
        self.assertGreater(figures["polls_moved_percent"], 50)
        self.assertGreater(figures["connections_shared"], 200)
        self.assertGreater(figures["sessions_carried"], 2)
        self.assertGreater(figures["polls_foreign_percent"], 25)

    def test_a_run_of_polls_that_proves_nothing_is_a_fault(self):
        status, figures = bench("unicast", *POLLS, "--clients", "200", "--rate", "20",
                                "--seconds", "0.5")
        self.assertEqual(status, 1)
        self.assertIn("too short to prove anything", figures["faults"][0])

    def test_pings_of_socketio_are_answered(self):
        for transport in (SIO, POLLS):
            with self.subTest(transport[1]):
                status, figures = bench("unicast", *transport, "--clients", "40", "--rate", "500",
                                        "--seconds", "2", server=("--heartbeat", "0.3",
                                                                  "--heartbeat-timeout", "0.7"))
                self.assertEqual((status, figures["faults"]), (0, []))
                self.assertEqual(figures["closed"], 0)

    def test_a_transport_says_what_it_cannot_do(self):
        for options, words in ((("ack", *SSE), "sse does not acknowledge here"),
                               (("ack-max", *POLLS), "sio-poll does not acknowledge here"),
                               (("overload", *POLLS), "sio-poll has no overload"),
                               (("unicast", *SSE, "--heartbeat", "1"), "sse has no --heartbeat"),
                               (("unicast", *SSE, "--register", "hello"), "sse has no --register"),
                               (("unicast", "--transport", "mail"), "argument or bad value")):
            with self.assertRaisesRegex(AssertionError, f"(?s)status 2.*{words}"):
                bench(*options)

    def test_counted_framing_is_of_raw_tcp(self):
        with self.assertRaisesRegex(AssertionError, "(?s)status 2.*counted is of --transport tcp"):
            bench("unicast", "--framing", "counted", *WS)

    def test_a_shape_that_there_is_not(self):
        with self.assertRaisesRegex(AssertionError, "(?s)status 2.*no shape `round`"):
            bench("overload", "--shape", "round")

    def test_on_one_worker_and_between_two(self):
        status, figures = bench("cross", "--clients", "60", "--workers", "2", "--rate", "500",
                                "--seconds", "0.4", "--rounds", "1")
        self.assertEqual((status, figures["faults"]), (0, []))
        self.assertEqual(figures["workers"], 2)
        self.assertEqual(figures["same_mails"], 0)
        self.assertEqual(figures["cross_mails"], 2)
        self.assertGreater(figures["same_us_per_message"], 0)
        self.assertGreater(figures["cross_p50_us"], 0)

    def test_one_worker_has_nothing_to_cross(self):
        with self.assertRaisesRegex(AssertionError, "(?s)status 1.*not on two workers"):
            bench("cross", "--clients", "10", "--workers", "1", "--rate", "500")

    def test_a_storm_of_two_processes(self):
        status, figures = bench("storm", "--clients", "200", "--rounds", "2", "--procs", "2")
        self.assertEqual((status, figures["faults"]), (0, []))
        self.assertEqual(figures["generator_processes"], 2)
        self.assertGreater(figures["connects_per_s"], 0)
        self.assertGreater(figures["generator_us_per_connect"], 0)

    def test_a_node_that_dies_is_a_fault_that_says_so(self):
        status, figures = bench("unicast", "--clients", "50", "--rate", "500", "--seconds", "3",
                                meanwhile=end_child("node"))
        self.assertEqual(status, 1)
        self.assertIn("the node died of signal 9", "\n".join(figures["faults"]))
        self.assertNotIn("interrupted", "\n".join(figures["faults"]))

    def test_a_client_process_that_dies_is_noticed(self):
        status, figures = bench("unicast", "--clients", "50", "--rate", "500", "--seconds", "3",
                                "--procs", "2", meanwhile=end_child("clients"))
        self.assertEqual(status, 1)
        self.assertIn("client process 2 of 2 ended too early", "\n".join(figures["faults"]))

    def test_a_ping_goes_to_all_clients(self):
        status, figures = bench("ping", "--rate", "100", "--seconds", "1")
        self.assertEqual((status, figures["faults"]), (0, []))
        self.assertEqual(figures["clients"], 64)
        self.assertEqual(figures["delivered"], 100)


if __name__ == "__main__":
    unittest.main()
