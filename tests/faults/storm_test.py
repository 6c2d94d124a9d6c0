#!/usr/bin/env python3
"""Storms: system calls and allocations of running servers fail at random while clients check every byte.

Usage: storm_test.py --build BUILD [--slow]. A storm that fails prints its seed; WEIR_STORM_SEED=<seed> repeats it alone.
The calls that fail are those of the seed as long as the threads and the clients of a server take turns as before."""
import concurrent.futures
import errno
import os
import random
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "samples"))

import allocation_test
import pool
import sample
from allocation_test import Server, rows_of
from clients import PATHS, echo_burst, served
from faults import ALLOCATION, CALLS, EPOLL_CTL_ADD, NEW_THREAD, SHORT, Faults, works
from pool import MODES

E = errno
# What the kernel may answer at any time. It never says EAGAIN of a socket that has bytes or room, moves a part of them
# only where a call may wait, and never fails a write to an eventfd, a timer that is set, or EPOLL_CTL_MOD.
ANYWHERE = [
    ("accept4", [E.EMFILE, E.ENFILE, E.ENOMEM, E.ENOBUFS, E.ECONNABORTED, E.EPROTO, E.EPERM, E.EINTR]),
    ("recvfrom", [E.ENOMEM, E.ECONNRESET, E.EINTR]),
    ("sendto", [E.ENOMEM, E.ENOBUFS, E.ECONNRESET, E.EPIPE, E.EINTR]),
    ("sendmsg", [E.ENOMEM, E.ENOBUFS, E.EINTR]),
    ("recvmsg", [E.ENOMEM, E.EINTR]),
    ("sendfile", [E.ENOMEM, E.EIO, E.EPIPE, E.EINTR, SHORT]),
    ("epoll_ctl", [E.ENOMEM, E.ENOSPC]),
    ("epoll_wait", [E.EINTR]),
    ("openat", [E.EMFILE, E.ENFILE, E.ENOMEM, E.EINTR]),
    ("mmap", [E.ENOMEM]),
    ("read", [E.EAGAIN, E.EINTR]),
    ("socket", [E.EMFILE, E.ENOBUFS]),
    (NEW_THREAD, [E.EAGAIN]),
    (ALLOCATION, [E.ENOMEM]),
]
WHERE_CALLS_WAIT = [("recvfrom", [SHORT]), ("sendto", [SHORT])]
TRAPPED = [call for call, _ in ANYWHERE if call in CALLS]
LENGTH = {False: 0.25, True: 1.0}  # seconds, of a quick and a slow storm
QUIET = {False: 0.5, True: 2.0}  # seconds in which an idle server is watched
BUSY = 0.05  # of a CPU; an idle server uses less than a tick, and one that spins all of it


def cases():
    out = [(name, row, None) for name in PATHS for row in rows_of(name) if row.model != "process-pool"]
    row = next(r for r in rows_of("echo") if r.model == "process-pool")
    return out + [(name, row, mode) for mode in MODES for name in ("echo", "http")]


class Storm(allocation_test.Base):
    slow = False
    seeds = 10

    def arm(self, rng, faults, row):
        waits = row.model in ("serial", "thread-per-connection")
        kinds = ANYWHERE + (WHERE_CALLS_WAIT if waits else [])
        for call, errors in rng.sample(kinds, rng.randint(1, len(kinds))):
            per_million = int(10 ** rng.uniform(3, 5.5))
            argument = (1, EPOLL_CTL_ADD) if call == "epoll_ctl" else None
            faults.arm(call, rng.choice(errors), per_million=per_million, seed=rng.getrandbits(60), argument=argument)

    def storm(self, seed):
        rng = random.Random(seed)
        name, row, mode = rng.choice(cases())
        what = f"seed {seed}: {name}, {row}{f', {mode}' if mode else ''}"
        more = ["--set", f"processes.accept={mode}"] if mode else []
        started = time.monotonic()
        try:
            with Faults(TRAPPED) as faults, Server(name, row, faults, self.root, more, processes=2) as server:
                self.arm(rng, faults, row)
                self.clients(rng, server)
                hits = faults.all_hits()
                faults.disarm()
                server.check("after the storm")
                server.check_fds()
                busy = self.cpu(server)
                time.sleep(QUIET[self.slow])
                busy = self.cpu(server) - busy
                self.assertLessEqual(busy, max(BUSY * QUIET[self.slow], 0.05), "CPU seconds of an idle server")
                return f"{what}: {hits} failures, {time.monotonic() - started:.1f} s"
        except BaseException as e:
            raise AssertionError(f"{what}: repeat it with WEIR_STORM_SEED={seed} {sys.argv[0]} --build "
                                 f"{sample.options.build}{' --slow' if self.slow else ''}\n{e}") from e

    def cpu(self, server):
        return sum(pool.cpu_seconds(p) for p in server.processes)

    def clients(self, rng, server):
        end = time.monotonic() + LENGTH[self.slow]
        failures = []
        paths = [p for p in PATHS[server.name] if not (p is echo_burst and server.one_at_a_time)]

        def walk(path):
            while time.monotonic() < end and not failures:
                try:
                    served(path, server.sample.address)
                except BaseException as e:
                    failures.append(e)
                time.sleep(0.002)

        threads = [threading.Thread(target=walk, args=[rng.choice(paths)], daemon=True) for _ in range(rng.randint(1, 4))]
        for t in threads:
            t.start()
        time.sleep(max(0, end - time.monotonic()))
        server.faults.pause()
        for t in threads:
            t.join(2 * sample.BOUND)
            self.assertFalse(t.is_alive(), "a client is stuck")
        if failures:
            raise failures[0]

    def test_servers_outlive_storms(self):
        if not works():
            self.skipTest("this kernel allows no seccomp filter")
        told = os.environ.get("WEIR_STORM_SEED")
        seeds = [int(told)] if told else range(1, self.seeds + 1)
        with concurrent.futures.ThreadPoolExecutor(4) as several:
            for seed, done in [(s, several.submit(self.storm, s)) for s in seeds]:
                with self.subTest(seed):
                    sample.figure(done.result())


class LongStorm(Storm):
    slow = True
    seeds = 200


if __name__ == "__main__":
    sample.main()
