#!/usr/bin/env python3
"""Worker processes under one master. Usage: pool_test.py --build BUILD"""
import collections
import contextlib
import itertools
import os
import re
import resource
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import sample
from pool import MODES, Pool, children, cpu_seconds, descriptors, is_ended, is_stopped, living, receive_line, say, say_once, state_of
from sample import Sample, connect, until


def is_free(address):
    host, port = address.split(":")
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            again.bind((host, int(port)))
            return True
    return False


class Serving(unittest.TestCase):
    def test_each_worker_has_a_cpu_of_its_own(self):
        allowed = sorted(os.sched_getaffinity(0))
        with Pool(processes=len(allowed)) as pool:
            pool.wait_until_serving(len(allowed))
            cpus = [os.sched_getaffinity(w) for w in pool.workers()]
            self.assertEqual(sorted(c for each in cpus for c in each), allowed)

    def test_tcp_and_unix_sockets_are_served_and_the_file_is_removed_at_the_end(self):
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/socket"
            with Pool("--set", "processes.loops=2", listen=("127.0.0.1:0", f"unix:{path}")) as pool:
                for address in pool.addresses * 20:
                    with connect(address) as client:
                        self.assertIn(int(say(client)), pool.workers())
                pool.send(signal.SIGHUP)
                pool.wait_for_line("generation 2 serves")
                self.assertTrue(os.path.exists(path))
            self.assertFalse(os.path.exists(path))

    def test_the_master_has_no_thread_and_no_epoll_and_everything_closes_on_exec(self):
        with Pool() as pool:
            pool.wait_until_serving()
            self.assertEqual(len(os.listdir(f"/proc/{pool.pid}/task")), 1)
            self.assertFalse([d for d in descriptors(pool.pid).values() if "epoll" in d])
            sockets = {}
            for pid in {pool.pid} | pool.workers():
                for fd, what in descriptors(pid).items():
                    with contextlib.suppress(FileNotFoundError):
                        flags = int(re.search(r"flags:\s*(\d+)", sample.read(f"/proc/{pid}/fdinfo/{fd}"))[1], 8)
                        if fd > 2 and not self.was_inherited(fd):
                            self.assertTrue(flags & 0o2000000, f"{fd} of {pid}: {what}")
                    if pid != pool.pid:
                        self.assertNotRegex(what, "pidfd|signalfd")
                        sockets.setdefault(what, set()).add(pid)
            # What workers have in common is the listening socket, and what they were started with.
            common = [s for s, pids in sockets.items() if s.startswith("socket:") and len(pids) > 1]
            self.assertEqual(len(common), 1)

    @staticmethod
    def was_inherited(fd):
        return os.path.exists(f"/proc/{os.getpid()}/fd/{fd}") and fd > 100

    def test_no_thread_and_no_epoll_comes_before_the_last_fork(self):
        log = tempfile.NamedTemporaryFile()
        before = ["strace", "-f", "-qq", "-e", "trace=clone,clone3,fork,vfork,epoll_create1,epoll_create", "-o", log.name]
        with Pool(before=before, environment={"LSAN_OPTIONS": "detect_leaks=0"}) as pool:  # it needs ptrace itself
            master = next(iter(children(pool.pid)))
            until(lambda: len(children(master)) == 2, "two workers")
            os.kill(master, signal.SIGTERM)
            pool.wait()
        calls = [line.split(None, 1) for line in sample.read(log.name).splitlines()]
        of_master = [call for pid, call in calls if int(pid) == master and not call.startswith(("<", "-", "+"))]
        self.assertEqual(len(of_master), 2, of_master)
        for call in of_master:
            self.assertNotRegex(call, "epoll|CLONE_VM|CLONE_THREAD")


class Stopping(unittest.TestCase):
    def test_quit_answers_what_has_begun_and_ends_idle_connections(self):
        with Pool() as pool:
            pool.wait_until_serving()
            busy = [connect(pool.address) for _ in range(50)]
            idle = [connect(pool.address) for _ in range(100)]
            for c in idle:
                say(c)
            for c in busy:
                c.sendall(b"slow\n")
            for c in idle:
                c.sendall(b"who\n")  # later than the others: once it is answered, they have been read
                receive_line(c)
            start = time.monotonic()
            pool.send(signal.SIGQUIT)
            for c in idle:
                self.assertEqual(c.recv(1), b"")
            for c in busy:
                self.assertTrue(receive_line(c))
                self.assertEqual(c.recv(1), b"")
                c.close()
            self.assertEqual(pool.wait(), 0)
            took = time.monotonic() - start
            for c in idle:
                c.close()

    def test_term_and_int_end_at_once(self):
        for number in signal.SIGTERM, signal.SIGINT:
            count = 200 if sample.options.sanitized else 2000
            with Pool() as pool:
                pool.wait_until_serving()
                clients = [connect(pool.address) for _ in range(count)]
                for c in clients:
                    c.sendall(b"half a li")
                start = time.monotonic()
                self.assertEqual(pool.stop(number), 3)
                took = time.monotonic() - start
                pool.expected = 3
                for c in clients:
                    c.close()
            sample.promised(took, 0.5, f"{count} connections, exit after {number.name}")

    def test_those_who_never_finish_are_cut_at_the_drain_timeout(self):
        with Pool("--set", "limits.drain_timeout=1s") as pool:
            pool.wait_until_serving()
            clients = [connect(pool.address) for _ in range(20)]
            for c in clients:
                c.sendall(b"who\nhalf a li")
                receive_line(c)
            start = time.monotonic()
            self.assertEqual(pool.stop(signal.SIGQUIT), 3)
            took = time.monotonic() - start
            pool.expected = 3
            for c in clients:
                c.close()
        self.assertGreater(took, 0.9)
        sample.promised(took, 1.5, "exit after QUIT")

    def test_a_killed_master_takes_its_workers_with_it_and_the_port_is_free(self):
        with Pool() as pool:
            pool.wait_until_serving()
            workers = pool.workers()
            pool.check = lambda code: None  # it is killed
            with connect(pool.address) as client:
                say(client)
                client.sendall(b"hang\n")  # one that could not even look
                os.kill(pool.pid, signal.SIGKILL)
                took = until(lambda: not [w for w in workers if state_of(w) not in "ZX"], "the workers are gone")
            # A process whose first thread has ended looks gone while its others still end, and they hold the port.
            until(lambda: is_free(pool.address), "the port is free")
            pool.process.wait()
            sample.promised(took, 2, "workers gone after SIGKILL of their master")


