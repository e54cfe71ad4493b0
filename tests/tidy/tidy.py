#!/usr/bin/env python3
"""The rules of the house that no compiler knows.

    python3 tests/tidy/tidy.py

Looks at every source file of the tree, prints each finding as `file:line: message` and at the end
`N passed, N failed`, counting rules. Each rule over text is a function from a path and its lines to
findings, and is tried on a piece of text that breaks it before it is believed. What compilers and
clang-format are asked about single files is asked only where something changed (remember.py).
"""

import os
import re
import subprocess
import sys

from proofs_rule import proofs_missing
from remember import ROOT, check_all, compile_only
from shortage_rule import shortages_missing

FOLDERS = ["core", "proto", "ingest", "ha", "main", "tests", "perf", "docs", ".ci", "examples"]
NOT_OURS = ["tests/corpus", "perf/results"]  # bytes that are data
TEXT = (".c", ".h", ".py", ".sh", ".md", ".txt", ".json", ".yml", ".yaml", ".js", ".mjs", ".lua",
        ".html", ".cmake")
CODE = (".c", ".h", ".py")
LINE_MAX = 100
FILE_LINES_MAX = 600

# Who may include from which room, beside itself. `main` is the composition root and knows them all.
BASE = ["core/base"]
CORE = [*BASE, "core"]
ROOMS = {
    "proto": [],  # nothing lies between its rooms
    "ingest": [],
    "perf": [],
    "core/base": [],
    "core": BASE,
    "proto/text": [*BASE, "core/limits.h"],
    "proto/http": [*CORE, "proto/text"],
    "proto/client": [*CORE, "proto/text", "proto/ws"],
    "proto/ws": [*BASE, "proto/text"],
    "proto/web": [*CORE, "proto/text", "proto/http", "proto/client", "proto/ws"],
    "ingest/gate": [*CORE, "proto/text"],
    "ingest/amqp": [*CORE, "proto/text", "proto/http/body_type.h", "ingest/gate"],
    "ingest/api": [*CORE, "proto/text", "proto/http", "proto/web", "ingest/gate"],
    "ha": [*CORE, "proto/text", "ingest/gate"],
    "ha/peer": [*CORE, "proto/text", "proto/web/eio/engine.h", "proto/web/eio/engine_poll.h"],
    "main": ["*"],
    "perf/load": BASE,
    "perf/limit": [*BASE, "perf/load", "ha"],
    "perf/micro": [*CORE, "proto/text", "proto/http", "proto/client", "ha", "perf/load"],
    "perf/micro_redis": ["*"],  # composes a node of its own
}
# A file that may enter one room more.
GUESTS = {
    "ingest/gate/client_send": ["proto/client"],
}

# One door per library: the headers, and the file or folder that may include them. Two lines for a
# header are two doors.
DOORS = [
    (r"liburing(\.h|/)", "core/ring.c"),
    (r"ck_", "core/queue.h"),
    (r"llhttp\.h", "proto/http/http.c"),
    (r"sodium(\.h|/)", "core/base/"),
    (r"seccomp\.h", "core/sandbox.c"),
    (r"wolfssl/", "core/tls.c"),
    (r"wolfssl/(options|wolfcrypt/sha)\.h", "proto/ws/ws_sha1.c"),
    (r"zlib\.h", "proto/ws/ws_deflate.c"),
    (r"hiredis/", "ha/redis/resp.c"),
    (r"hiredis/", "perf/micro/micro_resp.c"),  # what resp.c is measured beside
    (r"hiredis/", "perf/micro_redis/bare.c"),  # and what the port is
    (r"isa-l", "ha/store/checksum.c"),
    (r"mpack(\.h|/)", "ha/adapter/msgpack.c"),
    (r"curl/", "ha/alert/alert_send.c"),
    (r"amqp|rabbitmq-c/", "ingest/amqp/amqp_door.c"),
    (r"amqp|rabbitmq-c/", "perf/limit/limit_amqp.c"),  # what the node is measured beside
]

