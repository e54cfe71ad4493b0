#!/usr/bin/env python3
"""The second compiler and its checks, over what changed since they last passed.

    compile_check.py warnings          tests and tools compile without a warning (clang); what is
                                       shipped is compiled by clang with the preset tsan
    compile_check.py clang-tidy        the checks of .clang-tidy over the program
    compile_check.py clang-tidy-deep   the same, and the analyser follows more paths

Reads build/clang/compile_commands.json (`cmake --preset clang`). Prints what was found, the command
that shows it again, and at the end `N passed, N failed`, counting files.
"""

import json
import os
import shlex
import subprocess
import sys

from remember import ROOT, Remembered, check_all, compile_only, digest

PROGRAM = ("core/", "proto/", "ingest/", "ha/", "main/")
# How many states of a function the analyser looks at; its own limit, 225,000, takes twice as long
# for the whole program.
SHALLOW = 75000


def run(command):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def commands():
    """{source: how clang is called for it, without where the object goes}"""
    found = {}
    with open(os.path.join(ROOT, "build/clang/compile_commands.json"), encoding="utf-8") as file:
        for entry in json.load(file):
            words = shlex.split(entry["command"])
            while "clang" not in os.path.basename(words[0]):
                words.pop(0)  # a launcher such as ccache
            at = words.index("-o")
            del words[at:at + 2]
            words.remove("-c")
            source = os.path.relpath(entry["file"], ROOT)
            if not source.startswith("../"):  # the libraries' own sources are theirs
                found[source] = words
    return found


def complaints(text):
    """The lines that name a place, or all where none does."""
    lines = [line for line in text.replace(ROOT + "/", "").splitlines()
             if ": error:" in line or ": warning:" in line]
    return lines or text.splitlines() or ["failed without a word"]


def warnings():
    version = run(["clang", "--version"]).stdout
    calls = {source: words for source, words in commands().items()
             if not source.startswith(PROGRAM)}

    def check(source):
        done, files = compile_only(calls[source])
        return [] if done.returncode == 0 else complaints(done.stderr), files

    jobs = [(source, version + " ".join(calls[source])) for source in calls]
    again = "cd {root} && {call} -fsyntax-only"
    return check_all("clang-warnings", jobs, check), lambda source: again.format(
        root=ROOT, call=shlex.join(calls[source]))


def clang_tidy(deep):
    with open(os.path.join(ROOT, ".clang-tidy"), "rb") as file:
        settings = run(["clang-tidy", "--version"]).stdout + digest(file.read())
    calls = {source: words for source, words in commands().items() if source.startswith(PROGRAM)}
    tidy = ["clang-tidy", "-p", "build/clang", "--quiet"]
    if not deep:
        for word in ("-analyzer-config", f"max-nodes={SHALLOW}"):
            tidy += ["--extra-arg=-Xclang", f"--extra-arg={word}"]

    def look(*sources):
        return run([*tidy, "--warnings-as-errors=*", *sources])

    def read_by(source):
        return warned.items[source]["files"] if source in warned.items else compile_only(
            calls[source])[1]

    def check(source):
        done = look(source)
        if done.returncode != 0:
            return complaints(done.stdout + done.stderr), []
        return [], read_by(source)

    def together(sources):
        if look(*sources).returncode != 0:
            return {}
        return {source: read_by(source) for source in sources}

    # What a file includes was found when its warnings were looked for.
    warned = Remembered("clang-warnings")
    version = run(["clang", "--version"]).stdout
    warned.items = {source: item for source, item in warned.items.items() if source in calls and
                    warned.holds(source, version + " ".join(calls[source]))}
    jobs = [(source, settings + " ".join(tidy) + " ".join(calls[source])) for source in calls]
    return check_all("clang-tidy-deep" if deep else "clang-tidy", jobs, check, together, 4), (
        lambda source: f"{shlex.join(tidy)} {source}")


def main():
    kinds = {"warnings": warnings, "clang-tidy": lambda: clang_tidy(False),
             "clang-tidy-deep": lambda: clang_tidy(True)}
    if len(sys.argv) != 2 or sys.argv[1] not in kinds:
        print(__doc__)
        return 2
    (findings, known), again = kinds[sys.argv[1]]()
    failed = 0
    for source in sorted(findings):
        if findings[source]:
            failed += 1
            print("\n".join(findings[source]))
            print(f"again: {again(source)}")
    print(f"{known} of {len(findings)} files are as they were when they passed")
    print(f"{len(findings) - failed} passed, {failed} failed")
    return 1 if failed or not findings else 0


if __name__ == "__main__":
    sys.exit(main())
