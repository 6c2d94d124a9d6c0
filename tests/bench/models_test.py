#!/usr/bin/env python3
"""What ./dev bench models concludes from figures that are given. Usage: models_test.py"""
import sys
import unittest

sys.dont_write_bytecode = True
import models


def run(rate, cpu=10, served=1000, p99=5000):
    return {"requests_per_second": rate, "p50_us": 100, "p99_us": p99, "cpu_us": cpu, "switches": 1, "threads": 1,
            "memory_mb": 2, "served": served}


def advice(**rows):
    return models.advice({"echo": {"1": {}, "1000": rows}}, "echo")


class Concludes(unittest.TestCase):
    def test_the_fastest_is_advised_and_the_slowest_named(self):
        text = advice(a=run(1000), b=run(4000), c=run(2000))
        self.assertTrue(text.startswith("Take b: 4,000 requests/s with 1,000 connections"), text)
        self.assertIn("a is 4.0 times slower", text)

    def test_among_equals_the_cheapest_is_advised(self):
        text = advice(a=run(1000, cpu=20), b=run(960, cpu=10))
        self.assertTrue(text.startswith("Take b"), text)
        self.assertIn("a is as fast within 10%", text)

    def test_who_leaves_clients_unserved_does_not_compete(self):
        text = advice(fast=run(90_000, served=1), slow=run(100))
        self.assertTrue(text.startswith("Take slow"), text)
        self.assertIn("not all 1,000 clients were answered by fast (1)", text)
        self.assertEqual(advice(fast=run(90_000, served=1)), "No model served every client.")

    def test_a_run_that_failed_is_no_figure(self):
        self.assertTrue(advice(a={"failed": "it ended"}, b=run(10)).startswith("Take b"))

    def test_figures_of_a_comparison_are_taken_as_they_are(self):
        run = {"failed": None, "requests_per_second": 5.0, "p50_us": None, "p99_us": 2, "cpu_us": 3, "switches": 4, "threads": 5,
               "memory_mb": 6, "served": 7, "starved": 0}
        self.assertEqual(models.figures_of({"runs": [run]})["served"], 7)
        self.assertEqual(models.figures_of({"runs": [run]})["p50_us"], 0)
        self.assertEqual(models.figures_of({"runs": [{**run, "failed": "it ended"}]}), {"failed": "it ended"})

    def verdicts(self, loop, worker):
        figures = {"echo": {"1000": {"single-loop": run(loop), "thread-per-event": run(worker)}}}
        return [v for claim, v, _ in models.predictions(figures) if "many connections" in claim]

    def test_a_claim_is_confirmed_contradicted_or_left_open(self):
        self.assertEqual(self.verdicts(2000, 1000), ["confirmed"])
        self.assertEqual(self.verdicts(1000, 2000), ["contradicted"])
        self.assertEqual(self.verdicts(1000, 1020), ["undecided"])

    def test_a_claim_about_what_was_not_measured_is_not_made(self):
        self.assertEqual(models.predictions({"echo": {"1000": {"single-loop": run(1)}}}), [])


if __name__ == "__main__":
    unittest.main()
