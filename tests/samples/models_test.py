#!/usr/bin/env python3
"""Workers of a pool in every model, and reloads that change it. Usage: models_test.py --build BUILD"""
import contextlib
import itertools
import json
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
import unittest

import sample
from admin_test import get, metrics, total
from pool import MODES, Pool, children, receive_line, say, say_once
from sample import Sample, connect, run, until

# What a worker can be, and what makes it so. serial takes a connection only when it has none.
KINDS = {
    "loop-per-core": {"processes.loops": 2},
    "thread-per-connection": {},
    "loop-with-workers": {"workers.io": "loop", "workers.count": 2},
    "loop-with-workers, io by workers": {"workers.io": "worker", "workers.count": 2},
    "single-loop": {},
    "thread-per-event": {},
    "serial": {},
}


def model_of(kind):
    return kind.partition(",")[0]


def keys_of(kind):
    return {"processes.model": model_of(kind), **KINDS[kind]}


def as_arguments(keys):
    return [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]


def kinds_of(mode):
    return [kind for kind in KINDS if kind != "serial" or mode in ("shared", "mutex")]


class EveryPair(unittest.TestCase):
    slow = True
    pairs = [(mode, kind) for mode in MODES for kind in kinds_of(mode)]

    def test_a_worker_serves_and_drains_in_each_model_and_accept_mode(self):
        for mode, kind in self.pairs:
            with self.subTest(mode, kind=kind), Pool("--set", f"processes.accept={mode}", *as_arguments(keys_of(kind))) as pool:
                pool.wait_until_serving()
                busy = [connect(pool.address) for _ in range(2)]
                for client in busy:
                    say(client)  # it has been accepted
                    client.sendall(b"slow\n")
                with contextlib.ExitStack() as held:
                    if kind != "serial":
                        idle = held.enter_context(connect(pool.address))
                        say(idle)
                    pool.send(signal.SIGQUIT)
                    for client in busy:
                        self.assertTrue(receive_line(client))
                        self.assertEqual(client.recv(1), b"")
                        client.close()
                    if kind != "serial":
                        self.assertEqual(idle.recv(1), b"")
                self.assertEqual(pool.wait(), 0)


class SomePairs(EveryPair):
    """Every model and every mode."""
    slow = False
    pairs = [*zip(MODES * 2, [kind for kind in KINDS if kind != "serial"]), ("mutex", "serial")]


class Serving(unittest.TestCase):
    def test_threads_and_loops_are_those_of_the_model(self):
        cpus = len(os.sched_getaffinity(0))
        for kind, named, least in (("loop-with-workers", "weir worker", 2), ("single-loop", "pool_worker", 1), ("thread-per-connection", "weir conn", 1)):
            keys = {**keys_of(kind), "processes.count": 1}
            if kind != "single-loop":
                keys["processes.loops"] = cpus
            with self.subTest(kind), Sample("--model", "process-pool", *as_arguments(keys), name="pool_worker") as pool, \
                    connect(pool.address) as client:
                pool.expected = sample.CUT  # the worker may not have seen the client leave
                worker = int(say(client))
                # A thread gives itself its name.
                until(lambda: self.threads_named(worker, named) >= least, lambda: f"{least} of {named}")
                self.assertEqual(self.threads_named(worker, "weir core"), 0, "it has one loop")

    @staticmethod
    def threads_named(pid, name):
        return sum(sample.read(f"/proc/{pid}/task/{t}/comm").startswith(name) for t in os.listdir(f"/proc/{pid}/task"))

    def test_what_makes_no_sense_is_refused_with_the_nearest_that_runs(self):
        pool = "--model", "process-pool"
        for keys, told in (
                ({"processes.model": "process-pool"}, "processes.model.*\"loop-per-core\""),
                ({"processes.model": "serial", "processes.accept": "dispatch"}, "processes.model.*\"shared\".*\"thread-per-connection\""),
                ({"processes.models": "single-loop,serial", "processes.accept": "notify"}, "processes.models.*one connection at a time"),
                ({"processes.models": "single-loop,serial,loop-per-core", "processes.count": 2}, "processes.count = 3"),
                ({"processes.model": "single-loop", "processes.loops": 2}, "processes.loops = 1"),
                ({"processes.model": "thread-per-event", "io": "io_uring"}, "io_uring.*\"auto\""),
                ({"processes.models": "single-lop"}, "did you mean \"single-loop\""),
                ({"processes.models": "loop-per-core,process-pool"}, "processes.models.*servers of one process")):
            ended = run(*pool, *as_arguments(keys), "--check")
            self.assertEqual(ended.returncode, 2, keys)
            self.assertRegex(ended.stderr, told)
        two = run(*pool, "--set", "processes.model=serial", "--listen", "127.0.0.1:0", "--listen", "unix:/tmp/x", "--check")
        self.assertRegex(two.stderr, "\"mutex\"")
        stateful = run(*pool, "--set", "processes.models=loop-per-core,loop-with-workers", "--check", name="chat")
        self.assertEqual(stateful.returncode, 2)

    def test_the_plan_tells_the_model_of_each_worker(self):
        plan = run("--model", "process-pool", "--processes", 3, "--set", "processes.models=loop-per-core,loop-with-workers", "--plan").stdout
        self.assertRegex(plan, "worker 0: loop-per-core, 1 loop")
        self.assertRegex(plan, "worker 1: loop-with-workers, 1 loop.* and 4 workers")
        self.assertRegex(plan, "worker 2: loop-per-core, 1 loop")