class Replacing(unittest.TestCase):
    def test_a_worker_that_crashes_is_replaced_and_others_keep_their_connections(self):
        with Pool() as pool:
            pool.wait_until_serving()
            held, of = [], {}
            for _ in range(20):
                held.append(connect(pool.address))
                of[held[-1]] = int(say(held[-1]))
            victim = of[held[0]]
            for how in "crash", "kill":
                until(lambda: self.age(pool) > 1.1, "the workers are of age")
                others = [c for c in held if of[c] != victim]
                self.assertTrue(others)
                if how == "crash":
                    held[0].sendall(b"crash\n")
                else:
                    os.kill(victim, signal.SIGKILL)
                took = until(lambda: victim not in pool.workers() and len(pool.workers()) == 2, "it is replaced")
                sample.promised(took, 1, "a new worker after a crash")
                for c in others:
                    self.assertEqual(int(say(c)), of[c])
                held = others
                victim = next(iter(pool.workers() - {of[others[0]]}))
                more = connect(pool.address)
                while int(say(more)) != victim:
                    more.close()
                    more = connect(pool.address)
                of[more] = victim
                held.append(more)
            self.assertTrue(pool.lines_with("SIGSEGV") and pool.lines_with("SIGKILL"))
            for c in held:
                c.close()

    @staticmethod
    def age(pool):
        """Of the youngest worker, in seconds."""
        now = float(sample.read("/proc/uptime").split()[0])
        starts = [int(sample.read(f"/proc/{w}/stat").rpartition(") ")[2].split()[19]) for w in pool.workers()]
        return now - max(starts) / os.sysconf("SC_CLK_TCK")

    def test_a_pool_whose_workers_cannot_start_ends_and_says_why(self):
        for what, forks in ("refuse", 4), ("sleep 1100 refuse", 4), ("crash", 10):
            with tempfile.NamedTemporaryFile("w", suffix=".init") as init:
                init.write(what)
                init.flush()
                done = sample.run("--model", "process-pool", "--processes", 2, "--listen", "127.0.0.1:0", name="pool_worker",
                                  environment={"POOL_INIT": init.name}, timeout=30)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn("no worker has ever served", done.stderr)
            if "refuse" in what:
                self.assertIn("refused by POOL_INIT", done.stderr)
            self.assertLessEqual(done.stderr.count("ended with"), forks)

    def test_a_crash_loop_costs_few_forks_and_little_cpu(self):
        self.crash_loop(seconds=3, most=8)

    def crash_loop(self, seconds, most):
        with tempfile.NamedTemporaryFile("w", suffix=".init") as init:
            with Pool(environment={"POOL_INIT": init.name}) as pool:
                pool.wait_until_serving()
                init.write("crash")
                init.flush()
                before = cpu_seconds(pool.pid)
                for w in pool.workers():
                    os.kill(w, signal.SIGKILL)
                time.sleep(seconds)  # what is counted is what happens in a time
                used = cpu_seconds(pool.pid) - before
                deaths = len(pool.lines_with("ended with SIGSEGV"))
                sample.figure(f"{deaths} forks in {seconds} s, {used / seconds:.1%} CPU")
                self.assertGreaterEqual(deaths, 2)
                self.assertLessEqual(deaths, most)
                self.assertLessEqual(used, 0.05 * seconds)
                init.truncate(0)
                pool.wait_for_workers(2, sample.BOUND + 2 * seconds)  # the delay has grown meanwhile

    def test_a_stuck_worker_is_reported_killed_and_replaced(self):
        with Pool("--set", "processes.stuck_timeout=400ms") as pool:
            pool.wait_until_serving()
            with connect(pool.address) as client:
                victim = int(say(client))
                client.sendall(b"hang\n")
                pool.wait_for_line("is stuck")
                pool.wait_for_line("is killed")
                self.assertTrue(is_ended(client))
            until(lambda: victim not in pool.workers() and len(pool.workers()) == 2, "it is replaced")
            pool.wait_until_serving()

    def test_a_start_that_takes_longer_than_the_stuck_timeout_is_left_alone(self):
        with tempfile.NamedTemporaryFile("w", suffix=".init") as init:
            init.write("sleep 1500")
            init.flush()
            with Pool("--set", "processes.stuck_timeout=800ms", environment={"POOL_INIT": init.name}) as pool:
                pool.wait_until_serving()
                self.assertEqual(pool.lines_with("stuck"), [])
                self.assertEqual(pool.lines_with("killed"), [])

    def test_a_start_that_does_not_end_has_a_limit_of_its_own(self):
        with tempfile.NamedTemporaryFile("w", suffix=".init") as init:
            init.write("hang")
            init.flush()
            done = sample.run("--model", "process-pool", "--processes", 2, "--listen", "127.0.0.1:0", "--set",
                              "processes.start_timeout=200ms", name="pool_worker", environment={"POOL_INIT": init.name},
                              timeout=30)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn("has not served within processes.start_timeout", done.stderr)
            self.assertIn("no worker has ever served", done.stderr)
            self.assertLessEqual(done.stderr.count("is killed"), 10)
            # A generation that does not start leaves the one that serves.
            init.truncate(0)
            with Pool("--set", "processes.start_timeout=1s", environment={"POOL_INIT": init.name}) as pool:
                pool.wait_until_serving()
                before = pool.workers()
                init.seek(0)
                init.write("hang")
                init.flush()
                pool.send(signal.SIGHUP)
                pool.wait_for_line("the reload is given up")
                self.assertIn(pool.who(), before)
                init.truncate(0)

    def test_a_worker_whose_cpu_is_taken_away_runs_on_another_until_it_is_back(self):
        allowed = sorted(os.sched_getaffinity(0))
        if len(allowed) < 2:
            self.skipTest("one CPU")
        with Pool(processes=2) as pool:
            pool.wait_until_serving()

            def worker_after_a_death(cpu):
                """The new one in the place of the worker on this CPU, once it serves."""
                before = pool.workers()
                os.kill(next(w for w in before if os.sched_getaffinity(w) == {cpu}), signal.SIGKILL)
                new = lambda: pool.workers() - before
                until(lambda: len(new()) == 1, "it is replaced")
                seen = set()
                until(lambda: seen.add(pool.who()) or new() <= seen, "it serves")
                return new().pop()

            first, second = allowed[:2]
            os.sched_setaffinity(pool.pid, {first})
            self.assertEqual(os.sched_getaffinity(worker_after_a_death(second)), {first})
            pool.wait_for_line(f"may not run on CPU {second} any more")
            os.sched_setaffinity(pool.pid, set(allowed))
            pool.send(signal.SIGHUP)
            pool.wait_for_line("generation 2 serves")
            until(lambda: len(pool.workers()) == 2, "the old ones have left")
            self.assertEqual({frozenset(os.sched_getaffinity(w)) for w in pool.workers()}, {frozenset({first}), frozenset({second})})

    def test_a_worker_is_recycled_after_its_connections_or_when_it_has_grown(self):
        for setting in "max_connections_per_worker=50", "memory_limit=1MiB":
            with Pool("--set", f"processes.{setting}") as pool:
                pool.wait_for_workers(2)
                first = pool.workers()
                until(lambda: pool.who() and not first & pool.workers(), "the first workers are replaced")
                self.assertTrue(pool.lines_with("this worker leaves"))
                self.assertEqual(pool.lines_with("ended with"), [])

    def test_a_pool_that_was_stopped_as_a_whole_is_not_stuck(self):
        with Pool("--set", "processes.stuck_timeout=1s") as pool:
            pool.wait_until_serving()
            workers = pool.workers()
            for pid in {pool.pid} | workers:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(1.6)  # more than the timeout
            for pid in {pool.pid} | workers:
                os.kill(pid, signal.SIGCONT)
            for _ in range(20):
                self.assertIn(pool.who(), workers)
            self.assertEqual(pool.lines_with("is killed"), [])