# Calls, why not, and the files that may. Paths that end in / are folders.
BANNED = [
    (r"strcpy|strcat|stpcpy|strncpy|strncat|sprintf|vsprintf|gets",
     "writes without knowing the end; use a builder or snprintf", []),
    (r"strtok|atoi|atol|atoll|atof", "cannot tell an error; parse spans", []),
    (r"rand|srand|random|rand_r|drand48|getrandom|getentropy",
     "randomness is read in core/base/rand.c", ["core/base/rand.c"]),
    (r"time|gettimeofday|clock_gettime|clock",
     "time is read in core/base/clock.c", ["core/base/clock.c"]),
    (r"malloc|calloc|realloc|reallocarray|free|strdup|strndup|asprintf|vasprintf|posix_memalign"
     r"|aligned_alloc",
     "memory is the engine's business", ["core/", "main/", "tests/", "perf/",
                                         "proto/ws/ws_deflate.c"]),  # a thread's streams
    (r"alloca", "the stack has a fixed size", []),
    (r"setjmp|longjmp|system|popen", "not in a server", []),
]
# Tests stand in for clocks and chance, and are jumped out of by cmocka.
BANNED_TESTS_TOO = re.compile(r"strcpy|strtok|alloca")

WORDS = ["TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK"]  # in two pieces: this file is read too
LEFTOVERS = re.compile(r"\b(" + "|".join(WORDS) + r")\b")
MACHINES = re.compile(r"(?<![\w.$}])/(" + r"work/|home/\w|root/|tmp/b-)")


def room_of(path):
    folder = os.path.dirname(path)
    while folder and folder not in ROOMS:
        folder = os.path.dirname(folder)
    return folder or os.path.dirname(path)


def allowed(path, places):
    return any(path == place or (place.endswith("/") and path.startswith(place))
               for place in places)


def bare(lines):
    """The lines of C without comments and without what stands in quotes."""
    text = "\n".join(lines)
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)

    def blank(match):
        found = match.group(0)
        if found[0] in "\"'":
            return found[0] * 2
        return "\n" * found.count("\n") or " "

    return pattern.sub(blank, text).split("\n")


