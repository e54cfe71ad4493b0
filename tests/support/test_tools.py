#!/usr/bin/env python3
"""Tests of what `./dev test` itself relies on: what it remembers, what it says of a failure.

    python3 tests/support/test_tools.py

Ends with the line `N passed, N failed`.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.dont_write_bytecode = True
sys.path[:0] = [str(ROOT / "tests/tidy"), str(ROOT / "tests/e2e")]

import remember  # noqa: E402  (found by the line above)
import run as e2e  # noqa: E402


class Remembering(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="ringpost-tools-")
        self.addCleanup(self.folder.cleanup)
        self.kept, remember.KEPT = remember.KEPT, self.folder.name
        self.addCleanup(setattr, remember, "KEPT", self.kept)
        self.header = os.path.join(self.folder.name, "x.h")
        self.write("one")
        self.findings = []
        self.meanwhile = lambda: None

    def write(self, text, when=1e9):
        with open(self.header, "w", encoding="utf-8") as file:
            file.write(text)
        os.utime(self.header, (when, when))

    def check(self, command="cc"):
        """Gives the findings, and whether the check was run."""
        ran = []

        def look(item):
            ran.append(item)
            self.meanwhile()
            return list(self.findings), [self.header]
        findings, _ = remember.check_all("test", [("x.c", command)], look)
        return findings["x.c"], bool(ran)

    def test_what_passed_is_not_run_again_until_something_changes(self):
        self.assertEqual(self.check(), ([], True))
        self.assertEqual(self.check(), ([], False))
        self.write("two")
        self.assertEqual(self.check(), ([], True))
        self.assertEqual(self.check(), ([], False))
        self.assertEqual(self.check("cc -O2"), ([], True))
        os.remove(self.header)
        self.findings = ["x.h is missing"]
        self.assertEqual(self.check("cc -O2"), (["x.h is missing"], True))

    def test_what_failed_is_run_again(self):
        self.findings = ["x.c:1: wrong"]
        self.assertEqual(self.check(), (self.findings, True))
        self.assertEqual(self.check(), (self.findings, True))

    def test_what_is_written_meanwhile_is_looked_at_again(self):
        self.meanwhile = lambda: self.write("three", 4e9)
        self.assertEqual(self.check(), ([], True))
        self.meanwhile = lambda: None
        self.assertEqual(self.check()[1], True)

    def test_several_together_and_those_that_fail_alone(self):
        jobs = [(f"{n}.c", "cc") for n in range(5)]
        ran, alone = [], []

        def together(items):
            ran.append(items)
            return {} if "1.c" in items else {item: [self.header] for item in items}

        def look(item):
            alone.append(item)
            return ["wrong"] if item == "1.c" else [], [self.header]
        findings, known = remember.check_all("test", jobs, look, together, 2)
        self.assertEqual((findings["0.c"], findings["1.c"], known), ([], ["wrong"], 0))
        self.assertEqual(sorted(ran), [["0.c", "1.c"], ["2.c", "3.c"], ["4.c"]])
        self.assertEqual(alone, ["0.c", "1.c"])
        findings, known = remember.check_all("test", jobs, look, together, 2)
        self.assertEqual((findings["1.c"], known, alone[2:]), (["wrong"], 4, ["1.c"]))

    def test_the_files_that_a_compiler_read(self):
        done, files = remember.compile_only(["gcc", "-I.", "-x", "c", "-"],
                                            '#include "core/base/span.h"\n')
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("core/base/span.h", files)
        self.assertTrue(any(path.startswith("/usr/") for path in files))


class Stages(unittest.TestCase):
    def stages(self, *commands):
        """What is printed when these functions are the stages."""
        script = f"""
            cd {ROOT}
            logs=$(mktemp -d); trap 'rm -r "$logs"' EXIT
            packages_test=() packages_more=() cpus=1
            need() {{ :; }}
            want() {{ :; }}
            want_npm() {{ :; }}
            say() {{ printf '%s\\n' "$*"; }}
            now() {{ echo 0; }}
            since() {{ echo 0.0; }}
            show_log() {{ :; }}
            . tests/support/stages.sh
            good() {{ echo '3 passed, 0 failed'; }}
            bad() {{ echo 'again: see it'; echo '2 passed, 1 failed'; }}
            run_stage() {{ stage "$1" "stage $1" "$1"; }}
            how=test
            run_stages {" ".join(commands)}"""
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.splitlines()

    def test_a_good_run_ends_with_its_count(self):
        status, lines = self.stages("good", "good")
        self.assertEqual((status, lines[-1]), (0, "6 passed, 0 failed"))
        self.assertNotIn("again", "\n".join(lines))

    def test_a_bad_run_ends_with_what_failed_and_how_to_see_it(self):
        status, lines = self.stages("good", "bad", "false")
        self.assertEqual((status, lines[-1]), (1, "5 passed, 2 failed"))
        end = lines[lines.index("what failed, and how to see it again:"):]
        self.assertEqual([line.strip() for line in end[1:5]],
                         ["stage bad:", "see it", "stage false:", "./dev test false"])


def groups(only=(), but=(), half=None, whole=()):
    given = argparse.Namespace(only=only, but=but, half=half, whole=whole)
    return e2e.groups_of(e2e.Choice(given))


class EndToEnd(unittest.TestCase):
    def test_tests_that_share_something_stay_together(self):
        groups_all = groups()
        lies = [names for names in groups_all if any("bench_lies" in name for name in names)]
        self.assertEqual(len(lies), 1)
        self.assertGreater(len(groups_all), 50)
        self.assertEqual([len(names) for names in groups(["test_top_ends_at_q"])], [1])

    def test_two_halves_are_the_whole(self):
        def names(**choice):
            return {name for group in groups(**choice) for name in group}
        first, second = names(half=0), names(half=1)
        self.assertEqual(first | second, names())
        self.assertEqual(first & second, set())
        self.assertGreater(min(len(first), len(second)), len(first | second) / 4)
        self.assertEqual(names(half=0, whole=["test_ack"]), first | names(only=["test_ack"]))


def main():
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    failed = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
