#!/usr/bin/env python3
"""Servers whose allocations fail: one connection is lost at most, and nothing else. Usage: allocation_test.py --build BUILD
[--slow]"""
import concurrent.futures
import contextlib
import errno
import os
import re
import resource
import signal
import socket
import ssl
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "samples"))

import sample
from clients import PATHS, PATTERN, Client, Dropped, echo_burst, must_be_served, served
from faults import ALLOCATION, NEW_THREAD, Faults, works
from pool import MODES, Pool, descriptors
from rows import rows
from sample import Sample, program
from tls import make_certificate

# Of those that keep state for all clients.
MODELS_OF = {"kv": ("serial", "single-loop", "loop-per-core"),
             "cache": ("serial", "thread-per-connection", "single-loop", "loop-with-workers", "loop-per-core",
                       "thread-per-event")}
MOST, QUICK, BRIEF = 400, 40, 8  # allocations of one conversation; of many at once


def arguments_of(name, root):
    return {"http": ["--root", root]}.get(name, [])


def all_accept(server):
    """Whether each socket, of which there are only listeners now, is waited for."""
    waits, polls = set(), []
    for fd in server.fds():
        with contextlib.suppress(FileNotFoundError):  # it was open for a moment
            text = sample.read(f"/proc/{server.pid}/fdinfo/{fd}")
            waits |= set(map(int, re.findall(r"^tfd:\s*(\d+)", text, re.MULTILINE)))
            if "PollList:" in text:
                polls.append(len(re.findall(r"^\s+op=6,", text, re.MULTILINE)))
    listeners = {fd for fd, what in descriptors(server.pid).items() if what.startswith("socket:")}
    # A ring does not tell which descriptors it polls; each polls two of its own beside them.
    return listeners <= waits or sum(n > 2 for n in polls) >= min(len(listeners), len(polls)) > 0


class Server:
    """A sample under one model, with what it had before anything failed."""

    def __init__(self, name, row, faults, root, more=(), processes=1):
        how = Sample if row.model != "process-pool" else Pool
        if how is Pool:
            more = [*more, "--set", "log.level=debug"]
            self.sample = Pool(*arguments_of(name, root), *more, processes=processes, name=name,
                               environment=faults.environment)
        else:
            self.sample = Sample(*row.arguments, *arguments_of(name, root), *more, name=name,
                                 environment=faults.environment)
        self.worker_count = processes
        self.by_kernel = "kernel" in row.name
        self.name, self.faults, self.one_at_a_time = name, faults, row.one_at_a_time

    def __enter__(self):
        self.sample.__enter__()
        if isinstance(self.sample, Pool):
            self.sample.expected = sample.CUT  # the end of the last client may not have been seen when it is stopped
            # A worker that starts may fail, and is replaced.
            sample.until(lambda: len(self.sample.lines_with(" serves")) == self.worker_count, "not every worker serves")
        if self.by_kernel:  # each loop has a listener, and one that does not accept yet is still starting
            sample.until(lambda: all_accept(self.sample), "not every loop accepts")
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
    slow = False
    shortage = 0.15  # seconds

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
            if path is echo_burst and server.one_at_a_time:
                continue
            for n in range(1, (MOST if self.slow else BRIEF if path is echo_burst else QUICK) + 1):
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
        """All of them for a while. A client that waits in the kernel's queue is served when it is over."""
        faults, address = server.faults, server.sample.address
        failures = []

        def walk(path):
            try:
                served(path, address)
            except BaseException as e:
                failures.append(e)

        waiting = []
        faults.arm(call, error, count=0, process=target)
        end = time.monotonic() + self.shortage
        while time.monotonic() < end:
            for path in PATHS[server.name]:
                waiting.append(threading.Thread(target=walk, args=[path], daemon=True))
                waiting[-1].start()
                waiting[-1].join(0.03)
        hits = faults.hits()
        faults.disarm()
        for thread in waiting:
            thread.join(2 * sample.BOUND)
            self.assertFalse(thread.is_alive(), "a client is stuck")
        if failures:
            raise failures[0]
        server.check(f"after {hits} failures in {self.shortage} s")
        server.check_fds()
        return hits

    def at_once(self, work, cases):
        """Several servers at a time: most of it is waiting."""
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for case, done in [(case, pool.submit(work, *case)) for case in cases]:
                with self.subTest(" ".join(map(str, case))):
                    sample.figure(" ".join(map(str, case)) + ":", done.result())


