#!/usr/bin/env python3
"""Servers whose allocations fail: one connection is lost at most, and nothing else. Usage: allocation_test.py --build BUILD
[--slow]"""
import errno
import os
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "samples"))

import sample
from clients import PATHS, PATTERN, must_be_served, served
from faults import ALLOCATION, NEW_THREAD, Faults, works
from pool import MODES, Pool, descriptors
from rows import rows
from sample import Sample, program

# Of those that keep state for all clients.
MODELS_OF = {"kv": ("serial", "single-loop", "loop-per-core"),
             "cache": ("serial", "thread-per-connection", "single-loop", "loop-with-workers", "loop-per-core",
                       "thread-per-event")}
MOST = 400  # allocations of one conversation
SHORTAGE = 0.3  # seconds without any memory


def arguments_of(name, root):
    return {"http": ["--root", root]}.get(name, [])


class Server:
    """A sample under one model, with what it had before anything failed."""

    def __init__(self, name, row, faults, root, more=()):
        how = Sample if row.model != "process-pool" else Pool
        if how is Pool:
            self.sample = Pool(*arguments_of(name, root), *more, processes=1, name=name, environment=faults.environment)
        else:
            self.sample = Sample(*row.arguments, *arguments_of(name, root), *more, name=name,
                                 environment=faults.environment)
        self.name, self.faults = name, faults

    def __enter__(self):
        self.sample.__enter__()
        must_be_served(self.name, self.sample)
        self.workers = sorted(self.sample.workers()) if isinstance(self.sample, Pool) else []
        self.processes = [self.sample.pid, *self.workers]
        self.threads_may_rest()
        self.fds = self.count_fds()
        return self

    def __exit__(self, *failure):
        return self.sample.__exit__(*failure)

    def threads_may_rest(self):
        """Descriptors that threads have for good may come with the threads."""
        sample.until(lambda: self.count_fds() == (time.sleep(0.03), self.count_fds())[1], "descriptors come and go")

    def count_fds(self):
        """Sockets and pipes of each process. A thread's own descriptors come when it first needs them, for good, and
        so does its cache of files."""
        return [sum(what.startswith(("socket:", "pipe:")) for what in descriptors(p).values()) for p in self.processes]

    def check(self, what):
        """It lives, it serves, and it holds what it held."""
        try:
            must_be_served(self.name, self.sample)
            if isinstance(self.sample, Pool):
                now = sorted(self.sample.workers())
                assert now == self.workers, f"the workers are {now} instead of {self.workers}"
            assert self.sample.process.poll() is None, "it has ended"
        except (AssertionError, OSError) as e:
            raise AssertionError(f"{what}: {e}\n" + "\n".join(self.sample.lines[-20:])) from e

    def check_fds(self):
        sample.until(lambda: all(now <= then for now, then in zip(self.count_fds(), self.fds)),
                     lambda: f"{self.count_fds()} descriptors, {self.fds} at first: {[descriptors(p) for p in self.processes]}")


class Base(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.root = cls.directory.name
        with open(os.path.join(cls.root, "file"), "wb") as file:
            file.write(PATTERN)

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def fail_each(self, server, target=0):
        """The n-th allocation while each path is walked, for n from 1 until there are no more."""
        faults, address = server.faults, server.sample.address
        failed = 0
        for path in PATHS[server.name]:
            for n in range(1, MOST + 1):
                faults.arm(ALLOCATION, first=n, process=target)
                try:
                    served(path, address)
                    hits = faults.hits()
                except AssertionError as e:
                    raise AssertionError(f"{path.__name__}, allocation {n}: {e}\n" +
                                         "\n".join(server.sample.lines[-20:])) from e
                finally:
                    faults.disarm()
                server.check(f"{path.__name__}, after allocation {n}")
                failed += hits
                if hits == 0:
                    break
        server.check_fds()
        return failed

    def fail_all(self, server, target=0, call=ALLOCATION, error=errno.ENOMEM):
        faults, address = server.faults, server.sample.address
        faults.arm(call, error, count=0, process=target)
        end = time.monotonic() + SHORTAGE
        while time.monotonic() < end:
            for path in PATHS[server.name]:
                # A client that waits in the kernel's queue is served when the shortage is over.
                threading_served(path, address)
        hits = faults.hits()
        faults.disarm()
        wait_for_clients()
        server.check(f"after {hits} failures in {SHORTAGE} s")
        server.check_fds()
        return hits


waiting = []


def threading_served(path, address):
    import threading

    failures = []

    def run():
        try:
            served(path, address)
        except BaseException as e:
            failures.append(e)

    thread = threading.Thread(target=run, daemon=True)
    thread.failures = failures
    thread.start()
    thread.join(0.03)
    waiting.append(thread)


def wait_for_clients():
    for thread in waiting:
        thread.join(2 * sample.BOUND)
        if thread.is_alive():
            raise AssertionError("a client is stuck")
    failures = [f for t in waiting for f in t.failures]
    waiting.clear()
    if failures:
        raise failures[0]


class Servers(Base):
    def test_an_allocation_that_fails_costs_one_connection_in_every_model(self):
        for name in os.environ.get("ONLY", " ".join(PATHS)).split():
            for row in rows(program(name)):
                if row.model not in MODELS_OF.get(name, row.model):
                    continue
                with self.subTest(f"{name}, {row}"), Faults() as faults, \
                        Server(name, row, faults, self.root) as server:
                    target = server.workers[0] if server.workers else 0
                    start = time.monotonic()
                    one = self.fail_each(server, target)
                    every = self.fail_all(server, target)
                    sample.figure(f"{name}, {row}: {one} failed one by one, {every} in {SHORTAGE} s, "
                                  f"{time.monotonic() - start:.2f} s in all")


if __name__ == "__main__":
    if "--build" in sys.argv:
        sample.main()
