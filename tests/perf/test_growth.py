"""perf/growth: its plan, its tables, and how they come into a document."""

import contextlib
import io
import os
import sys
import tempfile
import unittest

from run import script

growth = script("growth")

TOOL = """#!/bin/sh
echo '{"server_us_per_message":12.5,"latency_p50_us":1,"latency_p99_us":2,"highest_rate":50000,\
"deliveries_per_s":10000,"before_kb_each":0.5,"after_kb_each":0.6,"others_percent":0,\
"faults":[],"notes":[]}'
"""


class Growth(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.node, self.document = (os.path.join(folder.name, name) for name in ("node", "d.md"))
        with open(self.node, "w", encoding="utf-8") as file:
            file.write(TOOL)
        os.chmod(self.node, 0o755)

    def run_growth(self, *arguments):
        out, before = io.StringIO(), sys.argv
        sys.argv = ["growth", "--node", self.node, *arguments]
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
                status = growth.main()
        except SystemExit as end:
            status = end.code
        finally:
            sys.argv = before
        return status, out.getvalue()

    def test_all_of_it_takes_less_than_six_minutes(self):
        self.assertLess(sum(run.about_s * run.turns for table in growth.tables()
                            for _, runs in table.rows for run in runs), 360)

    def test_a_table_has_a_row_for_each_size(self):
        status, out = self.run_growth("--only", "clients,payload")
        self.assertEqual(status, 0)
        self.assertIn("| 30 000 | 12.5 (0 %) | 1 (0 %) | 2 (0 %) | 0.5 | 0.6 |", out)
        self.assertIn("| 65 536 | 12.5 (0 %) | 655.4 (0 %) |", out)
        self.assertNotIn("### Workers", out)

    def test_quick_states_no_spread(self):
        self.assertIn("| 100 | 12.5 | 1 | 2 |", self.run_growth("--quick", "--only", "clients")[1])

    def test_what_was_not_measured_is_a_dash_and_told(self):
        with open(self.node, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\necho no descriptors >&2\nexit 1\n")
        status, out = self.run_growth("--quick", "--only", "groups")
        self.assertEqual(status, 1)
        self.assertIn("| 10 000 | - | - | - |", out)
        self.assertIn("- members of a group, 10, groups: no descriptors", out)

    def test_the_tables_replace_what_stands_between_the_markers(self):
        for before in ("", "an older table\n"):
            with open(self.document, "w", encoding="utf-8") as file:
                file.write(f"above\n{growth.BEGIN}\n{before}{growth.END}\nbelow\n")
            self.assertEqual(self.run_growth("--quick", "--write", self.document)[0], 0)
            with open(self.document, encoding="utf-8") as file:
                text = file.read()
            self.assertTrue(text.startswith(f"above\n{growth.BEGIN}\n\nMeasured "))
            self.assertTrue(text.endswith(f"\n{growth.END}\nbelow\n"))
            self.assertEqual(text.count("### Workers"), 1)
            self.assertNotIn("an older table", text)

    def test_a_document_without_markers_is_left_alone(self):
        with open(self.document, "w", encoding="utf-8") as file:
            file.write("above\n")
        self.assertIn("has no lines", str(self.run_growth("--quick", "--write", self.document)[0]))
        with open(self.document, encoding="utf-8") as file:
            self.assertEqual(file.read(), "above\n")

    def test_a_part_of_the_tables_is_not_written_into_a_document(self):
        self.assertEqual(self.run_growth("--only", "groups", "--write", self.document)[0], 2)

    def test_the_document_of_this_project_has_the_markers(self):
        path = os.path.join(growth.measure.ROOT, "docs", "performance.md")
        growth.put_into(path, None)  # ends the program when they are missing
