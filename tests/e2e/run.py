#!/usr/bin/env python3
"""Runs the end-to-end tests against a real binary.

    python3 tests/e2e/run.py --binary build/release/ringpost            everything
    python3 tests/e2e/run.py --binary build/dev/ringpost --only delivery --extra "--steer none"

Every test starts its own node on free ports and ends it. The last line is `N passed, N failed`.
"""

import argparse
import contextlib
import gc
import importlib
import io
import multiprocessing
import os
import pathlib
import re
import signal
import sys
import time
import unittest
import zlib

HERE = pathlib.Path(__file__).resolve().parent


class Result(unittest.TestResult):
    """Gathers what is to be said of the tests of one group."""

    def __init__(self, verbose):
        super().__init__()
        self.verbose = verbose
        self.passed = 0
        self.broken = []  # names of what failed
        self.said = []
        self.began = 0.0

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()

    def say(self, word, test, *more):
        if self.verbose or word != "ok":
            took = time.monotonic() - self.began if self.began else 0.0
            self.said += [f"  {word:<6} {took:6.2f} s  {test.id()}", *more]
        if word in ("ERROR", "FAILED"):
            self.broken.append(test.id())

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1
        self.say("ok", test)

    def addError(self, test, err):
        super().addError(test, err)
        self.say("ERROR", test, self.errors[-1][1])

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.say("FAILED", test, self.failures[-1][1])

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.say("FAILED", subtest, (self.failures + self.errors)[-1][1])

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.say("skip", test, f"         {reason}")


class Choice:
    """Which tests are to be run."""

    def __init__(self, given):
        self.only = given.only
        self.but = given.but
        self.half = given.half
        self.whole = given.whole

    def takes(self, name):
        def has(words):
            return any(word in name for word in words)
        if (self.only and not has(self.only)) or has(self.but):
            return False
        # By its class, whose tests may share something.
        half = zlib.crc32(name.rpartition(".")[0].encode()) % 2
        return self.half is None or half == self.half or has(self.whole)


def groups_of(choice):
    """The names of the chosen tests, in groups that run one after the other: a class whose tests
    share something, or one test."""
    groups = []
    for path in sorted(HERE.glob("test_*.py")):
        module = importlib.import_module(path.stem)
        for case in unittest.TestLoader().loadTestsFromModule(module):
            tests = list(case)
            names = [test.id() for test in tests if choice.takes(test.id())]
            shares = tests and "setUpClass" in vars(type(tests[0]))
            groups += [names] if shares and names else [[name] for name in names]
    return groups


def run_group(job):
    names, verbose = job
    result = Result(verbose)
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        unittest.TestLoader().loadTestsFromNames(names).run(result)
    return result.passed, result.broken, "\n".join(result.said), output.getvalue()


def run_all(choice, verbose, jobs):
    """Gives how many passed and the names of what failed."""
    passed, broken = 0, []
    groups = [(names, verbose) for names in groups_of(choice)]
    gc.freeze()  # or each process that is forked copies what its collector looks through
    # A fork costs as much as a test. What one leaves behind in its process meets few others.
    with multiprocessing.Pool(jobs, maxtasksperchild=16) as pool:
        for good, bad, said, output in pool.imap_unordered(run_group, groups):
            passed += good
            broken += bad
            if said:
                print(said, flush=True)
            if output and (verbose or bad):
                print(output, end="", flush=True)
    return passed, broken


def main():
    # A shell that starts this in the background lets it ignore Ctrl-C, and all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    words = argparse.ArgumentParser(description=__doc__,
                                    formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--binary", required=True, help="the ringpost to test")
    words.add_argument("--only", action="append", default=[],
                       help="only tests whose name contains this word (repeatable)")
    words.add_argument("--but", action="append", default=[],
                       help="no tests whose name contains this word (repeatable)")
    words.add_argument("--half", type=int, choices=(0, 1),
                       help="only the classes of one half, or of the other")
    words.add_argument("--whole", action="append", default=[],
                       help="with --half, all tests whose name contains this word (repeatable)")
    words.add_argument("--extra", default="", help="flags that every node is started with")
    words.add_argument("--full", action="store_true", help="the counts of a soak")
    words.add_argument("--sanitized", action="store_true",
                       help="the binary is slow: smaller counts, longer deadline")
    words.add_argument("--jobs", type=int, default=3 * (os.cpu_count() or 1),
                       help="tests that run at the same time; most of them wait most of the time")
    words.add_argument("--quiet", action="store_true", help="name only what fails")
    given = words.parse_args()

    os.environ["RINGPOST_BINARY"] = str(pathlib.Path(given.binary).resolve())
    os.environ["RINGPOST_EXTRA_FLAGS"] = given.extra
    os.environ["RINGPOST_FULL"] = "1" if given.full else "0"
    if given.sanitized:
        os.environ["RINGPOST_SANITIZED"] = "1"
        os.environ.setdefault("RINGPOST_DEADLINE_S", "60")
    if not os.access(os.environ["RINGPOST_BINARY"], os.X_OK):
        print(f"no such program: {given.binary} (./dev build makes it)")
        return 2

    sys.path.insert(0, str(HERE))
    passed, broken = run_all(Choice(given), not given.quiet, given.jobs)
    failed = len(broken)
    if passed + failed == 0:
        print("no test was chosen")
        failed = 1
    more = "".join(f" {word}" for word, wanted in (
        (f"--extra '{given.extra}'", given.extra), ("--full", given.full),
        ("--sanitized", given.sanitized)) if wanted)
    # "module.Class.test (subtest)" and "setUpClass (module.Class)"
    for name in dict.fromkeys(re.sub(r"^setUpClass \((.*)\)$| .*", r"\1", name) for name in broken):
        print(f"again: python3 tests/e2e/run.py --binary {given.binary}{more} --only {name}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
