"""perf/plot: what is drawn of an overload's figures."""

import contextlib
import io
import json
import os
import re
import sys
import tempfile
import unittest
from xml.etree import ElementTree

from run import script

plot = script("plot")
SVG = "{http://www.w3.org/2000/svg}"


def point_of(times, goodput, **more):
    return {"highest_rate": 100000, "written_per_s": times * 100000,
            "goodput_per_s": goodput * 100000, "flood_p99_us": 12345.0 * times, "faults": [],
            **more}


class Plot(unittest.TestCase):
    def run_plot(self, points, *arguments):
        """Status, the picture, what was said."""
        out, said, before = io.StringIO(), io.StringIO(), sys.argv
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "points.jsonl")
            with open(path, "w", encoding="utf-8") as file:
                file.writelines(json.dumps(point) + "\n" for point in points)
            sys.argv = ["plot", path, *arguments]
            try:
                with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
                    status = plot.main()
            except SystemExit as end:
                status = end.code
                said.write(str(end.code))
            finally:
                sys.argv = before
        return status, out.getvalue(), said.getvalue()

    def spots(self, picture):
        line = ElementTree.fromstring(picture).find(SVG + "polyline")
        return [tuple(map(float, spot.split(","))) for spot in line.get("points").split()]

    def test_a_point_is_as_far_and_as_high_as_its_figures(self):
        status, picture, _ = self.run_plot([point_of(1, 1), point_of(3, 0.8), point_of(2, 0.9)])
        self.assertEqual(status, 0)
        spots = self.spots(picture)
        self.assertEqual(len(spots), 3)
        xs, ys = zip(*spots)
        self.assertEqual(list(xs), sorted(xs))
        self.assertAlmostEqual(xs[1] - xs[0], xs[2] - xs[1], delta=0.2)
        self.assertAlmostEqual(ys[1] - ys[0], ys[2] - ys[1], delta=0.2)
        self.assertGreater(ys[2], ys[0])  # less is lower

    def test_nothing_is_drawn_outside(self):
        _, picture, _ = self.run_plot([point_of(times / 4, min(1.3, times / 4))
                                       for times in range(1, 17)])
        for x, y in self.spots(picture):
            self.assertTrue(plot.LEFT < x < plot.WIDTH and 0 < y < plot.HEIGHT - plot.BOTTOM)

    def test_latencies_stand_at_their_points(self):
        _, picture, _ = self.run_plot([point_of(1, 1), point_of(3, 0.8)])
        self.assertIn(">12 ms<", picture)
        self.assertIn(">37 ms<", picture)
        self.assertEqual(plot.latency_text(1234), "1.2 ms")

    def test_a_point_with_a_fault_is_no_result(self):
        status, picture, said = self.run_plot([point_of(1, 1), point_of(2, 9, faults=["3 missing"]),
                                               point_of(3, 0.8)])
        self.assertEqual(status, 0)
        self.assertEqual(len(self.spots(picture)), 2)
        self.assertIn("line 2 is left out: 3 missing", said)

    def test_what_is_not_of_the_load_tool_is_named(self):
        status, _, said = self.run_plot([point_of(1, 1), {"highest_rate": 1}])
        self.assertNotEqual(status, 0)
        self.assertIn("line 2 is none of", said)

    def test_steps_are_round(self):
        for largest in (3, 70, 1234, 99999, 480000):
            step = plot.nice_step(largest, 5)
            self.assertRegex(f"{step:g}", re.compile(r"^[125](0*|e\+\d+)$|^0\.[125]$"))
            self.assertLessEqual(largest / step, 5)


if __name__ == "__main__":
    unittest.main()
