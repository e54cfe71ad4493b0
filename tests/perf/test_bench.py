"""perf/bench: medians, spreads, ratios, and whether two results agree."""

import argparse
import contextlib
import io
import json
import os
import sys
import tempfile
import unittest

from run import script

bench = script("bench")
MACHINE = {"cpu": "a CPU", "cpus": "2", "memory": "4 GiB", "kernel": "Linux 6.1", "date": "today"}

# Stands in for the tools: says what it is told as JSON, like `ringpost bench ... --json`.
TOOL = """#!/bin/sh
echo "$@" >>"$0.log"
echo '{"latency_p50_us":%s,"latency_p99_us":50,"others_percent":%s,"faults":[%s],"notes":[]}'
"""


def row_of(figure, node, limit=(), more=False, grain=0.0):
    return {"scenario": "some", "title": "a title", "figure": figure, "label": figure, "unit": "us",
            "more": more, "grain": grain, "node": list(node), "limit": list(limit),
            "ratio": bench.ratio_of(node, limit), "command": "ringpost bench some"}


def result_of(*rows):
    return {"machine": MACHINE, "rows": list(rows), "faults": [], "notes": [], "disturbed": [],
            "runs": 3, "seconds": 1}


class Figures(unittest.TestCase):
    def test_spread_is_the_range_as_a_share_of_the_median(self):
        self.assertAlmostEqual(bench.measure.spread_of([9, 10, 12]), 0.3)
        self.assertIsNone(bench.measure.spread_of([9]))
        self.assertIsNone(bench.measure.spread_of([0, 0, 0]))

    def test_ratio_is_of_the_medians(self):
        self.assertEqual(bench.ratio_of([1, 30, 2], [1, 1, 9]), 2)
        self.assertIsNone(bench.ratio_of([1], []))
        self.assertIsNone(bench.ratio_of([1], [0]))


class Agreement(unittest.TestCase):
    def agrees(self, a, b, grain=0):
        return bench.agreement(a, b, grain)[2]

    def test_five_percent_pass_without_any_spread(self):
        self.assertTrue(self.agrees([100, 100, 100], [105, 105, 105]))
        self.assertFalse(self.agrees([100, 100, 100], [106, 106, 106]))

    def test_the_larger_spread_counts(self):
        self.assertTrue(self.agrees([100, 100, 100], [90, 115, 130]))
        self.assertTrue(self.agrees([90, 115, 130], [100, 100, 100]))
        self.assertFalse(self.agrees([100, 100, 100], [140, 150, 160]))

    def test_what_is_less_than_the_grain_agrees(self):
        self.assertTrue(self.agrees([0.02], [0.08], 0.1))
        self.assertFalse(self.agrees([0.02], [0.18], 0.1))

    def test_a_missing_figure_does_not_agree(self):
        self.assertFalse(self.agrees([1, 1, 1], []))

    def test_zero_and_negative_figures(self):
        self.assertTrue(self.agrees([0], [0]))
        self.assertFalse(self.agrees([0], [1]))
        self.assertFalse(self.agrees([-1], [0.5]))

    def test_each_side_is_a_line_with_its_verdict(self):
        lines, good, bad = bench.compare(
            result_of(row_of("cost", [10, 10, 10], [5, 5, 5]), row_of("rate", [9, 9], more=True)),
            result_of(row_of("cost", [12, 12, 12], [5, 5, 5]), row_of("rate", [12, 12], more=True),
                      row_of("other", [1])))
        self.assertEqual((good, bad), (1, 2))
        text = "\n".join(lines)
        self.assertRegex(text, r"cost, us +node +10 +12 +\+20 % +5 % +DIFFERS, worse")
        self.assertRegex(text, r"cost, us +limit +5 +5 +\+0 % +5 % +agrees")
        self.assertRegex(text, r"rate, us +node .* DIFFERS, better")
        self.assertNotIn("other", text)


