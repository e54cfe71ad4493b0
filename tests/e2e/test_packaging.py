"""What packaging/ and the Dockerfile say fits the program. tests/docker.sh runs the container."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from support import BINARY, run

ROOT = pathlib.Path(__file__).resolve().parents[2]


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


class Packaging(unittest.TestCase):
    def test_the_profile_allows_what_the_sandbox_does(self):
        profile = json.loads(text("packaging/seccomp.json"))
        running = set(re.findall(r"(?m)^ +CALL\((\w+),", text("core/sandbox.c")))
        self.assertGreater(len(running), 30)
        self.assertEqual(set(profile["syscalls"][0]["names"]), running)
        names = [name for rule in profile["syscalls"] for name in rule["names"]]
        self.assertEqual(len(names), len(set(names)))
        self.assertEqual(profile["defaultAction"], "SCMP_ACT_ERRNO")
        for call in ("ptrace", "mount", "unshare", "setns", "bpf", "keyctl", "init_module"):
            self.assertNotIn(call, names)

    def test_the_environment_of_the_image_is_one_of_settings(self):
        """Without a key the start says what to add to `docker run`."""
        environment = dict(word.split("=", 1) for word in re.search(
            r"(?m)^ENV (.*)$", text("Dockerfile"))[1].split())
        self.assertEqual(len(environment), 3)
        status, _, error = run(["serve"], env={**os.environ, **environment})
        self.assertEqual(status, 1, error)
        self.assertIn("-e RINGPOST_API_KEY=", error)
        status, _, error = run(["check-config"],
                               env={**os.environ, **environment, "RINGPOST_API_KEY": "k"})
        self.assertEqual(status, 0, error)
        exposed = set(re.search(r"(?m)^EXPOSE (.*)$", text("Dockerfile"))[1].split())
        self.assertEqual(exposed, {value.rsplit(":", 1)[1] for value in environment.values()})

    @unittest.skipUnless(shutil.which("systemd-analyze"), "systemd-analyze is not installed")
    def test_the_unit(self):
        with tempfile.TemporaryDirectory(prefix="ringpost-unit-") as folder:
            path = os.path.join(folder, "ringpost.service")
            with open(path, "w", encoding="utf-8") as file:
                file.write(text("packaging/ringpost.service").replace(
                    "/usr/local/bin/ringpost", os.path.abspath(BINARY)))
            done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True,
                                  text=True, check=False)
            about = [line for line in done.stderr.splitlines() if "ringpost" in line]
            self.assertEqual(about, [], done.stderr)


if __name__ == "__main__":
    unittest.main()
