"""The binary that is shipped: what the compiler and the linker can do against misuse is in it."""

import os
import re
import subprocess
import unittest

from support import BINARY, SANITIZED


def readelf(*options):
    return subprocess.run(["readelf", "-W", *options, BINARY], capture_output=True, text=True,
                          check=True).stdout


@unittest.skipIf(SANITIZED, "what is shipped is the release build")
class Hardening(unittest.TestCase):
    def test_the_linker(self):
        headers = readelf("-lhd")
        self.assertIn("Type:                              DYN", headers)
        self.assertIn("INTERP", headers)  # a program, not a library
        self.assertIn("GNU_RELRO", headers)
        self.assertRegex(headers, r"FLAGS.*BIND_NOW|FLAGS_1.*NOW")
        self.assertRegex(headers, r"GNU_STACK .* RW +0x")
        self.assertNotRegex(headers, r"LOAD .* RWE ")

    def test_stack_protector_and_fortify(self):
        names = readelf("--dyn-syms")
        self.assertIn("__stack_chk_fail", names)
        self.assertRegex(names, r"__(snprintf|vsnprintf|memcpy|read)_chk")

    def test_every_source_is_compiled_with_all_of_it(self):
        debug = readelf("--debug-dump=info", "--dwarf-depth=1")
        units = re.findall(r"DW_AT_producer +: (?:\(.*?\): )?(GNU C\d+ .*)", debug)
        sources = re.findall(r"DW_AT_name +: (?:\(.*?\): )?(\S+\.c)$", debug, re.M)
        self.assertTrue(any("llhttp.c" in name for name in sources) or
                        "libllhttp" in readelf("-d"), sources[:5])
        self.assertGreater(len(units), 50)
        wanted = ["-fstack-protector-strong", "-fstack-clash-protection"]
        if os.uname().machine == "x86_64":
            wanted.append("-fcf-protection")
        for flag in wanted:
            self.assertEqual([unit for unit in units if flag not in unit], [], flag)


if __name__ == "__main__":
    unittest.main()
