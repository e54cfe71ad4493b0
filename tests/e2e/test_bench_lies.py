"""The load tool against a node that lies: each lie is counted as what it is, and as nothing else.

Each is told three times: to clients of JSON lines and of WebSocket, with the figures as JSON, and
to clients of counted framing, with the figures as text."""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor

from support import BINARY, DEADLINE_S

LIAR = pathlib.Path(__file__).resolve().parent / "liar.py"
CLIENTS = 20
EACH = 5  # messages for each client
STEADY = ("unicast", "--clients", str(CLIENTS), "--rate", "500", "--producers", "2", "--seconds",
          str(CLIENTS * EACH / 500))
COUNTS = {"missing": "missing", "duplicate": "repeated", "disordered": "out of order",
          "misrouted": "misrouted", "damaged": "damaged", "closed": "clients closed by the node",
          "refused": "refused (503, 429)", "given_up": "never written"}

# What is told: the counts that are not 0, and the faults.
LIES = {
    "drop": ({"missing": 1}, ["1 accepted messages did not arrive"]),
    "twice": ({"duplicate": 1}, ["1 messages arrived more than once"]),
    "swap": ({"disordered": 1}, ["1 messages arrived out of order"]),
    "stray": ({"missing": 1, "misrouted": 1},
              ["1 accepted messages did not arrive", "1 messages arrived at the wrong client"]),
    "flip": ({"missing": 1, "damaged": 1},
             ["1 accepted messages did not arrive", "1 messages arrived damaged"]),
    "close": ({"closed": 1}, ["1 clients were closed by the node",
                              f"{EACH - 2} messages were answered `absent`"]),
    # a producer's half of the clients had one message each, and then it went quiet
    "mute": ({}, [f"{CLIENTS // 2 * (EACH - 1)} messages got no answer"]),
    "unasked": ({"refused": 1}, ["1 messages arrived that were not accepted"]),
}

# What only a frame can be, and what the tool says of it: it takes nothing more from that client.
FRAMES = {
    "mask": "a masked frame, which no server may write: ",
    "binary": "a binary message: ",
    "fragment": "a message in fragments: ",
    "reserved": "a frame with reserved bits: ",
    "opcode": "a frame with an unknown opcode: ",
    "length": "a length that is written in more bytes than it needs: ",
}
FRAME_COUNTS = {"missing": 1, "damaged": 1, "closed": 1}
FRAME_FAULTS = ["1 clients were closed by the node", "1 accepted messages did not arrive",
                "1 messages arrived damaged", f"{EACH - 2} messages were answered `absent`"]

# Three times a rate that is given, and how the counts of what was sent change: no lie shall make
# them look better.
OVERLOAD = ("overload", "--rate", "200", "--clients", str(CLIENTS), "--producers", "2", "--seconds",
            "1", "--heartbeat", "0.5")
OVERLOAD_LIES = {
    "honest": ({}, []),
    "drop": ({"flood_delivered": -1}, ["1 accepted messages did not arrive"]),
    "twice": ({}, ["1 messages arrived more than once"]),
    "unasked": ({"flood_accepted": -1, "flood_delivered": -1},
                ["1 messages arrived that were not accepted"]),
    "deaf": ({"heartbeats_unanswered": 1}, ["1 heartbeats got no answer"]),
    "echo": ({}, ["1 answers to heartbeats came that nobody had sent"]),
    "snub": ({}, []),
}


def bench(*options, lies=()):
    """One run. Gives the exit status and what was printed."""
    command = [BINARY, "bench", *options, "--server", str(LIAR)]
    for lie in lies:
        command += ["--server-arg", "--lie", "--server-arg", lie]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RINGPOST_")}
    with tempfile.TemporaryDirectory(prefix="ringpost-e2e-") as folder:
        environment["TMPDIR"] = folder  # where the log of a node is kept after a failure
        environment["PATH"] = os.path.dirname(sys.executable) + ":" + environment["PATH"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env=environment, timeout=6 * DEADLINE_S, check=False)
    if not done.stdout:
        raise AssertionError(f"status {done.returncode}, no figures:\n{done.stderr}")
    return done.returncode, done.stdout


