"""Remembers which checks passed, so that a check is made again only for what changed since.

A check of one file passed with a command and with the bytes of every file that it read, headers of
the system included. All of that stands in build/checked/NAME.json; where it still holds, the check
would pass again. A fresh tree has no such file and checks everything.
"""

import hashlib
import json
import os
import re
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
KEPT = os.path.join(ROOT, "build", "checked")


def digest(data):
    return hashlib.sha256(data).hexdigest()


def makefile_files(text):
    """The files of a rule as compilers write it: `x.o: x.c y.h`, with continued lines."""
    _, _, names = text.replace("\\\n", " ").partition(": ")
    return [re.sub(r"\\(.)", r"\1", name) for name in re.findall(r"(?:\\.|\S)+", names)]


def compile_only(command, text=None):
    """Compiles from the root without making anything. Gives what the compiler did and the files
    that it read, named from the root where they are in it."""
    with tempfile.NamedTemporaryFile(mode="r", encoding="utf-8", suffix=".d") as rule:
        done = subprocess.run([*command, "-fsyntax-only", "-MD", "-MF", rule.name], cwd=ROOT,
                              input=text, capture_output=True, text=True, check=False)
        names = makefile_files(rule.read())
    paths = [os.path.normpath(os.path.join(ROOT, name)) for name in names if name != "-"]
    return done, [os.path.relpath(path, ROOT) if path.startswith(ROOT + "/") else path
                  for path in paths]


class Remembered:
    """What passed in one kind of check. Safe between threads: each item is one thread's."""

    def __init__(self, name):
        self.path = os.path.join(KEPT, name + ".json")
        self.digests = {}
        try:
            with open(self.path, encoding="utf-8") as file:
                self.items = json.load(file)
        except (OSError, ValueError):
            self.items = {}

    def digest_of(self, path):
        if path not in self.digests:
            try:
                with open(os.path.join(ROOT, path), "rb") as file:
                    self.digests[path] = digest(file.read())
            except OSError:
                self.digests[path] = None
        return self.digests[path]

    def holds(self, item, command):
        kept = self.items.get(item)
        return (kept is not None and kept["command"] == digest(command.encode())
                and all(self.digest_of(path) == wanted for path, wanted in kept["files"].items()))

    def passed(self, item, command, files, began):
        """Unless one of the files was written while the check ran."""
        files = sorted(set(files))
        if any(os.stat(os.path.join(ROOT, path)).st_mtime >= began for path in files):
            return
        self.items[item] = {"command": digest(command.encode()),
                            "files": {path: self.digest_of(path) for path in files}}

    def save(self, items):
        """Keeps what is known of these items; of others there is nothing to know any more."""
        os.makedirs(KEPT, exist_ok=True)
        kept = {item: self.items[item] for item in items if item in self.items}
        with open(self.path + "~", "w", encoding="utf-8") as file:
            json.dump(kept, file)
        os.replace(self.path + "~", self.path)


def check_all(name, jobs, check, together=None, size=1):
    """Runs `check(item)` for each (item, command) of `jobs` that is not known to pass, on all CPUs.
    It gives the findings (none: passed) and the files that it read. Where most of a check is the
    start of a program, `together(items)` looks at up to `size` items first and gives {item: files}
    of those that passed; the others are checked one by one. Gives {item: findings} and how many
    were not run."""
    remembered = Remembered(name)
    findings = {}
    to_run = []
    for item, command in jobs:
        if remembered.holds(item, command):
            findings[item] = []
        else:
            to_run.append((item, command))

    def run(some):
        began = time.time()
        passed = together([item for item, _ in some]) if together else {}
        found = []
        for item, command in some:
            complaints, files = ([], passed[item]) if item in passed else check(item)
            if not complaints:
                remembered.passed(item, command, files, began)
            found.append((item, complaints))
        return found

    parts = [to_run[at:at + size] for at in range(0, len(to_run), size)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(run, parts):
            findings.update(found)
    remembered.save([item for item, _ in jobs])
    return findings, len(jobs) - len(to_run)
