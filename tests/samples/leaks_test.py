#!/usr/bin/env python3
"""Descriptors and memory over many connections. Usage: leaks_test.py --build BUILD [--slow]"""
import subprocess
import unittest

import sample
from sample import Sample, load, program

MIB = 1 << 20


class Cycles(unittest.TestCase):
    slow = False
    warm_up, cycles = 500, 1500

    def test_nothing_is_left_of_connections_that_have_ended(self):
        for how in ("orderly", "reset", "half"):
            with self.subTest(how), Sample() as echo:
                fds = echo.settled_fds()

                def back():
                    sample.until(lambda: len(echo.fds()) == fds, lambda: f"{len(echo.fds())} descriptors, {fds} at first")

                def cycle(count):
                    load(echo.address, "--mode", "connect", "--close", how, "--sources", 20, "--requests", count)
                    back()

                cycle(self.warm_up)
                before = echo.rss()
                cycle(self.cycles)
                grown = echo.rss() - before
                sample.figure(f"{how}: {self.cycles:,} cycles after {self.warm_up:,}: {grown / MIB:+.2f} MiB, "
                              f"{fds} descriptors as at first")
                if not sample.options.sanitized:  # freed memory is kept in quarantine there
                    self.assertLess(grown, 2 * MIB)


class ManyCycles(Cycles):
    slow = True
    warm_up, cycles = 10_000, 40_000


class Held(unittest.TestCase):
    slow = False
    idle, requests = 500, 5_000

    def test_many_held_connections_do_not_disturb_a_few_busy_ones(self):
        with Sample("--set", "limits.connections=15000") as echo:
            fds, rss = echo.settled_fds(), echo.rss()
            # Past 65,535 descriptors or ports nothing here goes; each source address has ports of its own.
            with subprocess.Popen([program("load"), "--connect", echo.address, "--idle", str(self.idle), "--sources", "4"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as held:
                try:
                    self.assertEqual(held.stdout.readline().strip(), "ready", held.poll())
                    self.assertEqual(len(echo.fds()), fds + self.idle)
                    each = (echo.rss() - rss) / self.idle
                    load(echo.address, "--connections", 64, "--requests", self.requests)
                    _, errors = held.communicate(timeout=60)  # ends its input
                    self.assertEqual(held.returncode, 0, errors)
                finally:
                    if held.poll() is None:
                        held.kill()
            sample.until(lambda: len(echo.fds()) == fds, lambda: f"{len(echo.fds())} descriptors, {fds} at first")
            sample.figure(f"{self.idle:,} held at {each:,.0f} bytes each, {self.requests:,} echoes beside them")


class ManyHeld(Held):
    slow = True
    idle, requests = 10_000, 500_000


if __name__ == "__main__":
    sample.main()
