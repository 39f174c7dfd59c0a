# SPDX-License-Identifier: MIT
"""Tests what `bench checkpoint` makes of its figures, with figures made up by hand.

    python3 benchmarks/checkpoint/report_test.py
"""
import unittest
from xml.etree import ElementTree

import picture
import report


def point(name, peak, share, seconds, time_share):
    return {"name": name, "peak_bytes": peak, "activation_share": share, "seconds": seconds, "time_share": time_share}


MEZZO = [point("none", 100, 1.0, 1.0, 1.0), point("plan 1", 20, 0.1, 1.5, 1.5), point("plan 2", 40, 0.4, 1.1, 1.1),
         point("plan 3", 30, 0.3, 1.2, 1.2)]
TORCH = [point("none", 110, 1.0, 2.0, 1.0), point("2 segments", 50, 0.5, 2.4, 1.2), point("3 segments", 45, 0.4, 2.6, 1.3),
         point("4 segments", 60, 0.6, 2.7, 1.35)]


class ReportTest(unittest.TestCase):
    def test_a_goal_is_met_by_the_fastest_plan_that_saves_enough(self):
        goal, = report.goals([(0.6, 0.12)], MEZZO, TORCH)
        self.assertEqual((goal["point"], goal["time_share"], goal["peer_time_share"], goal["met"]), ("plan 2", 1.1, 1.3, True))

    def test_a_goal_is_not_met_where_time_or_bytes_are_too_many(self):
        slow, impossible = report.goals([(0.65, 0.12), (0.95, 9.0)], MEZZO, TORCH)
        self.assertEqual((slow["point"], slow["met"]), ("plan 3", False))
        self.assertEqual((impossible["point"], impossible["peer_time_share"], impossible["met"]), (None, None, False))

    def test_the_front_leaves_out_what_is_worse_in_both(self):
        self.assertEqual([found["name"] for found in report.front(TORCH[1:], "peak_bytes", "seconds")], ["3 segments", "2 segments"])

    def test_pytorchs_best_are_compared_in_both_views(self):
        absolute, shares = (rows for _, rows in sorted(
            {view: [row for row in report.against(MEZZO, TORCH) if row["view"] == view] for view, _, _ in report.VIEWS}.items()))
        self.assertEqual([(row["name"], row["bytes_at_same_time"], row["time_at_same_bytes"], row["met"]) for row in absolute],
                         [("3 segments", 20, 1.1, True), ("2 segments", 20, 1.1, True)])
        self.assertEqual([(row["name"], row["bytes_at_same_time"], row["time_at_same_bytes"], row["met"]) for row in shares],
                         [("3 segments", 0.3, 1.1, True), ("2 segments", 0.3, 1.1, True)])

    def test_equal_is_not_less(self):
        found = report.against(TORCH, TORCH)
        self.assertFalse(any(row["met"] for row in found))

    def test_the_picture_is_xml_with_a_dot_for_every_point(self):
        drawn = ElementTree.fromstring(picture.draw("a net", {"PyTorch": TORCH, "Mezzo": MEZZO}))
        namespace = "{http://www.w3.org/2000/svg}"
        circles = drawn.findall(f"{namespace}circle")
        self.assertEqual(len(circles), len(TORCH) + len(MEZZO))
        for circle in circles:
            self.assertTrue(0 <= float(circle.get("cx")) <= picture.WIDTH and 0 <= float(circle.get("cy")) <= picture.HEIGHT)
        self.assertEqual(len(drawn.findall(f"{namespace}polyline")), 2)


if __name__ == "__main__":
    unittest.main()
