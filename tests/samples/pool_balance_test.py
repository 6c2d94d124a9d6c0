#!/usr/bin/env python3
"""What each worker of a pool gets of its connections. Usage: pool_balance_test.py --build BUILD
"""
import collections
import contextlib
import itertools
import os
import signal
import tempfile
import threading
import unittest

import sample
from pool import MODES, Pool, is_stopped, receive_line, say
from sample import Sample, at_once, busy_machine, connect, until

ROUNDS = 3
SHORT, HELD = 400, 100  # connections


class Sharing(unittest.TestCase):
    """The promise is for workers that are idle: no other test runs meanwhile, and what the machine does beside may spoil
    a round or two."""
    alone = True

    def test_workers_share_the_connections_in_every_mode(self):
        for mode, (workers, least) in itertools.product(MODES, ((2, 0.35), (4, 0.12))):
            with self.subTest(mode, workers=workers), Pool("--set", f"processes.accept={mode}", processes=workers) as pool:
                pool.wait_until_serving(workers)
                for _ in range(ROUNDS):
                    short, staying = self.share_out(pool)
                    shares = [min(n.values()) / n.total() for n in (short, staying)]
                    sample.figure(f"{mode}, {workers} workers: smallest share {shares[0]:.1%} of {SHORT} short, {shares[1]:.1%} of {HELD} held")
                    if min(shares) >= least:
                        break
                self.assertEqual(set(short), pool.workers())
                self.assertEqual(len(staying), workers)
                self.assertGreaterEqual(min(shares), least)

    def share_out(self, pool):
        short = collections.Counter(pool.who() for _ in range(SHORT))
        with contextlib.ExitStack() as held:
            return short, collections.Counter(
                int(say(held.enter_context(connect(pool.address)))) for _ in range(HELD))

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
                        until(lambda: is_stopped(stopped), "the worker is not stopped")
                        served = collections.Counter(
                            int(say(held.enter_context(connect(pool.address)))) for _ in range(60))
                    finally:
                        os.kill(stopped, signal.SIGCONT)
                    self.assertNotIn(stopped, served)
                    self.assertGreaterEqual(min(served[each] for each in others), 20, served)
                    again = collections.Counter(int(say(held.enter_context(connect(pool.address)))) for _ in range(60))
                    self.assertGreaterEqual(again[stopped], 20, again)


    def test_whichever_worker_is_stopped_8_clients_at_once_are_served_by_the_other_in_every_mode(self):
        """With mutex one of the two holds the lock, with notify one of them is told."""
        for mode in MODES:
            with self.subTest(mode), Pool("--set", f"processes.accept={mode}") as pool:
                pool.wait_until_serving()
                for stopped in sorted(pool.workers()):
                    os.kill(stopped, signal.SIGSTOP)
                    try:
                        until(lambda: is_stopped(stopped), "the worker is not stopped")
                        with at_once(pool.address, 8) as crowd:
                            self.assertEqual({int(say(c)) for c in crowd}, pool.workers() - {stopped})
                    finally:
                        os.kill(stopped, signal.SIGCONT)
                    pool.wait_until_serving()


class Held(unittest.TestCase):
    """A handler blocks the loop of its worker for as long as the test lasts. Bounds are of patience, not of speed."""
    clients = 60
    most = 3  # clients that the worker has taken when it is held

    @contextlib.contextmanager
    def with_a_held_worker(self, mode, *arguments, processes=2):
        with tempfile.TemporaryDirectory() as folder, Pool("--set", f"processes.accept={mode}", *arguments, processes=processes,
                                                           environment={"POOL_HOLD": f"{folder}/hold"}) as pool:
            pool.wait_until_serving(processes)
            with connect(pool.address) as holding:
                held = int(say(holding))
                holding.sendall(b"hold\n")
                until(lambda: os.path.exists(f"{folder}/hold"), "the loop is blocked")
                try:
                    yield pool, held
                finally:
                    os.unlink(f"{folder}/hold")
                self.assertEqual(int(receive_line(holding)), held)
            pool.wait_until_serving(processes)  # the one that was held, too

    def test_a_held_worker_keeps_few_clients_of_a_burst_in_every_mode(self):
        for mode in MODES:
            with self.subTest(mode), self.with_a_held_worker(mode) as (pool, held), at_once(pool.address, self.clients) as crowd:
                for c in crowd:
                    c.sendall(b"bye\n")
                served = sample.answered(crowd, sample.BOUND, enough=self.clients - self.most)
                self.assertGreaterEqual(len(served), self.clients - self.most)
                self.assertNotIn(held, {int(receive_line(c)) for c in served})

    def test_a_held_worker_keeps_few_of_the_clients_that_come_one_by_one_in_every_mode(self):
        """All modes at once, as the clients that are kept take their time."""
        lost = {}

        def come_to(mode):
            with self.with_a_held_worker(mode) as (pool, _):
                lost[mode] = 0
                for _ in range(self.clients):
                    with connect(pool.address) as c:
                        c.sendall(b"bye\n")
                        lost[mode] += not sample.answered([c], 1, enough=1)
                    if lost[mode] > self.most:
                        break

        threads = [threading.Thread(target=come_to, args=(mode,)) for mode in MODES]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        sample.figure(f"not answered of {self.clients} one by one: {lost}")
        self.assertEqual(set(lost), set(MODES))
        self.assertLessEqual(max(lost.values()), self.most)


class HeldLoop(unittest.TestCase):
    """Of two loops of one process, one is blocked: the one that accepts, or the other one."""
    clients = 60

    def test_a_held_loop_keeps_few_clients_whichever_it_is(self):
        for policy, held in itertools.product(("least-connections", "round-robin", "kernel"), (0, 1)):
            with self.subTest(policy, held=held), tempfile.TemporaryDirectory() as folder, Sample(
                    "--cores", "0,1", "--set", "cores.pin=false", "--policy", policy, name="pool_worker",
                    environment={"POOL_HOLD": f"{folder}/hold"}) as server, contextlib.ExitStack() as clients:
                pair = [clients.enter_context(connect(server.address)) for _ in range(2)]
                for c in pair:
                    say(c)
                pair[held].sendall(b"hold\n")
                until(lambda: os.path.exists(f"{folder}/hold"), "the loop is blocked")
                try:
                    with at_once(server.address, self.clients) as crowd:
                        for c in crowd:
                            c.sendall(b"bye\n")
                        served = sample.answered(crowd, sample.BOUND, enough=self.clients - 3)
                        self.assertGreaterEqual(len(served), self.clients - 3)
                finally:
                    os.unlink(f"{folder}/hold")
                receive_line(pair[held])


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
    """64 clients at once while two other processes keep the CPUs busy: the shares rest on counts, so no run may fail,
    whatever else runs meanwhile."""
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
    """Alone, because the processes that keep the CPUs busy are in the way of every other test for long."""
    slow = alone = True
    runs = 20


if __name__ == "__main__":
    sample.main()
