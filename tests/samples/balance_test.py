#!/usr/bin/env python3
"""Which loop serves a connection, under each policy. Usage: balance_test.py --build BUILD"""
import collections
import os
import unittest

import sample
from sample import Sample, connect, receive_exactly


def loop_of(client):
    return int(receive_exactly(client, 1))


class Server:
    def server(self, policy):
        first, second = sorted(os.sched_getaffinity(0))[:2]
        return Sample("--cores", f"{first},{second}", "--policy", policy, "--set", "distribute.seed=1",
                      name="which_loop")

    def smaller_share(self, loops):
        counts = collections.Counter(loops)
        self.assertLessEqual(set(counts), {0, 1})
        return min(counts[0], counts[1]) / len(loops)


@unittest.skipIf(len(os.sched_getaffinity(0)) < 2, "one CPU")
class Balance(Server, unittest.TestCase):
    def test_each_loop_gets_its_share(self):
        for policy in ("round-robin", "least-connections", "two-choices", "random", "kernel"):
            with self.subTest(policy), self.server(policy) as server:
                short = []
                for _ in range(2000):
                    with connect(server.address) as client:
                        short.append(loop_of(client))
                held = [connect(server.address) for _ in range(200)]
                shares = self.smaller_share(short), self.smaller_share([loop_of(c) for c in held])
                for c in held:
                    c.close()
                sample.figure(f"{policy}: smaller share {shares[0]:.1%} of 2,000 short, {shares[1]:.1%} of 200 held")
                self.assertGreaterEqual(shares[0], 0.35)
                self.assertGreaterEqual(shares[1], 0.35)

    def test_least_connections_levels_an_uneven_start(self):
        with self.server("least-connections") as server:
            held = [connect(server.address) for _ in range(100)]
            of = [loop_of(c) for c in held]
            for client, loop in zip(held, of):
                if loop == 0:
                    client.close()
            left = of.count(1)
            # Those that left are counted off when the loop has seen their end: only then is it the emptier one.
            first = connect(server.address)
            sample.until(lambda: len(server.fds()) < 70, "the descriptors of those who left are closed")
            more = [connect(server.address) for _ in range(left - 2)]
            self.assertGreaterEqual([loop_of(c) for c in more].count(0), left - 4)
            for c in (first, *more, *held):
                c.close()

    def test_ip_hash_sends_a_client_to_the_same_loop_each_time(self):
        with self.server("ip-hash") as server:
            loops = {}
            for source in [f"127.0.0.{n}" for n in range(1, 201)] * 3:
                with connect(server.address, from_address=source) as client:
                    loops.setdefault(source, []).append(loop_of(client))
            self.assertEqual([s for s, each in loops.items() if len(set(each)) != 1], [])
            share = self.smaller_share([each[0] for each in loops.values()])
            sample.figure(f"ip-hash: 200 clients, each with one loop, smaller share {share:.1%}")
            self.assertGreaterEqual(share, 0.35)


@unittest.skipIf(len(os.sched_getaffinity(0)) < 2, "one CPU")
class Burst(Server, unittest.TestCase):
    """64 clients at once while two other processes keep the CPUs busy: the shares rest on counts, so no run may fail."""
    bursts = 3

    def test_a_burst_is_shared_by_every_policy_that_balances_on_a_busy_machine(self):
        for policy in ("round-robin", "least-connections", "two-choices", "kernel"):
            with self.subTest(policy), self.server(policy) as server:
                shares = []
                with sample.busy_machine():
                    for _ in range(self.bursts):
                        with sample.at_once(server.address, 64) as clients:
                            shares.append(self.smaller_share([loop_of(c) for c in clients]))
                        sample.until(lambda: len(server.fds()) < 40, "the descriptors of those who left are closed")
                        self.see_both_loops(server)
                sample.figure(f"{policy}: smaller share of 64 at once: " + " ".join(f"{each:.0%}" for each in shares))
                self.assertGreaterEqual(min(shares), 0.4)

    def see_both_loops(self, server):
        """And each has counted off, since its next turn, the connections that it closed."""
        seen = set()
        sample.until(lambda: self.see_one(server, seen) == {0, 1}, lambda: f"only loops {seen} serve")

    def see_one(self, server, seen):
        with connect(server.address) as client:
            seen.add(loop_of(client))
        return seen


class BurstOften(Burst):
    slow = True
    bursts = 20


if __name__ == "__main__":
    sample.main()
