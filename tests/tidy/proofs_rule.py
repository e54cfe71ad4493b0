"""Tables of docs whose last column is `test`: each row names tests, and these exist.

`test_store.Restart.test_x` is an end-to-end test, by its module and class; `test_journal.test_x` a
unit test, by its program.
"""

import pathlib
import re

from remember import ROOT

NAME = re.compile(r"`(test_\w+)((?:\.\w+)+)`")


def test_exists(program, parts):
    if len(parts) == 1:
        return any(f"({parts[0]})" in path.read_text(encoding="utf-8")
                   for path in pathlib.Path(ROOT, "tests/unit").rglob(f"{program}.c"))
    path = pathlib.Path(ROOT, f"tests/e2e/{program}.py")
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    found = re.search(rf"^class {parts[0]}\b.*?(?=^class |\Z)", text, re.M | re.S)
    return found is not None and f"    def {parts[1]}(self" in found.group(0)


def proofs_missing(path, lines):
    if not path.startswith("docs/"):
        return
    within = False
    for number, line in enumerate(lines, 1):
        if not line.startswith("|"):
            within = False
        elif line.endswith("| test |"):
            within = True
        elif within and not set(line) <= set("|- "):
            names = NAME.findall(line)
            if not names:
                yield number, "the row names no test"
            for program, parts in names:
                if not test_exists(program, parts[1:].split(".")):
                    yield number, f"there is no test {program}{parts}"