class Shortage(unittest.TestCase):
    """What a pool does while something is missing, and that it serves as before when the shortage has ended."""

    def stop_process(self, pid):
        os.kill(pid, signal.SIGSTOP)
        until(lambda: is_stopped(pid), f"{pid} has stopped")

    @contextlib.contextmanager
    def pool_of_one(self):
        """A pool of mode dispatch with one worker, and a function that blocks the loop of the worker: it is sent
        connections, as long as it does not count as stuck, and reads nothing. It returns what ends that."""
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as clients:
            file = f"{folder}/hold"
            with Pool("--set", "processes.accept=dispatch", processes=1, environment={"POOL_HOLD": file}) as pool:
                def hold():
                    holding = clients.enter_context(connect(pool.address))
                    say(holding)
                    holding.sendall(b"hold\n")
                    until(lambda: os.path.exists(file), "the loop is blocked")
                    return lambda: os.unlink(file)

                pool.wait_until_serving(1)
                yield pool, hold
                clients.close()

    def test_connections_wait_in_a_master_without_workers(self):
        with self.pool_of_one() as (pool, hold), contextlib.ExitStack() as clients:
            worker = next(iter(pool.workers()))
            hold()
            before = pool.settled_fds()
            waiting = [clients.enter_context(connect(pool.address)) for _ in range(5)]
            for c in waiting:
                c.sendall(b"who\n")
            until(lambda: len(descriptors(pool.pid)) == before + len(waiting), "the master has accepted them")
            pool.send(signal.SIGWINCH)
            pool.wait_for_line("SIGWINCH")
            os.kill(worker, signal.SIGKILL)
            pool.wait_for_line("was to leave and ended with SIGKILL")
            pool.send(signal.SIGHUP)
            for c in waiting:
                self.assertIn(int(receive_line(c)), pool.workers())

    def test_what_a_worker_could_not_acknowledge_at_once_is_acknowledged_later(self):
        """The channel to the master is full of parked connections when the worker takes new ones."""
        with self.pool_of_one() as (pool, hold), contextlib.ExitStack() as clients:
            worker = next(iter(pool.workers()))
            parking = [clients.enter_context(connect(pool.address)) for _ in range(450)]
            for c in parking:
                say(c)
            go_on = hold()
            for c in parking:
                c.sendall(b"park\n")
            before = pool.settled_fds()
            closing = [clients.enter_context(connect(pool.address)) for _ in range(20)]
            until(lambda: len(descriptors(pool.pid)) >= before + len(closing), "they are on their way")
            self.stop_process(pool.pid)
            go_on()
            for c in closing:
                self.assertEqual(int(say(c, b"bye\n")), worker)
            os.kill(pool.pid, signal.SIGCONT)
            for c in closing:
                self.assertEqual(c.recv(1), b"")  # the master has closed its copy as well
            for c in parking:
                self.assertEqual(int(receive_line(c)), worker)

    def test_new_clients_are_served_after_more_came_than_descriptors_were_there(self):
        if sample.options.sanitized:
            self.skipTest("the sanitizer opens a pipe to see whether memory is readable")
        for mode in MODES:
            with self.subTest(mode), Pool("--set", f"processes.accept={mode}", before=("prlimit", "--nofile=64:64")) as pool:
                pool.wait_until_serving()
                with contextlib.ExitStack() as clients:
                    crowd = [clients.enter_context(connect(pool.address)) for _ in range(250)]
                    for c in crowd:
                        c.sendall(b"who\n")
                    self.assertGreater(len(sample.answered(crowd, sample.BOUND, enough=41)), 40)
                    until(lambda: pool.lines_with("pausing") or pool.lines_with("has no descriptor"),
                          lambda: f"no shortage in {pool.lines}")
                for _ in range(10):
                    self.assertIn(pool.who(), pool.workers())
                pool.expected = sample.CUT  # clients that have left are still being accepted when it is stopped

    def test_a_stopped_worker_holds_up_no_client_of_notify_for_good(self):
        with Pool("--set", "processes.accept=notify", "--set", "processes.stuck_timeout=8s") as pool:
            pool.wait_until_serving()
            stopped = next(iter(pool.workers()))
            self.stop_process(stopped)
            with contextlib.ExitStack() as clients:
                crowd = [clients.enter_context(connect(pool.address)) for _ in range(8)]
                for c in crowd:
                    c.sendall(b"who\n")
                for c in crowd:
                    self.assertNotEqual(int(receive_line(c)), stopped)
                self.assertEqual(pool.lines_with("is killed"), [])  # so it was not its end that helped
            os.kill(stopped, signal.SIGCONT)
            pool.wait_until_serving()

    def test_a_log_file_that_cannot_be_opened_again_ends_no_process(self):
        """Its directory has gone, it has become a directory, or no descriptor is free."""
        for why, number in itertools.product(("gone", "directory", "descriptors"), (signal.SIGUSR1, signal.SIGHUP)):
            with self.subTest(why, number=number), tempfile.TemporaryDirectory() as folder:
                self.reopen(folder, why, number)

    def reopen(self, folder, why, number):
        log = f"{folder}/logs/log"
        os.mkdir(f"{folder}/logs")
        process = subprocess.Popen([sample.program("pool_worker"), "--model", "process-pool", "--processes", "2",
                                    "--listen", "127.0.0.1:0", "--set", f"log.file={log}"],
                                   stdin=subprocess.DEVNULL, env=sample.clean_environment())
        try:
            until(lambda: os.path.exists(log) and "listening" in sample.read(log), "it serves")
            address = re.search(r"listening on ([\d.:]+);", sample.read(log))[1]

            def both():
                seen = set()
                until(lambda: seen.add(say_once(address)) or len(seen) == 2, "both serve")
                return seen

            before = both()
            everyone = {process.pid} | before
            limits = resource.getrlimit(resource.RLIMIT_NOFILE)
            if why == "descriptors":
                old = log
                for pid in everyone:
                    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))  # what is open stays open
            else:
                os.rename(f"{folder}/logs", f"{folder}/old")
                old = f"{folder}/old/log"
            if why == "directory":
                os.makedirs(log)
            process.send_signal(number)
            if number == signal.SIGUSR1:
                until(lambda: sample.read(old).count("log to") == 3, "three processes tell of it")
            else:  # it is not only the log that it cannot open
                until(lambda: re.search("serves on|cannot be started", sample.read(old)), "it is told")
            for pid in everyone:
                self.assertEqual(descriptors(pid)[2], old)
                resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
            self.assertEqual(both(), before)
            if why == "directory":
                os.rmdir(log)
            os.makedirs(f"{folder}/logs", exist_ok=True)
            process.send_signal(signal.SIGUSR1)
            for pid in everyone:
                until(lambda: descriptors(pid)[2] == log, lambda: f"{pid} writes to {descriptors(pid)[2]}")
            self.assertEqual(both(), before)
            process.send_signal(signal.SIGQUIT)
            self.assertEqual(process.wait(sample.BOUND), 0)
        finally:
            process.kill()
            process.wait()

    def test_a_call_that_fails_for_a_moment_ends_neither_channel_nor_pool(self):
        for what in "ppoll:error=ENOMEM:when=3", "recvmsg:error=ENOMEM:when=2", "recvmsg:error=ENOBUFS:when=1", "sendmsg:error=ENOMEM:when=1":
            with self.subTest(what), Pool("--set", "processes.accept=dispatch", environment={"LSAN_OPTIONS": "detect_leaks=0"},
                                          before=("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={what}")) as pool:
                pool.pid = next(iter(children(pool.process.pid)))  # the first is strace
                pool.wait_until_serving()
                with connect(pool.address) as client:
                    say(client)
                    os.kill(pool.pid, signal.SIGHUP)
                    pool.wait_for_line("generation 2 serves")
                    self.assertEqual(client.recv(1), b"")
                until(lambda: len(living(pool.pid)) == 2, "the old ones have left")
                pool.who()
                os.kill(pool.pid, signal.SIGQUIT)
                self.assertEqual(pool.wait(), 0)


    def test_a_pool_out_of_descriptors_waits_and_says_so_in_every_mode(self):
        """The limit is that of the workers or of the master; all five pools are measured in the same second."""
        if sample.options.sanitized:
            self.skipTest("the sanitizer opens a pipe to see whether memory is readable")
        for whose in "workers", "master":
            with contextlib.ExitStack() as held:
                pools = {mode: held.enter_context(Pool("--set", f"processes.accept={mode}")) for mode in MODES}
                for pool in pools.values():
                    pool.expected = sample.CUT  # what still waits at the end
                for pool in pools.values():
                    pool.wait_until_serving()
                    for pid in pool.workers() if whose == "workers" else {pool.pid}:
                        most = max(descriptors(pid)) + 4
                        resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, most))
                    for _ in range(40):
                        held.enter_context(connect(pool.address)).sendall(b"who\n")
                busy = lambda: {mode: sum(map(cpu_seconds, {pool.pid} | pool.workers())) for mode, pool in pools.items()}
                before = busy()
                time.sleep(1)  # what is counted is what happens in a time
                used = {mode: after - before[mode] for mode, after in busy().items()}
                sample.figure(f"limit of the {whose}: CPU seconds in 1 s: {used}")
                self.assertLess(max(used.values()), 0.3)
                short = MODES if whose == "workers" else ["dispatch"]  # in the other modes the master opens nothing
                for mode in short:
                    until(lambda: pools[mode].lines_with("pausing") or pools[mode].lines_with("has no descriptor"),
                          lambda: f"{whose}, {mode}: no shortage in {pools[mode].lines}")

    def test_a_drain_that_cannot_be_sent_as_a_message_is_sent_as_a_signal(self):
        """Only the master's calls fail."""
        with Pool(before=("strace", "-qq", "-o", "/dev/null", "-e", "inject=sendmsg:error=EPERM"),
                  environment={"LSAN_OPTIONS": "detect_leaks=0"}) as pool:
            pool.pid = next(iter(children(pool.process.pid)))  # the first is strace
            pool.wait_until_serving()
            with connect(pool.address) as client:
                worker = int(say(client))
                client.sendall(b"wh")
                os.kill(pool.pid, signal.SIGQUIT)
                pool.wait_for_line("SIGQUIT, ")
                client.sendall(b"o\n")
                self.assertEqual(int(receive_line(client)), worker)
                self.assertEqual(client.recv(1), b"")
            self.assertEqual(pool.wait(), 0)

    def test_a_pool_stops_where_a_sandbox_forbids_signals_through_descriptors(self):
        for number in signal.SIGTERM, signal.SIGQUIT:
            with Pool(before=("strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=pidfd_send_signal:error=EPERM"),
                      environment={"LSAN_OPTIONS": "detect_leaks=0"}) as pool:
                pool.pid = next(iter(children(pool.process.pid)))  # the first is strace
                pool.wait_until_serving()
                with connect(pool.address) as client:
                    client.sendall(b"who\nhalf a li" if number == signal.SIGTERM else b"who\n")
                    receive_line(client)
                    os.kill(pool.pid, number)
                    self.assertEqual(pool.wait(), 3 if number == signal.SIGTERM else 0)
                self.assertEqual(pool.lines_with("is killed"), [])
                pool.expected = 3

    def test_what_no_call_lets_the_master_signal_is_told(self):
        with Pool("--set", "limits.drain_timeout=100ms", before=(
                "strace", "-qq", "-o", "/dev/null", "-e", "inject=pidfd_send_signal,kill:error=EPERM"),
                environment={"LSAN_OPTIONS": "detect_leaks=0"}) as pool:
            pool.pid = next(iter(children(pool.process.pid)))  # the first is strace
            pool.wait_until_serving()
            with connect(pool.address) as client:
                victim = int(say(client))
                client.sendall(b"hang\n")
                os.kill(pool.pid, signal.SIGTERM)
                pool.wait_for_line("cannot be sent SIGTERM")
                pool.wait_for_line("cannot be sent SIGKILL")
                self.assertEqual(pool.lines_with("is killed"), [])
                for worker in pool.workers():
                    os.kill(worker, signal.SIGKILL)
                self.assertEqual(pool.wait(), 3)


