#!/usr/bin/env python3
"""What each worker of a pool gets of its connections. Usage: pool_balance_test.py --build BUILD

The promise is for workers that are idle: no other test runs meanwhile, and what the machine does beside may spoil a
round or two.
"""
import collections
import contextlib
import itertools
import unittest

import sample
from pool import MODES, Pool, say
from sample import connect

ROUNDS = 3


class Sharing(unittest.TestCase):
    def test_workers_share_the_connections_in_every_mode(self):
        for mode, (workers, least) in itertools.product(MODES, ((2, 0.35), (4, 0.12))):
            with self.subTest(mode, workers=workers), Pool("--set", f"processes.accept={mode}", processes=workers) as pool:
                pool.wait_until_serving(workers)
                for _ in range(ROUNDS):
                    short, staying = self.share_out(pool)
                    shares = [min(n.values()) / n.total() for n in (short, staying)]
                    sample.figure(f"{mode}, {workers} workers: smallest share {shares[0]:.1%} of 2,000 short, {shares[1]:.1%} of 200 held")
                    if min(shares) >= least:
                        break
                self.assertEqual(set(short), pool.workers())
                self.assertEqual(len(staying), workers)
                self.assertGreaterEqual(min(shares), least)

    def test_a_burst_is_not_one_workers(self):
        for mode in ("shared", "mutex"):
            with self.subTest(mode), Pool("--set", f"processes.accept={mode}", processes=2) as pool:
                pool.wait_until_serving(2)
                for _ in range(ROUNDS):
                    with contextlib.ExitStack() as held:
                        clients = [held.enter_context(connect(pool.address)) for _ in range(200)]
                        shares = collections.Counter(say(c) for c in clients)
                    sample.figure(f"{mode}: {sorted(shares.values())} of 200 at once")
                    if min(shares.values()) >= 70:
                        break
                self.assertEqual(len(shares), 2)
                self.assertGreaterEqual(min(shares.values()), 70)

    def share_out(self, pool):
        short = collections.Counter(pool.who() for _ in range(2000))
        with contextlib.ExitStack() as held:
            return short, collections.Counter(
                int(say(held.enter_context(connect(pool.address)))) for _ in range(200))

    def test_workers_that_compete_for_each_connection_all_get_some(self):
        with Pool("--set", "processes.accept=notify", "--policy", "compete", processes=4) as pool:
            pool.wait_until_serving(4)
            served = collections.Counter(pool.who() for _ in range(400))
            sample.figure(f"compete: {sorted(served.values())} of 400")
            self.assertEqual(set(served), pool.workers())


if __name__ == "__main__":
    sample.main()