def includes(lines):
    for number, line in enumerate(lines, 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if match:
            yield number, match.group(1) == "<", match.group(2)


def rule_rooms(path, lines):
    if not path.endswith((".c", ".h")):
        return
    room = room_of(path)
    may = ROOMS.get(room, ["*"]) + GUESTS.get(os.path.splitext(path)[0], [])
    for number, angled, name in includes(lines):
        if angled:
            continue
        if "/" not in name:
            yield number, f'"{name}" is not named from the root of the tree'
        elif "*" not in may and room_of(name) not in (room, *may) and name not in may:
            yield number, f"{room} may not include {name}"


def rule_twice(path, lines):
    if not path.endswith((".c", ".h")):
        return
    seen = set()
    for number, line in enumerate(lines, 1):
        if re.match(r"\s*#\s*(if|el|endif)", line):
            seen.clear()  # under another condition it may come again
        for _, _, name in includes([line]):
            if name in seen:
                yield number, f"{name} is included twice"
            seen.add(name)


def rule_doors(path, lines):
    if not path.endswith((".c", ".h")) or path.startswith("tests/"):
        return
    for number, _, name in includes(lines):
        doors = [door for pattern, door in DOORS if re.match(pattern, name)]
        if doors and not allowed(path, doors):
            yield number, f"{name} is included only by {' and '.join(doors)}"


def rule_banned(path, lines):
    if not path.endswith((".c", ".h")):
        return
    for number, line in enumerate(bare(lines), 1):
        for names, why, places in BANNED:
            if allowed(path, places):
                continue
            if path.startswith("tests/") and not BANNED_TESTS_TOO.match(names):
                continue
            for match in re.finditer(rf"(?<![\w.>])({names})\s*\(", line):
                yield number, f"{match.group(1)}(): {why}"


def rule_typedefs(path, lines):
    if not path.endswith((".c", ".h")):
        return
    for number, line in enumerate(bare(lines), 1):
        if re.match(r"\s*typedef\s+(struct|union)\b", line):
            yield number, "a struct keeps its name, without a typedef"


def rule_guards(path, lines):
    if not path.endswith(".h"):
        return
    guard = "RINGPOST_" + re.sub(r"[^A-Z0-9]", "_", path.upper())
    code = [(number, line) for number, line in enumerate(bare(lines), 1) if line.strip()]
    wanted = [f"#ifndef {guard}", f"#define {guard}"]
    if [line for _, line in code[:2]] != wanted:
        yield (code[0][0] if code else 1), f"the include guard is {guard}"


def rule_openings(path, lines):
    if path.endswith(".h") and not lines[0].startswith(f"/* {os.path.basename(path)} - "):
        yield 1, f'a header opens with "/* {os.path.basename(path)} - " and says what it is'


def rule_length(path, lines):
    if not path.endswith(CODE + (".sh", "CMakeLists.txt")) and path != "dev":
        return
    for number, line in enumerate(lines, 1):
        if len(line) > LINE_MAX:
            yield number, f"{len(line)} characters; the limit is {LINE_MAX}"
    if len(lines) > FILE_LINES_MAX:
        yield len(lines), f"{len(lines)} lines; split before {FILE_LINES_MAX}"


def rule_blanks(path, lines):
    if path.endswith(".md"):
        return
    for number, line in enumerate(lines, 1):
        if "\t" in line:
            yield number, "a tab"
        if line != line.rstrip():
            yield number, "blanks at the end of the line"


def rule_leftovers(path, lines):
    for number, line in enumerate(lines, 1):
        match = LEFTOVERS.search(line)
        if match:
            yield number, f"{match.group(1)}: do it or leave it out"
        match = MACHINES.search(line)
        if match:
            yield number, f"{match.group(0)} is a path of somebody's machine"


def rule_shortages(path, lines):
    yield from shortages_missing(path, bare(lines))


def rule_proofs(path, lines):
    yield from proofs_missing(path, lines)


# Each rule with a path and a text that breaks it.
RULES = [
    (rule_rooms, "core/x.c", '#include "proto/http/http.h"'),
    (rule_rooms, "proto/x.c", '#include "ingest/gate/gate.h"'),
    (rule_rooms, "proto/text/x.c", '#include "core/worker.h"'),
    (rule_twice, "core/x.c", "#include <errno.h>\n#include <errno.h>"),
    (rule_doors, "core/x.c", "#include <liburing.h>"),
    (rule_doors, "proto/ws/ws_sha1.c", "#include <wolfssl/ssl.h>"),
    (rule_banned, "proto/x.c", "x = malloc(1);"),
    (rule_banned, "core/x.c", "y = time(NULL);"),
    (rule_typedefs, "core/x.h", "typedef struct x x;"),
    (rule_guards, "core/x.h", "/* x */\n#ifndef X_H\n#define X_H\n#endif"),
    (rule_openings, "core/x.h", "#ifndef RINGPOST_CORE_X_H"),
    (rule_length, "core/x.c", "x" * (LINE_MAX + 1)),
    (rule_length, "core/x.c", "\n" * FILE_LINES_MAX),
    (rule_blanks, "core/x.c", "\tx"),
    (rule_shortages, "core/x.c", "bool x(void) {\n    y = pool_get(z);\n}"),
    (rule_proofs, "docs/x.md", "| what | test |\n| --- | --- |\n| a cut | |"),
    (rule_proofs, "docs/x.md", "| what | test |\n| a | `test_store.Restart.test_none_such` |"),
    (rule_proofs, "docs/x.md", "| what | test |\n| a | `test_journal.test_none_such` |"),
    (rule_leftovers, "core/x.c", "/* TO" + "DO */"),
    (rule_leftovers, "docs/x.md", "see /" + "work/x"),
]


def sources():
    found = [name for name in os.listdir(ROOT)
             if os.path.isfile(os.path.join(ROOT, name)) and not name.startswith(".git")]
    for folder in FOLDERS:
        for at, _, names in os.walk(os.path.join(ROOT, folder)):
            found += [os.path.relpath(os.path.join(at, name), ROOT) for name in names]
    return sorted(path for path in found
                  if not allowed(path, [place + "/" for place in NOT_OURS])
                  and "__pycache__" not in path
                  and (path.endswith(TEXT) or "." not in os.path.basename(path)))


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8", errors="replace") as file:
        text = file.read()
    return text.removesuffix("\n").split("\n")


def run(command, text=None):
    return subprocess.run(command, cwd=ROOT, input=text, capture_output=True, text=True,
                          check=False)


def alone(path):
    """How a header is compiled that is included twice and nothing else is. What other compilers
    think of it they say where it is used."""
    flags = ["-std=gnu17", "-D_GNU_SOURCE", "-fms-extensions", "-Wall", "-Wextra", "-Werror",
             "-Wno-unused-function", "-Wno-format-zero-length", "-I.", "-x", "c", "-"]
    if path.startswith("tests/"):
        flags.insert(0, "-Wno-unused-variable")
    return ["gcc"] + flags


def compile_alone(path):
    result, files = compile_only(alone(path), f'#include "{path}"\n' * 2)
    if result.returncode == 0:
        return [], files
    first = next((line for line in result.stderr.splitlines() if "error:" in line), "")
    return [(path, 1, f"does not compile alone: {first.strip()}")], files


def format_file(path):
    result = run(["clang-format", "--dry-run", "-Werror", path])
    match = re.search(r":(\d+):\d+: error:", result.stderr)
    if match:
        return [(path, int(match.group(1)), "not as clang-format has it: ./dev format")], []
    if result.returncode != 0:
        return [(path, 1, f"clang-format failed: {result.stderr.strip()}")], []
    return [], [path, ".clang-format"]


def format_files(paths):
    if run(["clang-format", "--dry-run", "-Werror", *paths]).returncode != 0:
        return {}
    return {path: [path, ".clang-format"] for path in paths}


def changed_ones(name, jobs, check, together=None):
    """The findings of a check of single files, made where something changed since it passed."""
    findings, _ = check_all(name, jobs, check, together, size=32)
    return [found for path in sorted(findings) for found in findings[path]]


def headers_alone(headers):
    version = run(["gcc", "--version"]).stdout
    return changed_ones("headers", [(path, version + " ".join(alone(path))) for path in headers],
                        compile_alone)


def formatted(paths):
    version = run(["clang-format", "--version"]).stdout
    return changed_ones("format", [(path, version) for path in paths], format_file, format_files)


def main():
    failed = 0
    texts = {path: read(path) for path in sources()}
    for rule, path, text in RULES:
        if not list(rule(path, text.split("\n"))):
            print(f"tests/tidy/tidy.py:1: {rule.__name__} does not notice {text[:40]!r}")
            failed += 1

    outcomes = []
    rules = list(dict.fromkeys(rule for rule, _, _ in RULES))
    for rule in rules:
        outcomes.append([(path, number, message) for path, lines in texts.items()
                         for number, message in rule(path, lines)])
    headers = [path for path in texts if path.endswith(".h")]
    outcomes.append(headers_alone(headers))
    outcomes.append(formatted([path for path in texts if path.endswith((".c", ".h"))]))

    for findings in outcomes:
        for path, number, message in findings:
            print(f"{path}:{number}: {message}")
        failed += 1 if findings else 0
    print(f"{len(outcomes) - min(failed, len(outcomes))} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