class ExitCodes(unittest.TestCase):
    def test_a_pool_says_whether_connections_were_cut(self):
        for number, timeout in (signal.SIGQUIT, "300ms"), (signal.SIGTERM, "30s"):
            with Pool("--set", f"limits.drain_timeout={timeout}") as pool:
                pool.wait_until_serving()
                with connect(pool.address) as client:
                    client.sendall(b"who\nhalf a li")
                    receive_line(client)
                    self.assertEqual(pool.stop(number), 3)
                self.assertTrue(pool.lines_with("connections were cut"))
                pool.expected = 3
            with Pool() as pool:
                pool.wait_until_serving()
                self.assertEqual(pool.stop(number), 0)

    def test_orders_to_drain_in_a_row_cut_nothing_in_any_mode(self):
        """A client has sent half of its request; its worker is told to drain, and then told again."""
        firsts = {"HUP": "generation 2 serves", "WINCH": "SIGWINCH", "QUIT": "SIGQUIT", "USR2": "serves beside this one",
                  "recycled": "this worker leaves"}
        for mode, (first, told) in itertools.product(MODES, firsts.items()):
            recycling = ("--set", "processes.max_connections_per_worker=5") if first == "recycled" else ()
            with self.subTest(mode, first=first), Pool("--set", f"processes.accept={mode}", *recycling) as pool, \
                    contextlib.ExitStack() as held:
                client = held.enter_context(connect(pool.address))
                worker = int(say(client))
                client.sendall(b"who\nwh")
                self.assertEqual(int(receive_line(client)), worker)
                if first == "recycled":
                    until(lambda: pool.who() and len(pool.lines_with(told)) >= 2, "both leave")
                else:
                    pool.send(getattr(signal, f"SIG{first}"))
                    pool.wait_for_line(told)
                if first == "USR2":
                    new = int(re.search(r"process (\d+) was started", pool.wait_for_line("was started"))[1])
                    held.callback(os.kill, new, signal.SIGTERM)
                before = len(pool.lines_with("SIGQUIT: "))
                for times in range(1, 3):
                    pool.send(signal.SIGQUIT)
                    until(lambda: len(pool.lines_with("SIGQUIT: ")) == before + times, "it is obeyed")
                client.sendall(b"o\n")
                self.assertEqual(int(receive_line(client)), worker)
                self.assertEqual(client.recv(1), b"")
                self.assertEqual(pool.process.wait(sample.BOUND), 0)

    def test_a_worker_that_a_person_tells_to_quit_drains_and_is_replaced(self):
        with Pool() as pool:
            pool.wait_until_serving()
            with connect(pool.address) as client:
                worker = int(say(client))
                client.sendall(b"wh")
                os.kill(worker, signal.SIGQUIT)
                pool.wait_for_line("SIGQUIT, ")
                os.kill(worker, signal.SIGQUIT)
                until(lambda: len(pool.workers() - {worker}) == 2, "a new worker beside it")
                client.sendall(b"o\n")
                self.assertEqual(int(receive_line(client)), worker)
            until(lambda: worker not in pool.workers(), "it has left")


