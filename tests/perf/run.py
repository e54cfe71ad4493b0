#!/usr/bin/env python3
"""Tests of what the scripts of perf/ make of figures. Nothing is measured here.

    python3 tests/perf/run.py

Ends with the line `N passed, N failed`.
"""

import importlib.util
import pathlib
import sys
import unittest
from importlib.machinery import SourceFileLoader

HERE = pathlib.Path(__file__).resolve().parent
PERF = HERE.parent.parent / "perf"


def script(name):
    """A script of perf/ as a module."""
    loader = SourceFileLoader("perf_" + name, str(PERF / name))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def main():
    sys.dont_write_bytecode = True
    sys.path[:0] = [str(HERE), str(PERF)]
    sys.modules["run"] = sys.modules["__main__"]
    suite = unittest.defaultTestLoader.discover(str(HERE), "test_*.py")
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    failed = len(result.failures) + len(result.errors)
    passed = result.testsRun - failed
    if passed + failed == 0:
        print("no test was found")
        failed = 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