def rows_of(name):
    return [r for r in rows(program(name)) if r.model in MODELS_OF.get(name, r.model)]


class Servers(Base):
    def test_an_allocation_that_fails_costs_one_connection_in_every_model(self):
        def fail(name, row):
            with Faults() as faults, Server(name, row, faults, self.root) as server:
                target = server.workers[0] if server.workers else 0
                one = self.fail_each(server, target)
                return f"{one} failed one by one, {self.fail_all(server, target)} in {self.shortage} s"

        self.at_once(fail, [(name, row) for name in PATHS for row in rows_of(name)])

    def test_a_thread_that_cannot_be_started_costs_one_connection(self):
        def fail(name, row):
            with Faults() as faults, Server(name, row, faults, self.root) as server:
                return self.fail_all(server, call=NEW_THREAD, error=errno.EAGAIN)

        self.at_once(fail, [("echo", row) for row in rows_of("echo") if row.model.startswith("thread-per-")])

    def test_a_cache_that_had_no_address_space_serves_when_there_is_some(self):
        def starve(row):
            with Sample("-m", 1024, *row.arguments, name="cache") as cache:
                must_be_served("cache", cache)
                size = int(re.search(r"VmSize:\s*(\d+) kB", sample.read(f"/proc/{cache.pid}/status"))[1]) << 10
                size += 8 << 20
                before = resource.prlimit(cache.pid, resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))
                stored = 0
                for i in range(60):
                    try:
                        with Client(cache.address) as client:
                            client.send(b"set key%d 0 0 300000\r\n%s\r\n" % (i, PATTERN[:300_000]))
                            stored += client.line() == b"STORED"
                    except Dropped:
                        pass
                resource.prlimit(cache.pid, resource.RLIMIT_AS, before)
                must_be_served("cache", cache)
                return f"{stored} of 60 values were stored in the space that there was"

        self.at_once(starve, [(row,) for row in rows_of("cache") if row.model in ("single-loop", "loop-per-core")])

    def test_signals_are_noticed_after_one_that_came_without_memory_in_every_model(self):
        def signal_it(row):
            with Faults() as faults, Server("echo", row, faults, self.root) as server:
                one = server.sample
                target = server.workers[0] if server.workers else one.pid
                faults.arm(ALLOCATION, count=0, process=target)
                if server.workers:
                    os.kill(target, signal.SIGUSR1)
                    os.kill(target, signal.SIGQUIT)
                    served(PATHS["echo"][0], one.address)  # so that something fails
                else:
                    one.send(signal.SIGHUP)
                sample.until(lambda: faults.hits() > 0, "nothing has failed")
                hits = faults.hits()
                faults.disarm()
                if server.workers:
                    os.kill(target, signal.SIGQUIT)
                    sample.until(lambda: target not in one.workers(), "the worker does not leave")
                    one.wait_for_workers(1)
                else:
                    one.send(signal.SIGHUP)
                    one.wait_for_line("the configuration was read again")
                must_be_served("echo", one)
                return f"{hits} failed"

        self.at_once(signal_it, [(row,) for row in rows_of("echo")])

    def test_an_order_to_end_that_finds_no_memory_is_obeyed_in_every_model(self):
        def end_it(row):
            with Faults() as faults, Server("echo", row, faults, self.root) as server:
                one = server.sample
                with sample.connect(one.address) as idle:
                    sample.ask(idle)
                    faults.arm(ALLOCATION, count=0)
                    one.send(row.drain)
                    time.sleep(self.shortage)  # so long it lasts
                    hits = faults.hits()
                    faults.disarm()
                    self.assertEqual(idle.recv(1), b"")
                self.assertEqual(one.wait(sample.BOUND), 0)  # long before the drain timeout
                return f"{hits} failed"

        self.at_once(end_it, [(row,) for row in rows_of("echo")])

    def test_a_pool_whose_master_or_worker_has_no_memory_goes_on(self):
        def fail(mode, who):
            row = next(r for r in rows(program("echo")) if r.model == "process-pool")
            with Faults() as faults, \
                    Server("echo", row, faults, self.root, ["--set", f"processes.accept={mode}"]) as server:
                target = server.sample.pid if who == "master" else server.workers[0]
                one = self.fail_each(server, target)
                return f"{one} failed one by one, {self.fail_all(server, target)} in {self.shortage} s"

        self.at_once(fail, [(mode, who) for mode in MODES for who in ("master", "worker")])