class Lies(unittest.TestCase):
    # Nearly all of a run is waiting, so they wait together. In a search the liar takes its time, so
    # that a run is long enough for a load tool that seldom gets the CPU, and yet of few messages.
    @classmethod
    def setUpClass(cls):
        cls.pool = ThreadPoolExecutor(4)
        cls.as_json = {}
        cls.as_text = {}
        cls.over_ws = {}
        search = ("unicast-max", "--clients", str(CLIENTS), "--producers", "2", "--inflight", "32",
                  "--seconds", "0.8", "--json", "--server-arg", "--pause", "--server-arg", "0.05")
        cls.late = cls.pool.submit(bench, *search, lies=("late",))
        cls.closed = cls.pool.submit(bench, *search, lies=("close", "drop@3"))
        for lie in ("honest", *LIES):
            lies = () if lie == "honest" else (lie,)
            cls.as_json[lie] = cls.pool.submit(bench, *STEADY, "--json", lies=lies)
            cls.over_ws[lie] = cls.pool.submit(bench, *STEADY, "--json", "--transport", "ws",
                                               lies=lies)
            cls.as_text[lie] = cls.pool.submit(bench, *STEADY, "--framing", "counted", lies=lies)
        for lie in (*FRAMES, "bye", "accept", "refuse"):
            cls.over_ws[lie] = cls.pool.submit(bench, *STEADY, "--json", "--transport", "ws",
                                               "--register", "hello", lies=(lie,))
        cls.overload_over_ws = cls.pool.submit(bench, *OVERLOAD, "--json", "--transport", "ws",
                                               lies=("deaf",))
        cls.overloads = {lie: cls.pool.submit(bench, *OVERLOAD, "--json",
                                              lies=() if lie == "honest" else (lie,))
                         for lie in OVERLOAD_LIES}

    @classmethod
    def tearDownClass(cls):
        cls.pool.shutdown()

    def check_json(self, run, counts, faults):
        status, out = run.result()
        figures = json.loads(out)
        self.assertEqual({key: figures[key] for key in COUNTS},
                         {key: counts.get(key, 0) for key in COUNTS})
        self.assertEqual(sorted(figures["faults"]), sorted(faults))
        self.assertEqual((status, figures["ok"]), (1, 0) if faults else (0, 1))
        self.assertEqual(figures["sent"], CLIENTS * EACH)
        return figures

    def check(self, lie, counts, faults):
        expected = {key: counts.get(key, 0) for key in COUNTS}
        self.check_json(self.as_json[lie], counts, faults)
        self.check_json(self.over_ws[lie], counts, faults)
        status, out = self.as_text[lie].result()
        for key, label in COUNTS.items():
            self.assertRegex(out, rf"(?m)^{re.escape(label)} +{expected[key]} *$")
        self.assertEqual(re.findall(r"(?m)^FAULT +(.*)$", out), faults)
        self.assertEqual(status, 1 if faults else 0)

    def test_an_honest_node_passes(self):
        self.check("honest", {}, [])

    def test_each_lie_is_counted_as_what_it_is(self):
        for lie, (counts, faults) in LIES.items():
            with self.subTest(lie):
                self.check(lie, counts, faults)

    def test_a_bad_frame_is_said_to_be_what_it_is(self):
        for lie, said in FRAMES.items():
            with self.subTest(lie):
                figures = self.check_json(self.over_ws[lie], FRAME_COUNTS, FRAME_FAULTS)
                self.assertIn("first oddity at a client: " + said, "\n".join(figures["notes"]))

    def test_a_close_is_told_with_its_code(self):
        absent = f"{EACH - 1} messages were answered `absent`"
        figures = self.check_json(self.over_ws["bye"], {"closed": 1},
                                  ["1 clients were closed by the node", absent])
        self.assertIn("closed: by the node, with close 1013 no time", "\n".join(figures["notes"]))

    def test_a_handshake_that_is_none(self):
        told = f"{CLIENTS - 1} of {CLIENTS} clients were welcomed; closed: the handshake "
        with self.assertRaisesRegex(AssertionError, f"(?s)status 1.*{told}has a wrong Sec-WebSocket"
                                                    "-Accept: HTTP/1.1 101 Switching Protocols"):
            self.over_ws["accept"].result()
        with self.assertRaisesRegex(AssertionError, f"(?s)status 1.*{told}was refused: HTTP/1.1 403"
                                                    " Forbidden so it says"):
            self.over_ws["refuse"].result()

    def test_heartbeats_over_websocket(self):
        figures = json.loads(self.overload_over_ws.result()[1])
        self.assertEqual(figures["faults"], ["1 heartbeats got no answer"])
        self.assertEqual(figures["flood_delivered"], figures["flood_sent"])

    def test_what_comes_late_is_no_fault_of_the_next_run(self):
        status, out = self.late.result()
        figures = json.loads(out)
        self.assertIn("1 accepted messages did not arrive", figures["faults"])
        for word in ("more than once", "repeated", "wrong client", "not accepted"):
            self.assertNotIn(word, "\n".join(figures["faults"]))
        self.assertIn("1 messages of an earlier run came late", figures["notes"])
        self.assertEqual(status, 1)

    def test_a_client_that_was_closed_hides_no_later_loss(self):
        status, out = self.closed.result()
        figures = json.loads(out)
        self.assertIn("1 clients were closed by the node", figures["faults"])
        self.assertRegex("\n".join(figures["faults"]), "1 accepted messages did not arrive at")
        self.assertEqual(figures["tries"][0]["why"], "no: 1 missing")
        self.assertEqual(status, 1)

    def test_no_lie_makes_an_overload_look_better(self):
        for lie, (changes, faults) in OVERLOAD_LIES.items():
            with self.subTest(lie):
                status, out = self.overloads[lie].result()
                figures = json.loads(out)
                sent, lone = figures["flood_sent"], figures["lone_sent"]
                counts = {"flood_accepted": sent, "flood_delivered": sent, "lone_delivered": lone,
                          "lone_refused": 0, "heartbeats_unanswered": 0, "sessions_lost": 0}
                for key, change in changes.items():
                    counts[key] += change
                if lie == "snub":
                    counts.update(lone_delivered=0, lone_refused=lone)
                self.assertGreater(min(sent, lone, figures["heartbeats"]), 0)
                self.assertEqual({key: figures[key] for key in counts}, counts)
                self.assertEqual(figures["faults"][:1], faults)
                self.assertEqual(status, 1 if faults else 0)

    def test_a_lone_producer_that_is_refused_was_not_served_fast(self):
        _, out = self.overloads["snub"].result()
        self.assertGreaterEqual(json.loads(out)["lone_p99_us"], 900000)
        _, out = self.overloads["honest"].result()
        self.assertLess(json.loads(out)["lone_p99_us"], 900000)


if __name__ == "__main__":
    unittest.main()