class Configured(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.file = f"{self.folder}/pool.toml"
        self.admin = f"unix:{self.folder}/admin"

    def configure(self, keys, model="process-pool"):
        """One section for each key: a table may be written in the dotted form too."""
        text = f'model = "{model}"\nlisten = "127.0.0.1:0"\nadmin = "{self.admin}"\n'
        keys = {"processes.count": 2, **keys}
        text += "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
        with open(self.file, "w", encoding="utf-8") as file:
            file.write(text)

    def serving(self, keys, **how):
        self.configure(keys)
        return Sample("--config", self.file, listen=(), **how)

    def reload(self, pool, generation, keys):
        self.configure(keys)
        pool.send(signal.SIGHUP)
        pool.wait_for_line(f"generation {generation} serves")


class Reloading(Configured):
    modes = "shared",
    ios = "epoll", "auto"

    def rounds(self, mode):
        """(kind, io): as many as a short run has."""
        return [("loop-with-workers", "epoll"), ("thread-per-connection", "auto"), ("thread-per-event", "epoll"), ("loop-per-core", "auto")]

    def test_reloads_through_the_models_lose_no_connection(self):
        for mode in self.modes:
            with self.subTest(mode), self.serving({"processes.accept": mode}, name="echo") as pool:
                until(lambda: len(children(pool.pid)) == 2, "two workers")
                first = children(pool.pid)
                ended, wrong, connections = threading.Event(), [], 0

                def load():
                    nonlocal connections
                    while not ended.is_set():
                        try:
                            sample.load(pool.address, "--mode", "connect", "--connections", 16, "--requests", 400, "--sources", 16)
                            connections += 400
                        except AssertionError as e:
                            wrong.append(e)
                            return

                client = threading.Thread(target=load)
                client.start()
                for generation, (kind, io) in enumerate(self.rounds(mode), 2):
                    self.reload(pool, generation, {"processes.accept": mode, "io": io, **keys_of(kind)})
                    seen = connections
                    until(lambda: connections > seen or wrong, "clients of this generation", 60)
                    status = json.loads(get(self.admin, "/status")[2])
                    serving = {worker["model"] for worker in status["workers"] if worker["generation"] == generation}
                    self.assertEqual(serving, {model_of(kind)})
                ended.set()
                client.join()
                self.assertEqual(wrong, [])
                until(lambda: not first & children(pool.pid), "the first workers have left")
                sample.figure(f"{mode}: {len(self.rounds(mode))} reloads, {connections} connections, none lost")

    def test_what_a_reload_cannot_take_is_told_with_what_can_be_done(self):
        with self.serving({"processes.accept": "dispatch"}, name="pool_worker") as pool:
            before = say_once(pool.address)
            # Valid with the accept mode of the file, but not with the one that stays.
            self.configure({"processes.accept": "shared", "processes.model": "serial"})
            pool.send(signal.SIGHUP)
            pool.wait_for_line("the present one serves on")
            self.assertTrue(any("one connection at a time" in line for line in pool.lines), pool.lines)
            self.configure({"processes.accept": "dispatch"}, model="single-loop")
            pool.send(signal.SIGHUP)
            self.assertIn("processes.model", pool.wait_for_line("model = \"single-loop\" needs a restart"))
            pool.wait_for_line("serves with 2 workers")
            self.assertTrue(before)

    def test_a_server_without_a_master_says_what_would_change_its_model(self):
        self.configure({}, model="single-loop")
        with Sample("--config", self.file, listen=(), name="echo") as server:
            self.configure({"workers.count": 7}, model="loop-with-workers")
            server.send(signal.SIGHUP)
            self.assertIn("\"process-pool\" takes processes.model", server.wait_for_line("model = \"loop-with-workers\" needs a restart"))
            self.assertIn("takes it at a reload", server.wait_for_line("workers.count = 7 needs a restart"))
            server.wait_for_line("was read again")


class ManyReloads(Reloading):
    slow = True
    modes = MODES

    def rounds(self, mode):
        return list(itertools.islice(itertools.cycle(itertools.product(kinds_of(mode), ("epoll", "auto"))), 20))

    def test_20_reloads_through_the_models_fail_no_request_of_100000(self):
        for mode in MODES:
            with self.subTest(mode), self.serving({"processes.accept": mode}, name="http") as pool:
                until(lambda: len(children(pool.pid)) == 2, "two workers")
                ab = subprocess.Popen(["ab", "-q", "-r", "-n", "100000", "-c", "50", f"http://{pool.address}/plain"],
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                during = 0
                for generation, (kind, io) in enumerate(self.rounds(mode), 2):
                    self.reload(pool, generation, {"processes.accept": mode, "io": io, **keys_of(kind)})
                    during += ab.poll() is None
                    time.sleep(0.25)  # the pace of the promise
                told, _ = ab.communicate(timeout=300)
                figures = dict(re.findall(r"^([\w -]+?):\s+([\d.]+)", told, re.M))
                sample.figure(f"{mode}: 20 reloads, {during} of them under ab, {figures.get('Complete requests')} requests, "
                              f"{figures.get('Failed requests')} failed, {figures.get('Requests per second')}/s")
                self.assertEqual((ab.returncode, figures["Complete requests"], figures["Failed requests"]), (0, "100000", "0"), told)
                self.assertNotIn("Non-2xx", told)


class Counting(Configured):
    seconds = 1

    def test_two_models_are_counted_apart_and_their_sum_is_what_the_client_counts(self):
        models = "loop-per-core", "loop-with-workers"
        with self.serving({"processes.models": list(models)}, name="http") as pool:
            until(lambda: total(metrics(self.admin), "weir_workers", "serving") == 2, "both serve")
            told = subprocess.run(["wrk", "-t1", "-c16", f"-d{self.seconds}s", f"http://{pool.address}/plain"], capture_output=True,
                                  text=True, timeout=60, check=True).stdout
            asked = int(re.search(r"(\d+) requests in", told)[1])
            until(lambda: total(metrics(self.admin), "weir_connections_open") == 0, "wrk has left")
            seen = metrics(self.admin)
            each = {model: total(seen, "weir_requests_total", f'model="{model}"') for model in models}
            sample.figure(f"{asked} requests of wrk; {each}")
            # What wrk has not waited for at its end was answered too.
            self.assertTrue(0 <= sum(each.values()) - asked <= 16, (each, asked))
            for model in models:
                label = f'model="{model}"'
                self.assertGreater(each[model], 0)
                self.assertEqual(total(seen, "weir_request_duration_seconds_count", label), each[model])
                self.assertGreaterEqual(total(seen, "weir_connections_accepted_total", label), 4)  # of 16, with the slack of 2
                self.assertEqual(total(seen, "weir_workers", f'state="serving",{label}'), 1)
            status = json.loads(get(self.admin, "/status")[2])
            self.assertEqual({w["worker"]: w["model"] for w in status["workers"]}, dict(enumerate(models)))
            self.assertEqual({l["model"] for l in status["loops"]}, set(models))

    def test_what_a_worker_has_counted_in_another_model_stays_apart(self):
        with self.serving({"processes.count": 1, "processes.model": "loop-per-core"}, name="pool_worker") as pool:
            for _ in range(3):
                say_once(pool.address)
            before = children(pool.pid)
            self.reload(pool, 2, {"processes.count": 1, "processes.model": "thread-per-connection"})
            until(lambda: not before & children(pool.pid), "the first worker has left")
            for _ in range(4):
                say_once(pool.address)

            def counted():
                now = metrics(self.admin)
                return [total(now, "weir_requests_total", f'model="{model}"') for model in ("loop-per-core", "thread-per-connection")]

            until(lambda: counted() == [3, 4], lambda: f"{counted()}")
            table = get(self.admin, "/status.txt")[2].decode()
            self.assertRegex(table, r"serving .* thread-per-connection\n")


class LongCounting(Counting):
    slow = True
    seconds = 10


if __name__ == "__main__":
    sample.main()