class Handshakes(Base):
    """Over TLS, with one place for a handshake, so that others wait for it."""

    def exchange(self, address):
        """False: the server has dropped it, as it may."""
        host, port = address.removeprefix("tls:").rsplit(":", 1)
        try:
            with socket.create_connection((host, int(port)), sample.BOUND) as raw:
                return self.speak(raw)
        except ConnectionError:
            return False

    def speak(self, raw):
        try:
            with ssl._create_unverified_context().wrap_socket(raw, server_hostname="localhost") as client:
                client.sendall(b"hello")
                got = client.recv(5)
        except (ConnectionError, ssl.SSLError):
            return False
        self.assertIn(got, (b"hello", b""))
        return got == b"hello"

    def test_a_handshake_that_finds_no_memory_costs_its_connection_also_while_it_waits_for_its_turn(self):
        crt, key = make_certificate(self.root, "localhost")
        most = 12

        def fail(model, offloads):
            with Faults() as faults, \
                    Sample("--model", model, "--set", f"tls.certificate={crt}", "--set", f"tls.key={key}", "--set", "tls.handshakes=1",
                           "--set", f"limits.connections_per_ip={most}", "--set", f"tls.offload_keys={offloads}", "--set",
                           "tls.handshake_timeout=1h", listen=("tls:127.0.0.1:0",), environment=faults.environment) as server:
                self.assertTrue(self.exchange(server.address))
                before = server.settled_fds()
                one = 0
                for n in range(1, MOST) if self.slow else range(1, 5 * QUICK, 5):
                    faults.arm(ALLOCATION, first=n)
                    self.exchange(server.address)
                    hits = faults.hits()
                    faults.disarm()
                    self.assertTrue(self.exchange(server.address), f"after allocation {n}")
                    one += hits
                    if hits == 0:
                        break
                lost = waited = 0
                for _ in range(3):
                    host, port = server.address.removeprefix("tls:").rsplit(":", 1)
                    with socket.create_connection((host, int(port)), sample.BOUND) as stalls, contextlib.ExitStack() as held:
                        sample.until(lambda: len(server.fds()) > before, "the first has the place")
                        faults.arm(ALLOCATION, count=0)
                        others = [held.enter_context(socket.create_connection((host, int(port)), sample.BOUND))
                                  for _ in range(most - 2)]
                        time.sleep(self.shortage)
                        faults.disarm()
                        stalls.close()
                        told = [self.speak(each) for each in others]
                        waited += told.count(True)
                        lost += told.count(False)
                    # What an address has counts for nothing any more.
                    sample.until(lambda: len(server.fds()) <= before, lambda: f"{len(server.fds())} descriptors, {before} before")
                self.assertGreater(lost, 0)
                return f"{one} failed one by one; of those that waited {lost} were lost, {waited} served"

        self.at_once(fail, [(model, offloads) for model in ("single-loop", "loop-with-workers") for offloads in ("false", "true")])


class ServersForLong(Servers):
    """Up to 400 allocations, each also as the first thing that fails in a server that has just started."""
    slow = True
    shortage = 0.3

    def test_the_first_allocations_of_a_server_may_fail(self):
        def fail(name, row):
            for n in range(1, MOST + 1):
                with Faults() as faults:
                    how = {"name": name, "environment": faults.environment}
                    more = arguments_of(name, self.root)
                    server = Pool(*more, processes=1, **how) if row.model == "process-pool" else \
                        Sample(*row.arguments, *more, **how)
                    with server:
                        if row.model == "process-pool":
                            server.expected = sample.CUT  # the end of the last client may not have been seen
                        if "kernel" in row.name:
                            sample.until(lambda: all_accept(server), "not every loop accepts")
                        # What fails before it serves ends it, with a message; a client without a word is served last.
                        with sample.connect(server.address) as silent:
                            silent.shutdown(socket.SHUT_WR)
                            self.assertEqual(silent.recv(1), b"")
                        workers = sorted(server.workers()) if row.model == "process-pool" else []
                        faults.arm(ALLOCATION, first=n, process=workers[0] if workers else 0)
                        for path in PATHS[name]:
                            if path is not echo_burst or not row.one_at_a_time:
                                served(path, server.address)
                        hits = faults.hits()
                        faults.disarm()
                        must_be_served(name, server)
                        if workers:
                            self.assertEqual(sorted(server.workers()), workers)
                if hits == 0:
                    return f"{n - 1} of a fresh server"

        self.at_once(fail, [(name, row) for name in PATHS for row in rows_of(name)])


if __name__ == "__main__":
    if "--build" in sys.argv:
        sample.main()
