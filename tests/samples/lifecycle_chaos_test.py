#!/usr/bin/env python3
"""A pool of processes under a random sequence of everything that may happen to it, with clients that check every byte.
Usage: lifecycle_chaos_test.py --build BUILD [--slow]

The sequence follows from a seed, which is printed. CHAOS_SEED=7 repeats one (times differ), CHAOS_SECONDS=300 goes on
for longer, CHAOS_MODES=shared,mutex takes other accept modes; the quick form draws one mode for each sample."""
import collections
import contextlib
import ctypes
import os
import random
import re
import shutil
import signal
import tempfile
import time
import unittest

import sample
from lifecycle_clients import (EchoLong, EchoOnce, EchoStream, HttpLong, HttpOnce, HttpSlowBody, HttpSlowReader, Record,
                               Site, Stalls, UNIX)
from lifecycle_pool import PATIENCE, ConfiguredPool, age, has_stopped
from pool import MODES, children, state_of
from sample import until

PR_SET_CHILD_SUBREAPER = 36
OF_AGE = 1.1  # seconds after which a worker that dies is replaced at once


class Sequence:
    """Random steps. Each waits for its effect, and the next may begin while old workers still leave."""

    def __init__(self, pool, record, rng, quick):
        self.pool, self.record, self.rng, self.quick = pool, record, rng, quick
        self.began = time.monotonic()
        self.steps = []
        self.counts = collections.Counter()
        self.size = {pool.masters[0]: pool.count}  # workers, by master
        self.table = [(self.reload, 3), (self.rotate, 2), (self.upgrade, 2), (self.more, 1), (self.fewer, 1),
                      (self.drain, 1), (self.stop, 2), (self.crash, 2), (self.break_configuration, 1), (self.storm, 1)]

    def tell(self, text):
        self.steps.append((time.monotonic(), text))

    def step(self):
        steps, weights = zip(*self.table)
        chosen = self.rng.choices(steps, weights)[0]
        self.counts[chosen.__name__] += 1
        chosen(self.rng.choice(self.pool.masters))
        time.sleep(self.rng.choice([0, 0.02, 0.1]))

    def send(self, master, number):
        self.tell(f"{signal.Signals(number).name} to master {master}")
        os.kill(master, number)

    # Steps. `master` is one of the masters there are.

    def reload(self, master):
        self.pool.count = self.rng.randrange(2, 4)
        self.pool.configure(policy=self.rng.choice(["least-connections", "round-robin", "two-choices"]))
        self.take_configuration(master)

    def take_configuration(self, master):
        self.tell(f"HUP with {self.pool.count} workers to master {master}")
        self.pool.reload(master)
        self.size[master] = self.pool.count

    def rotate(self, _):
        pool = self.pool
        pool.rotations += 1
        os.rename(pool.log.path, f"{pool.log.path}.{pool.rotations}")
        for each in pool.masters:
            self.send(each, signal.SIGUSR1)
        until(lambda: os.path.exists(pool.log.path), "a new log file", PATIENCE)
        pool.log.open()

    def more(self, master):
        self.resize(master, signal.SIGTTIN, self.size[master] + 1)

    def fewer(self, master):
        self.resize(master, signal.SIGTTOU, max(1, self.size[master] - 1))

    def resize(self, master, number, size):
        if size > 4:
            return
        since = self.pool.now()
        self.send(master, number)
        self.size[master] = size
        self.pool.wait_for_line(f"{number.name}:", since, by=master)

    def drain(self, master):
        self.send(master, signal.SIGWINCH)
        time.sleep(self.rng.uniform(0, 0.3))
        self.take_configuration(master)

    def upgrade(self, master):
        if len(self.pool.masters) == 2:  # which this step has led to itself
            return
        self.tell(f"USR2 to master {master}")
        successor = self.pool.start_successor(master)
        self.size[successor] = self.pool.count
        for _ in range(self.rng.randrange(3)):
            self.rng.choice([self.reload, self.rotate, self.more, self.stop, self.crash])(self.rng.choice(self.pool.masters))
        leaving = self.rng.choice(self.pool.masters)
        self.tell(f"QUIT to the {'old' if leaving == master else 'new'} master {leaving}")
        code = self.pool.end_of_two(leaving)
        if code != 0:
            raise AssertionError(f"master {leaving} answered QUIT with exit code {code}")

    def stop(self, master):
        """A worker that is stopped, for longer than a client may wait if there is time, while something else happens."""
        with self.worker(master) as (worker, signal_worker):
            if self.size[master] < 2:
                return  # nobody would be left
            signal_worker(signal.SIGSTOP)
            since = time.monotonic()
            until(lambda: has_stopped(worker), f"worker {worker} has stopped")
            if state_of(worker) != "T":
                return  # it was about to leave
            # What the master holds may be on its way to that worker.
            ports = self.pool.ports_held_by(worker, *([master] if self.pool.mode == "dispatch" else []))
            time.sleep(self.rng.uniform(0.1, 0.3) if self.quick else self.rng.choice([0.1, 0.5, 3]))
            self.tell(f"while worker {worker} of master {master} is stopped, with {len(ports)} connections:")
            meanwhile = [self.reload, self.rotate, self.more, lambda _: None] + [self.fewer] * (self.size[master] > 2)
            self.rng.choice(meanwhile)(master)
            signal_worker(signal.SIGCONT)
            self.tell(f"worker {worker} goes on after {time.monotonic() - since:.2f} s")
            for port in ports | {UNIX}:  # which of the unix clients are held cannot be seen
                self.record.held[port].append((since, time.monotonic()))

    def crash(self, master):
        """SIGSEGV or SIGKILL for a worker that has been there long enough to be replaced at once."""
        def of_age():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                return max(map(age, self.pool.workers(master)), default=0) > OF_AGE
        until(of_age, "a worker of age", PATIENCE)
        with self.worker(master, oldest=True) as (worker, signal_worker):
            number = self.rng.choice([signal.SIGSEGV, signal.SIGKILL])
            self.tell(f"{number.name} for worker {worker} of master {master}")
            since = time.monotonic()
            signal_worker(number)
            until(lambda: state_of(worker) in "ZX", f"worker {worker} has ended", PATIENCE)
            self.record.kills.append((since, time.monotonic(), worker))
        self.pool.wait_for_workers(self.size[master], master)

    @contextlib.contextmanager
    def worker(self, master, oldest=False):
        """One of its workers, known by a descriptor and not by a number that may be another process's."""
        while True:
            with contextlib.suppress(OSError, IndexError):
                all_of_them = sorted(self.pool.workers(master), key=age, reverse=True)
                worker = all_of_them[0] if oldest else self.rng.choice(all_of_them)
                process = os.pidfd_open(worker)
                if worker in children(master):
                    break
                os.close(process)

        def send(number):
            with contextlib.suppress(ProcessLookupError):  # it has left
                signal.pidfd_send_signal(process, number)

        try:
            yield worker, send
        finally:
            send(signal.SIGCONT)
            os.close(process)

    def break_configuration(self, master):
        """What is wrong is not taken, by a reload nor by an upgrade."""
        pool = self.pool
        since = pool.now()
        self.tell("a configuration that is wrong:")
        pool.configure("this is no configuration")
        if len(pool.masters) == 1 and self.rng.random() < 0.5:
            self.send(master, signal.SIGUSR2)
            pool.wait_for_line("has ended with exit code 2", since, by=master)
            pool.wait_for_pid(master)
        else:
            self.send(master, signal.SIGHUP)
            pool.wait_for_line("serves on", since, by=master)
        pool.configure()
        self.take_configuration(master)

    def storm(self, master):
        """Signals in a row. The kernel keeps no order, so all that is known afterwards is that it serves."""
        numbers = [signal.SIGHUP, signal.SIGUSR1, signal.SIGTTIN, signal.SIGTTOU, signal.SIGWINCH]
        for _ in range(self.rng.randrange(3, 8)):
            self.send(master, self.rng.choice(numbers))
            time.sleep(self.rng.choice([0, 0.001, 0.02]))
        self.take_configuration(master)
        self.settle(master)

    def settle(self, master):
        """Until it has the number of workers that is configured, and no reload is under way."""
        for _ in range(3):  # the lines that it waits for may be those of reloads before it
            self.take_configuration(master)
        self.pool.wait_for_workers(self.pool.count, master)