class Command(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def tool(self, name, p50, others=0, fault=""):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(TOOL % (p50, others, fault))
        os.chmod(self.path(name), 0o755)
        return self.path(name)

    def run_bench(self, *arguments):
        """Status, standard output, standard error."""
        out, progress, before = io.StringIO(), io.StringIO(), sys.argv
        sys.argv = ["bench", *arguments]
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(progress):
                status = bench.main()
        except SystemExit as end:
            status = end.code
        finally:
            sys.argv = before
        return status, out.getvalue(), progress.getvalue()

    def measured(self, node, limit, *arguments):
        return self.run_bench("--node", node, "--limit", limit, "--only", "ping", *arguments)

    def test_node_and_limit_take_turns_three_times(self):
        status, out, progress = self.measured(self.tool("node", 30), self.tool("limit", 20),
                                              "--json", self.path("a.json"))
        self.assertEqual(status, 0, out)
        self.assertRegex(out, r"arrival p50, µs +30 +0 % +20 +0 % +1\.50")
        self.assertIn("cpus", out)
        sides = [line.split()[-1] for line in progress.splitlines()]
        self.assertEqual(sides, ["node", "limit"] * 3)
        with open(self.path("a.json"), encoding="utf-8") as file:
            kept = json.load(file)
        self.assertEqual(kept["rows"][0]["node"], [30, 30, 30])
        with open(self.path("node.log"), encoding="utf-8") as file:
            self.assertIn("bench ping --seconds 3 --json", file.read())

    def test_websocket_takes_turns_with_both(self):
        status, out, progress = self.measured(self.tool("node", 30), self.tool("limit", 20), "--ws",
                                              "--json", self.path("a.json"))
        self.assertEqual(status, 0, out)
        self.assertRegex(out, r"spread +node/limit +ws +spread +ws/node")
        self.assertRegex(out, r"arrival p50, µs +30 +0 % +20 +0 % +1\.50 +30 +0 % +1\.00")
        self.assertEqual([line.split()[-1] for line in progress.splitlines()],
                         ["node", "ws", "limit"] * 3)
        with open(self.path("node.log"), encoding="utf-8") as file:
            self.assertIn("bench ping --seconds 3 --transport ws --json", file.read())
        _, kept, _ = self.run_bench("--read", self.path("a.json"), "--markdown")
        self.assertIn("| 20 (0 %) | 1.50 | 30 (0 %) | 1.00 | `ringpost bench ping", kept)
        same = ("--compare", self.path("a.json"), self.path("a.json"))
        self.assertEqual(self.run_bench(*same)[0], 0)

    def test_quick_is_one_run_and_says_so(self):
        status, out, progress = self.measured(self.tool("node", 30), self.tool("limit", 20),
                                              "--quick")
        self.assertEqual(status, 0)
        self.assertEqual(len(progress.splitlines()), 2)
        self.assertIn("1 run", out)

    def test_a_fault_is_told_and_is_the_exit_status(self):
        status, out, _ = self.measured(self.tool("node", 30, fault='"7 messages did not arrive"'),
                                       self.tool("limit", 20))
        self.assertEqual(status, 1)
        self.assertIn("fault: ping, node: 7 messages did not arrive (3 times)", out)

    def test_a_tool_that_fails_is_told_with_its_last_words(self):
        broken = self.path("broken")
        with open(broken, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\necho first >&2\necho no such luck >&2\nexit 1\n")
        os.chmod(broken, 0o755)
        status, out, _ = self.measured(broken, self.tool("limit", 20), "--quick")
        self.assertEqual(status, 1)
        self.assertIn("fault: ping, node: no such luck", out)

    def test_disturbed_runs_are_listed(self):
        _, out, _ = self.measured(self.tool("node", 30, others=40), self.tool("limit", 20))
        self.assertIn("disturbed: 3 of 6 runs", out)
        self.assertIn("ping, node: 40 % in run 1, 40 % in run 2", out)

    def test_what_a_tool_does_not_look_at_is_looked_at_here(self):
        figures, wrong = bench.measure.run_tool(
            ["sh", "-c", "echo '{\"faults\":[],\"notes\":[]}'"], bench.measure.Progress(1, 1))
        self.assertIsNone(wrong)
        self.assertGreaterEqual(figures["others_percent"], 0)
        self.assertGreaterEqual(figures["stolen_percent"], 0)

    def test_two_results_are_compared(self):
        limit = self.tool("limit", 20)
        for name, p50 in (("a", 30), ("b", 31), ("c", 40)):
            self.measured(self.tool(name, p50), limit, "--json", self.path(name + ".json"))
        a, b, c = (self.path(name + ".json") for name in "abc")
        self.assertEqual(self.run_bench("--compare", a, b)[0], 0)
        status, out, _ = self.run_bench("--compare", a, c)
        self.assertEqual(status, 1)
        self.assertIn("DIFFERS, worse", out)
        with open(self.path("empty.json"), "w", encoding="utf-8") as file:
            json.dump(result_of(), file)
        self.assertEqual(self.run_bench("--compare", a, self.path("empty.json"))[0], 2)

    def test_markdown_has_the_command_of_each_row(self):
        self.measured(self.tool("node", 30), self.tool("limit", 20), "--json", self.path("a.json"),
                      "--markdown", self.path("a.md"))
        with open(self.path("a.md"), encoding="utf-8") as file:
            kept = file.read()
        self.assertIn("| 30 (0 %) | 20 (0 %) | 1.50 | `ringpost bench ping --seconds 3` |", kept)
        status, out, _ = self.run_bench("--read", self.path("a.json"), "--markdown")
        self.assertEqual((status, out), (0, kept))

    def test_an_unknown_scenario_is_named(self):
        status, _, complaint = self.run_bench("--only", "ping,pong")
        self.assertEqual(status, 2)
        self.assertIn("there is no pong", complaint)


class Plan(unittest.TestCase):
    def plan(self, **switches):
        args = argparse.Namespace(**{"quick": False, "long": False, "ws": False, "sse": False,
                                     "sio": False, "node": "n", "limit": "l", **switches})
        return bench.plan_of(bench.SET, args)

    def test_other_transports_are_sides_where_they_can_do_it(self):
        sides = {}
        for row, side, _, command, _ in self.plan(ws=True, sse=True, sio=True):
            sides.setdefault(row.name, set()).add(side)
            self.assertEqual(side in bench.OVER, command[-1] == side)
        self.assertEqual(sides["unicast"], {"node", "ws", "sse", "sio", "limit"})
        self.assertEqual(sides["ack"], {"node", "ws", "sio"})
        self.assertEqual(sides["polls"], {"node"})

    def test_the_whole_set_stays_under_fifteen_minutes_and_quick_near_six(self):
        self.assertLess(sum(run[4] for run in self.plan()), 900)
        self.assertLess(sum(run[4] for run in self.plan(quick=True)), 390)

    def test_long_is_a_minute_of_overload(self):
        commands = [run[3] for run in self.plan(long=True)]
        self.assertIn(["n", "bench", "overload", "--seconds", "60"], commands)
        self.assertIn(["n", "bench", "overload", "--shape", "group", "--search", "1", "--seconds",
                       "60"], commands)

    def test_quick_is_short_for_every_shape(self):
        overloads = [run[3] for run in self.plan(quick=True) if run[3][2] == "overload"]
        self.assertEqual(len(overloads), 6)
        for command in overloads:
            self.assertEqual(command[command.index("--seconds") + 1], "3")
            self.assertEqual(command[command.index("--search") + 1], "0.5")

    def test_every_shape_runs_on_the_default_workers(self):
        for command in (run[3] for run in self.plan() if run[3][2] == "overload"):
            self.assertNotIn("--workers", command)
            self.assertNotIn("--server-cpus", command)
