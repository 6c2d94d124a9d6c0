#!/usr/bin/env python3
"""What each worker of a pool gets of its connections. Usage: pool_balance_test.py --build BUILD

The promise is for workers that are idle: no other test runs meanwhile, and what the machine does beside may spoil a
round or two.
"""
import collections
import contextlib
import itertools
import os
import signal
import unittest

import sample
from pool import MODES, Pool, say, state_of
from sample import at_once, busy_machine, connect, until

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


class Stopped(unittest.TestCase):
    def test_a_stopped_worker_is_passed_over_and_none_waits_for_it_in_every_mode(self):
        for mode in MODES:
            with self.subTest(mode), Pool("--set", f"processes.accept={mode}", processes=3) as pool:
                pool.wait_until_serving(3)
                stopped, *others = sorted(pool.workers())
                # The others have more, so it would be the next one's turn.
                with contextlib.ExitStack() as held:
                    for _ in range(30):
                        say(held.enter_context(connect(pool.address)))
                    os.kill(stopped, signal.SIGSTOP)
                    try:
                        until(lambda: state_of(stopped) == "T", "the worker is not stopped")
                        served = collections.Counter(
                            int(say(held.enter_context(connect(pool.address)))) for _ in range(60))
                    finally:
                        os.kill(stopped, signal.SIGCONT)
                    self.assertNotIn(stopped, served)
                    self.assertGreaterEqual(min(served[each] for each in others), 20, served)
                    again = collections.Counter(int(say(held.enter_context(connect(pool.address)))) for _ in range(60))
                    self.assertGreaterEqual(again[stopped], 20, again)


class Sticky(unittest.TestCase):
    def test_by_ip_hash_a_v4_client_meets_the_same_worker_over_a_v4_and_a_dual_listener(self):
        with Pool("--set", "processes.accept=dispatch", "--policy", "ip-hash", processes=4,
                  listen=("127.0.0.1:0", "*:0")) as pool:
            sources = [f"127.0.0.{n}" for n in range(1, 41)]
            until(lambda: len({self.worker_of(source, pool.address) for source in sources}) == 4, "not every worker serves")
            v4, dual = (f"127.0.0.1:{address.rpartition(':')[2]}" for address in pool.addresses)
            met = {}
            for source in sources:
                for address in (v4, dual):
                    met.setdefault(source, set()).add(self.worker_of(source, address))
            self.assertEqual([source for source, workers in met.items() if len(workers) != 1], [])

    def worker_of(self, source, address):
        with connect(address, from_address=source) as client:
            return say(client)


class Burst(unittest.TestCase):
    """64 clients at once while two other processes keep the CPUs busy: the shares rest on counts, so no run may fail."""
    runs = 3
    clients = 64

    def test_a_burst_is_shared_in_every_mode_on_a_busy_machine(self):
        for mode, (workers, least) in itertools.product(MODES, ((2, 0.4), (4, 0.12))):
            with self.subTest(mode, workers=workers), Pool("--set", f"processes.accept={mode}", processes=workers) as pool:
                pool.wait_until_serving(workers)
                smallest = []
                with busy_machine():
                    for _ in range(self.runs):
                        smallest.append(self.smallest_share(pool, workers))
                        pool.wait_until_empty()
                        pool.wait_until_serving(workers)  # and has counted off, since its next turn, what it closed
                sample.figure(f"{mode}, {workers} workers: smallest share of {self.clients} at once: "
                              + " ".join(f"{each:.0%}" for each in smallest))
                self.assertGreaterEqual(min(smallest), least)

    def smallest_share(self, pool, workers):
        with at_once(pool.address, self.clients) as clients:
            served = collections.Counter(int(say(c)) for c in clients)
        return min(served.values()) / self.clients if len(served) == workers else 0


class BurstOften(Burst):
    slow = True
    runs = 20


if __name__ == "__main__":
    sample.main()