class Chaos(unittest.TestCase):
    """Some seconds of each sample in a mode that is drawn."""
    slow = False
    seconds = float(os.environ.get("CHAOS_SECONDS", 1.2))
    modes = tuple(filter(None, os.environ.get("CHAOS_MODES", "").split(",")))
    seed = int(os.environ.get("CHAOS_SEED", random.SystemRandom().randrange(1_000_000)))

    def test_no_client_notices_what_happens_to_a_pool_of_http(self):
        for mode in self.modes or [random.Random(self.seed).choice(MODES)]:
            with self.subTest(mode):
                self.http(mode)

    def test_no_client_notices_what_happens_to_a_pool_of_echo(self):
        for mode in self.modes or [random.Random(self.seed + 1).choice(MODES)]:
            with self.subTest(mode):
                self.echo(mode)

    def http(self, mode):
        rng = random.Random(self.seed)
        sizes = {"/kilobyte": 1024, "/some": 100_000, "/large": 4_000_000}
        files = {path: rng.randbytes(size) for path, size in sizes.items()}
        site = Site(files, "/echo", "/stats", rb'"pid":(\d+)')
        kinds = [HttpOnce, HttpOnce, HttpLong, HttpLong, HttpLong, HttpSlowBody, HttpSlowReader]
        with tempfile.TemporaryDirectory() as root:
            for path, content in files.items():
                with open(root + path, "wb") as file:
                    file.write(content)
            self.live_through("http", mode, kinds, (site,), ("--root", root))

    def echo(self, mode):
        self.live_through("echo", mode, [EchoOnce, EchoOnce, EchoOnce, EchoLong, EchoLong, EchoStream])

    def live_through(self, name, mode, kinds, about=(), arguments=()):
        seed = f"{self.seed} {name} {mode}"
        print(f"    CHAOS_SEED={self.seed}, {name}, {mode}, {self.seconds:.0f} s", flush=True)
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)  # masters whose parent has ended are this process's
        folder = tempfile.mkdtemp()
        record, stalls = Record(), Stalls()
        pool = ConfiguredPool(name, mode, folder, *arguments)
        sequence = Sequence(pool, record, random.Random(seed), self.seconds < 10)
        clients = [kind(record, pool.addresses, f"{seed} {i}", *about) for i, kind in enumerate(kinds)]
        try:
            pool.wait_for_workers(pool.count, pool.masters[0])
            # It sleeps when it has started both workers.
            master, = pool.masters
            until(lambda: pool.kinds_of_descriptors()["anon_inode:[pidfd]"] == 2 and state_of(master) == "S",
                  pool.kinds_of_descriptors, PATIENCE)
            at_start = pool.kinds_of_descriptors()
            for client in clients:
                client.start()
            until(lambda: record.answers, "a client is served")
            end = time.monotonic() + self.seconds
            while time.monotonic() < end:
                sequence.step()
                self.assertEqual([client.broken for client in clients if client.broken], [])
                self.assertEqual(record.faults(stalls, self.slack()), [])
            self.end(pool, sequence, record, clients, at_start)
            self.assertEqual(record.faults(stalls, self.slack()), [])
            sample.figure(f"{dict(sequence.counts)}; {dict(record.answers)} answers; {record.closed.total()} connections "
                          f"ended between messages, {len(record.failures)} with a killed worker; longest wait "
                          f"{record.longest_wait:.2f} s, longest stall of the machine {stalls.longest():.2f} s")
        except BaseException:
            self.tell_of_failure(seed, pool, sequence, record, stalls)
            raise
        finally:
            for client in clients:
                client.stopping.set()
            stalls.stop()
            pool.kill()
            for client in clients:
                if client.ident:
                    client.join()
            shutil.rmtree(folder)

    @staticmethod
    def is_whole(line):
        """Also one of a program that refuses its configuration, before it has a log."""
        return re.match(r"\d{4}-\d\d-\d\d [\d:.]+ \w+ \[\d+\] |\w+: /.*pool\.toml:\d+: ", line)

    @staticmethod
    def slack():
        return 5 if sample.options.sanitized else 0

    def end(self, pool, sequence, record, clients, at_start):
        """Everything is as it was at the start; then it is told to quit, and nothing is left."""
        master, = pool.masters
        pool.count = 2
        pool.configure()
        sequence.settle(master)
        # A connection may have ended between two messages only because its worker left.
        left = lambda: not pool.workers() & set(record.closed)
        until(left, lambda: f"connections were ended by workers that stay: {pool.workers() & set(record.closed)}", PATIENCE)
        for client in clients:
            client.stopping.set()
        for client in clients:
            client.join()
        # A turn of its loop closes sockets that have no worker any more; without events the next one may be seconds away.
        until(lambda: os.kill(master, signal.SIGCHLD) or pool.kinds_of_descriptors() == at_start,
              lambda: f"descriptors of the master: {pool.kinds_of_descriptors()}, at the start {at_start}", PATIENCE)
        if self.slow:
            self.assertEqual({c.kind for c in clients}, set(record.answers))
        self.assertEqual(pool.end(master), 0)
        until(lambda: not pool.processes(), lambda: f"processes that are left: {pool.processes()}", PATIENCE)
        logs = ["log"] + [f"log.{i + 1}" for i in range(pool.rotations)]
        self.assertEqual(sorted(os.listdir(pool.folder)), sorted(logs + ["pool.toml"]))
        pool.log.read()
        self.assertEqual(pool.log.unfinished(), [])
        if not sample.options.sanitized:
            self.assertEqual([line for line in pool.log.lines if not self.is_whole(line)], [])
        self.assertRaises(ConnectionRefusedError, sample.connect, pool.tcp)

    @staticmethod
    def tell_of_failure(seed, pool, sequence, record, stalls):
        events = [(at, f"step: {text}") for at, text in sequence.steps]
        events += [(at, f"FAULT: {text}") for at, text in record.faults(stalls)]
        print(f"\n    What was done ({seed}):")
        for at, text in sorted(events)[-40:]:
            print(f"    {at - sequence.began:8.3f} {text}")
        print("    The last lines of the pool:")
        for line in pool.log.read()[-40:]:
            print(f"    | {line}", flush=True)


