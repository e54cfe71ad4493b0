#!/usr/bin/env python3
"""Runs the end-to-end tests against a real binary.

    python3 tests/e2e/run.py --binary build/release/ringpost            everything
    python3 tests/e2e/run.py --binary build/dev/ringpost --only delivery --extra "--steer none"

Every test starts its own node on free ports and ends it. The last line is `N passed, N failed`.
"""

import argparse
import importlib
import os
import pathlib
import sys
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent


class Result(unittest.TestResult):
    """Says each test as it ends."""

    def __init__(self, verbose):
        super().__init__()
        self.verbose = verbose
        self.passed = 0
        self.began = 0.0

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()

    def say(self, word, test):
        if self.verbose or word != "ok":
            name = test.id()
            print(f"  {word:<6} {time.monotonic() - self.began:6.2f} s  {name}", flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1
        self.say("ok", test)

    def addError(self, test, err):
        super().addError(test, err)
        self.say("ERROR", test)
        print(self.errors[-1][1], flush=True)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.say("FAILED", test)
        print(self.failures[-1][1], flush=True)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.say("FAILED", subtest)
            print((self.failures + self.errors)[-1][1], flush=True)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.say("skip", test)
        print(f"         {reason}", flush=True)


def main():
    words = argparse.ArgumentParser(description=__doc__,
                                    formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--binary", required=True, help="the ringpost to test")
    words.add_argument("--only", action="append", default=[],
                       help="only tests whose name contains this word (repeatable)")
    words.add_argument("--extra", default="", help="flags that every node is started with")
    words.add_argument("--full", action="store_true", help="the counts of a soak")
    words.add_argument("--sanitized", action="store_true",
                       help="the binary is slow: smaller counts, longer deadline")
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
    suite = unittest.TestSuite()
    loader = unittest.TestLoader()
    for path in sorted(HERE.glob("test_*.py")):
        for case in loader.loadTestsFromModule(importlib.import_module(path.stem)):
            for test in case:
                if not given.only or any(word in test.id() for word in given.only):
                    suite.addTest(test)
    result = Result(not given.quiet)
    suite.run(result)
    failed = len(result.failures) + len(result.errors)
    if result.passed + failed == 0:
        print("no test was chosen")
        failed = 1
    print(f"{result.passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