class Commands(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.file = f"{self.folder}/pool.toml"

    def configure(self, text=""):
        with open(self.file, "w", encoding="utf-8") as file:
            file.write('model = "process-pool"\n' + text)

    def pool(self, text="", **how):
        """Configured by a file alone."""
        self.configure('listen = "127.0.0.1:0"\n[processes]\ncount = 2\n' + text)
        return Sample("--config", self.file, name="pool_worker", listen=(), **how)

    def reload(self, pool, generation):
        pool.send(signal.SIGHUP)
        pool.wait_for_line(f"generation {generation} serves")

    def workers(self, pool, count):
        """Those that live, once there are so many."""
        seen = []
        until(lambda: seen.append(living(pool.pid)) or len(seen[-1]) == count,
              lambda: f"{count} workers, but there are {seen[-1]}")
        return seen[-1]

    def test_hup_brings_new_workers_and_the_new_configuration(self):
        with self.pool() as pool:
            before = self.workers(pool, 2)
            with connect(pool.address) as idle, connect(pool.address) as busy:
                say(idle)
                say(busy)
                busy.sendall(b"slow\n")
                self.configure('listen = "127.0.0.1:0"\n[processes]\ncount = 3\n')
                self.reload(pool, 2)
                self.assertEqual(idle.recv(1), b"")
                self.assertIn(int(receive_line(busy)), before)
            until(lambda: not before & children(pool.pid), "the old ones have left")
            self.assertEqual(len(self.workers(pool, 3)), 3)

    def test_addresses_come_and_go_without_touching_those_that_stay(self):
        with self.pool() as pool:
            self.configure(f'listen = ["127.0.0.1:0", "unix:{self.folder}/socket"]\n[processes]\ncount = 2\n')
            self.reload(pool, 2)
            for address in pool.address, f"unix:{self.folder}/socket":
                with connect(address) as client:
                    say(client)
            self.configure(f'listen = "unix:{self.folder}/socket"\n[processes]\ncount = 2\n')
            self.reload(pool, 3)
            until(lambda: self.refuses(pool.address), "the address is closed")

    @staticmethod
    def refuses(address):
        try:
            connect(address).close()
            return False
        except ConnectionRefusedError:
            return True

    def test_a_bad_configuration_is_told_and_not_taken(self):
        with socket.socket() as taken, self.pool() as pool:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            before = self.workers(pool, 2)
            for text, told in (("listen = \n", ":2:"), ("[processes]\ncuont = 2\n", "processes.cuont"),
                               ("[processes]\ncount = 0\n", "out of range"),
                               (f'listen = ["127.0.0.1:0", "127.0.0.1:{port}"]\n', f"bind 127.0.0.1:{port}")):
                self.configure(text)
                lines = len(pool.lines)
                pool.send(signal.SIGHUP)
                until(lambda: any("serves on" in line for line in pool.lines[lines:]), "it is told")
                self.assertTrue(any(told in line for line in pool.lines[lines:]), pool.lines[lines:])
                with connect(pool.address) as client:
                    self.assertIn(int(say(client)), before)
            self.assertEqual(self.workers(pool, 2), before)

    def test_a_generation_that_does_not_start_is_given_up(self):
        init = f"{self.folder}/init"
        with self.pool(environment={"POOL_INIT": init}) as pool:
            seen = set()
            until(lambda: seen.add(say_once(pool.address)) or len(seen) == 2, "both serve")
            before = self.workers(pool, 2)
            with open(init, "w", encoding="utf-8") as file:
                file.write("crash")
            pool.send(signal.SIGHUP)
            pool.wait_for_line("the reload is given up")
            self.assertEqual(self.workers(pool, 2), before)
            os.unlink(init)
            self.reload(pool, 3)
            until(lambda: not before & children(pool.pid), "the old ones have left")

    def test_what_needs_a_restart_is_named(self):
        with self.pool() as pool:
            self.configure('listen = "127.0.0.1:0"\n[processes]\ncount = 2\n[socket]\nbacklog = 77\n')
            self.reload(pool, 2)
            self.assertIn("77 needs a restart", pool.wait_for_line("socket.backlog"))

    def test_ttin_and_ttou_change_the_number_of_workers(self):
        with self.pool() as pool:
            self.workers(pool, 2)
            pool.send(signal.SIGTTIN)
            self.workers(pool, 3)
            for left in 2, 1, 1:
                pool.send(signal.SIGTTOU)
                self.workers(pool, left)

    def test_winch_drains_the_workers_and_hup_brings_them_back_without_a_refused_connection(self):
        with self.pool() as pool:
            self.workers(pool, 2)
            pool.send(signal.SIGWINCH)
            self.workers(pool, 0)
            with connect(pool.address) as waiting:
                waiting.sendall(b"who\n")
                pool.send(signal.SIGHUP)
                self.assertIn(int(receive_line(waiting)), self.workers(pool, 2))

    def test_the_pid_file_is_there_when_signals_are_obeyed_and_not_before(self):
        pid_file = f"{self.folder}/pid"
        log = tempfile.NamedTemporaryFile()
        with Pool("--set", f"processes.pid_file={pid_file}", environment={"LSAN_OPTIONS": "detect_leaks=0"},
                  before=("strace", "-qq", "-e", "trace=rename,signalfd4", "-o", log.name)) as pool:
            master = int(sample.read(pid_file))
            until(lambda: len(living(master)) == 2, "two workers")
            os.kill(master, signal.SIGHUP)
            pool.wait_for_line("generation 2 serves")
            os.kill(master, signal.SIGQUIT)
            self.assertEqual(pool.wait(), 0)
        calls = [line.partition("(")[0] for line in sample.read(log.name).splitlines() if "(" in line]
        self.assertLess(calls.index("signalfd4"), calls.index("rename"), calls)

    def test_the_master_keeps_the_sockets_of_workers_that_a_reload_adds(self):
        def listening(pid):
            inodes = set(re.findall(r"socket:\[(\d+)\]", " ".join(descriptors(pid).values())))
            rows = [row.split() for row in sample.read("/proc/net/tcp").splitlines()[1:]]
            return sum(row[3] == "0A" and row[9] in inodes for row in rows)

        with self.pool('accept = "reuseport"\n') as pool:
            self.workers(pool, 2)
            self.assertEqual(listening(pool.pid), 2)
            self.configure('listen = "127.0.0.1:0"\n[processes]\ncount = 4\naccept = "reuseport"\n')
            self.reload(pool, 2)
            self.assertEqual(len(self.workers(pool, 4)), 4)
            for _ in range(20):
                say_once(pool.address)
            self.assertEqual(listening(pool.pid), 4)

    def test_usr1_opens_the_log_file_again(self):
        log = f"{self.folder}/log"
        self.configure('listen = "127.0.0.1:0"\n[processes]\ncount = 2\n')
        process = subprocess.Popen([sample.program("pool_worker"), "--config", self.file, "--set", f"log.file={log}"],
                                   stdin=subprocess.DEVNULL, env=sample.clean_environment())
        try:
            until(lambda: os.path.exists(log) and "listening" in sample.read(log), "it serves")
            until(lambda: len(children(process.pid)) == 2, "workers")
            # A worker ignores the signal before it has a handler; one that answers has it.
            at = re.search(r"listening on ([\d.:]+);", sample.read(log))[1]
            seen = set()
            until(lambda: seen.add(say_once(at)) or len(seen) == 2, "both serve")
            os.rename(log, log + ".1")
            process.send_signal(signal.SIGUSR1)
            until(lambda: os.path.exists(log), "a new file")
            for pid in {process.pid} | children(process.pid):
                until(lambda: descriptors(pid)[2] == log, lambda: f"{pid} writes to {descriptors(pid)[2]}")
            process.send_signal(signal.SIGQUIT)
            self.assertEqual(process.wait(sample.BOUND), 0)
            self.assertIn("has left", sample.read(log))
            self.assertNotIn("has left", sample.read(log + ".1"))
        finally:
            process.kill()
            process.wait()


class UnderLoad(unittest.TestCase):
    slow = True

    def test_a_crash_loop_costs_10_forks_in_10_seconds_at_most(self):
        Replacing.crash_loop(self, seconds=10, most=10)

    def test_1000_connections_wake_few_of_8_workers_for_nothing_in_any_mode(self):
        for mode in MODES:
            with self.subTest(mode), tempfile.NamedTemporaryFile() as log, Pool(
                    "--set", f"processes.accept={mode}", processes=8, environment={"LSAN_OPTIONS": "detect_leaks=0"},
                    before=("strace", "-f", "-qq", "-e", "trace=accept4", "-o", log.name)) as pool:
                pool.pid = next(iter(children(pool.process.pid)))  # the first is strace
                pool.wait_until_serving(8)
                before = sample.read(log.name).count("= -1 EAGAIN")
                for _ in range(1000):
                    pool.who()
                fruitless = (sample.read(log.name).count("= -1 EAGAIN") - before) / 1000
                os.kill(pool.pid, signal.SIGTERM)
                self.assertEqual(pool.wait(), 0)
                sample.figure(f"{mode}: {fruitless:.2f} fruitless accepts per connection")
                self.assertLessEqual(fruitless, 1.5)

    def test_20_reloads_under_ab_fail_no_request_of_100000_in_any_mode(self):
        for mode in MODES:
            with self.subTest(mode), Pool("--set", f"processes.accept={mode}", name="http") as pool:
                first = pool.wait_for_workers(2)
                ab = subprocess.Popen(["ab", "-q", "-r", "-n", "100000", "-c", "50", f"http://{pool.address}/plain"],
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                for generation in range(2, 22):
                    pool.send(signal.SIGHUP)
                    pool.wait_for_line(f"generation {generation} serves")
                    time.sleep(0.25)  # the pace of the promise
                told, _ = ab.communicate(timeout=120)
                figures = dict(re.findall(r"^([\w -]+?):\s+([\d.]+)", told, re.M))
                sample.figure(f"{mode}: 20 reloads, {figures.get('Complete requests')} requests, "
                              f"{figures.get('Failed requests')} failed, {figures.get('Requests per second')}/s")
                self.assertEqual((ab.returncode, figures["Complete requests"], figures["Failed requests"]),
                                 (0, "100000", "0"), told)
                self.assertNotIn("Non-2xx", told)
                until(lambda: not first & pool.workers(), "the first workers have left")

    def test_20_crashes_under_load_hurt_nobody_elses_connections_in_any_mode(self):
        for mode in MODES:
            with self.subTest(mode), Pool("--set", f"processes.accept={mode}", processes=3) as pool:
                pool.wait_until_serving(3)
                ended, victims, wrong, answered = threading.Event(), set(), [], collections.Counter()

                def client():
                    while not ended.is_set():
                        worker = None
                        try:
                            with connect(pool.address) as c:
                                for _ in range(20):
                                    worker = int(say(c))
                                    answered[worker] += 1
                        except (AssertionError, OSError) as e:
                            # A client without an answer may have been at the worker that died.
                            if worker is not None and worker not in victims:
                                wrong.append((worker, e))

                threads = [threading.Thread(target=client) for _ in range(8)]
                for t in threads:
                    t.start()
                slowest = 0
                for i in range(20):
                    until(lambda: self.oldest(pool)[0] > 1.05, "one is of age")
                    victim = self.oldest(pool)[1]
                    victims.add(victim)
                    os.kill(victim, (signal.SIGSEGV, signal.SIGKILL)[i % 2])
                    slowest = max(slowest, until(lambda: victim not in pool.workers() and len(pool.workers()) == 3, "replaced"))
                ended.set()
                for t in threads:
                    t.join()
                sample.promised(slowest, 1, f"{mode}: {answered.total():,} answers; the slowest replacement")
                self.assertEqual(wrong, [])

    def test_20_reloads_lose_none_of_100000_connections_in_any_mode(self):
        for mode in MODES:
            with self.subTest(mode), Pool("--set", f"processes.accept={mode}", name="echo") as pool:
                first = pool.wait_for_workers(2)
                done = []
                load = threading.Thread(target=lambda: done.append(sample.load(
                    pool.address, "--mode", "connect", "--connections", 50, "--requests", 100_000, "--sources", 50)))
                load.start()
                for generation in range(2, 22):
                    pool.send(signal.SIGHUP)
                    pool.wait_for_line(f"generation {generation} serves")
                    time.sleep(0.25)  # the pace of the promise
                load.join()
                self.assertTrue(done, "the load met an error")
                until(lambda: not first & pool.workers(), "the first workers have left")
                sample.figure(f"{mode}: 20 reloads,", done[0].strip()[:120])

    def test_20_kills_under_load_lose_no_queued_connection_of_reuseport_and_dispatch(self):
        """A client that is served by a worker that dies loses its connection; one that waits does not: it asks
        again on a new connection, and is never refused."""
        for mode in "reuseport", "dispatch":
            with self.subTest(mode), Pool("--set", f"processes.accept={mode}", processes=4) as pool:
                pool.wait_until_serving(2)
                ended, results = threading.Event(), collections.Counter()

                def clients():
                    while not ended.is_set():
                        try:
                            with connect(pool.address) as client:
                                client.sendall(b"who\n")
                                receive_line(client)
                                results["answered"] += 1
                        except ConnectionRefusedError:
                            results["refused"] += 1
                        except (AssertionError, ConnectionError):
                            results["cut"] += 1
                        except OSError as e:
                            results[str(e)] += 1

                threads = [threading.Thread(target=clients) for _ in range(8)]
                for t in threads:
                    t.start()
                for _ in range(20):
                    until(lambda: self.oldest(pool)[0] > 1.05, "one is of age")
                    victim = self.oldest(pool)[1]
                    os.kill(victim, signal.SIGKILL)
                    until(lambda: victim not in pool.workers() and len(pool.workers()) == 4, "it is replaced")
                ended.set()
                for t in threads:
                    t.join()
                sample.figure(f"{mode}: {dict(results)}")
                self.assertEqual(set(results) - {"answered", "cut"}, set())
                self.assertLessEqual(results["cut"], 20 * len(threads))

    def test_reuseport_shrinks_and_grows_under_load_without_a_lost_connection(self):
        with Pool("--set", "processes.accept=reuseport", name="echo", processes=4) as pool:
            pool.wait_for_workers(4)
            done = []
            load = threading.Thread(target=lambda: done.append(sample.load(
                pool.address, "--mode", "connect", "--connections", 20, "--seconds", 12)))
            load.start()
            for workers in (3, 2, 1, 2, 3, 2):
                pool.send(signal.SIGTTOU if workers < len(pool.workers()) else signal.SIGTTIN)
                pool.wait_for_workers(workers, 20)
                time.sleep(1.2)  # so that a socket without a worker is closed
            load.join()
            self.assertTrue(done, "the load met an error")
            sample.figure("reuseport resized:", done[0].strip()[:120])

    def test_200_kills_and_50_reloads_leave_nothing_behind(self):
        with Pool(processes=8) as pool:
            pool.wait_until_serving(8)
            fds, rss = len(descriptors(pool.pid)), pool.rss()
            for _ in range(200):
                until(lambda: self.oldest(pool)[0] > 1.05, "one is of age")
                victim = self.oldest(pool)[1]
                os.kill(victim, signal.SIGKILL)
                took = until(lambda: victim not in pool.workers() and len(pool.workers()) == 8, "it is replaced")
                sample.promised(took, 1, "a new worker after a crash")
            for generation in range(2, 52):
                pool.send(signal.SIGHUP)
                pool.wait_for_line(f"generation {generation} serves")
            until(lambda: len(children(pool.pid)) == 8, "the old ones have left")
            self.assertEqual([p for p in children(pool.pid) if state_of(p) == "Z"], [])
            self.assertEqual(len(descriptors(pool.pid)), fds)
            grown = pool.rss() - rss
            sample.figure(f"master + {grown / 1024:.0f} KiB")
            self.assertLessEqual(grown, (1 << 20) * (1 + 8 * bool(sample.options.sanitized)))

    @staticmethod
    def oldest(pool):
        now = float(sample.read("/proc/uptime").split()[0])
        ages = []
        for w in pool.workers():
            with contextlib.suppress(FileNotFoundError):
                start = int(sample.read(f"/proc/{w}/stat").rpartition(") ")[2].split()[19])
                ages.append((now - start / os.sysconf("SC_CLK_TCK"), w))
        return max(ages)

    def test_the_last_configuration_wins_a_storm_of_signals(self):
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            def configure(count):
                file.seek(0)
                file.truncate()
                file.write(f'model = "process-pool"\nlisten = "127.0.0.1:0"\n[processes]\ncount = {count}\n')
                file.flush()

            configure(2)
            with Sample("--config", file.name, listen=(), name="pool_worker") as pool:
                for i in range(1000):
                    pool.send((signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD, signal.SIGWINCH)[i % 4])
                    time.sleep(0.001)
                configure(3)
                pool.send(signal.SIGHUP)
                until(lambda: len(children(pool.pid)) == 3, lambda: children(pool.pid))
                time.sleep(0.5)  # and it stays so
                self.assertEqual(len(children(pool.pid)), 3)
                with connect(pool.address) as client:
                    self.assertIn(int(say(client)), children(pool.pid))


if __name__ == "__main__":
    sample.main()