class Steering(unittest.TestCase):
    """Of the sockets of `reuseport`, which two masters have in common."""

    def test_a_new_program_that_ends_leaves_no_connection_on_a_socket_that_the_old_one_closes(self):
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        pool = ConfiguredPool("echo", "reuseport", folder, count=3)
        self.addCleanup(pool.kill)
        old, = pool.masters
        pool.wait_for_workers(3, old)
        pool.count = 2
        pool.configure()
        pool.reload(old)  # the third socket gets nothing new, and is closed in a second
        new = pool.start_successor(old)
        pool.count = 3
        pool.configure()
        pool.reload(new)  # three sockets get connections
        self.assertEqual(pool.end_of_two(new), 0)
        os.kill(old, signal.SIGSTOP)
        until(lambda: has_stopped(old), "the master has stopped")
        time.sleep(1)  # so that its next turn closes what it may
        clients = [sample.connect(pool.tcp) for _ in range(50)]
        os.kill(old, signal.SIGCONT)
        for client in clients:
            with client:
                self.assertEqual(sample.ask(client), b"ping")
        self.assertEqual(pool.end(old), 0)


class EveryMode(Chaos):
    """Minutes in each mode, half of them with http and half with echo."""
    slow = True
    seconds = float(os.environ.get("CHAOS_SECONDS", 150))
    modes = Chaos.modes or MODES


if __name__ == "__main__":
    sample.main()
