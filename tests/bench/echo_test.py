#!/usr/bin/env python3
"""What the echo benchmark prints: figures that agree with each other."""
import sys
import unittest

sys.dont_write_bytecode = True
import echo

RULER, OURS, OTHER = echo.RULER, "weir", "other"
# (requests/s, CPU µs per request) of each round. The machine was slow in the second and odd in the third.
ROUNDS = {
    RULER: [(200.0, 5.0), (100.0, 10.0), (150.0, 6.0), (198.0, 5.0), (204.0, 5.0)],
    OURS: [(198.0, 5.5), (99.0, 11.0), (300.0, 3.0), (196.0, 5.4), (202.0, 5.5)],
    OTHER: [(180.0, 6.0), (90.0, 12.0), (60.0, 12.0), (178.0, 6.0), (183.0, 6.0)],
}


class Table(unittest.TestCase):
    def setUp(self):
        self.rows = echo.rows_of(ROUNDS)

    def test_a_ratio_is_the_quotient_of_the_figures_that_stand_in_the_table(self):
        ruler = self.rows[RULER]
        for row in self.rows.values():
            self.assertAlmostEqual(row["requests_per_second"] / ruler["requests_per_second"], row["requests_ratio"])
            self.assertAlmostEqual(row["cpu_us"] / ruler["cpu_us"], row["cpu_ratio"])

    def test_a_round_that_is_unlike_the_others_is_not_the_one_that_is_printed(self):
        self.assertNotEqual(self.rows[OURS]["requests_per_second"], 300.0)

    def test_what_the_rounds_differ_by_stands_beside_the_ratio(self):
        self.assertEqual(self.rows[RULER]["requests_range"], (1.0, 1.0))
        low, high = self.rows[OURS]["requests_range"]
        self.assertAlmostEqual(low, 0.99, 3)
        self.assertAlmostEqual(high, 2.0)

    def test_without_the_ruler_there_is_no_ratio(self):
        rows = echo.rows_of({OURS: ROUNDS[OURS]})
        self.assertIsNone(rows[OURS]["requests_ratio"])
        self.assertIsNone(rows[OURS]["requests_range"])


if __name__ == "__main__":
    unittest.main()
