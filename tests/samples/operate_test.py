#!/usr/bin/env python3
"""Pools as they are operated: upgraded, asked how they are, started by root or by systemd; and parked
connections. Usage: operate_test.py --build BUILD"""
import collections
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import sample
from pool import MODES, Pool, children, living, receive_line, say, state_of
from sample import Sample, connect, until


def is_gone(pid):
    return state_of(pid) in "ZX"


class Upgraded:
    """The master that has taken over from a pool. It is no child of this process, so it is known by its pid file."""

    def __init__(self, pool, pid_file):
        lines = len(pool.lines)
        pool.send(signal.SIGUSR2)
        until(lambda: any("serves beside this one" in line for line in pool.lines[lines:]),
              lambda: f"the new program serves: {pool.lines[lines:]}")
        self.pid = int(sample.read(pid_file))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if not is_gone(self.pid):
            self.stop()

    def stop(self, number=signal.SIGTERM):
        os.kill(self.pid, number)
        until(lambda: is_gone(self.pid), "the new master has left")


class Operated(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.pid_file = f"{self.folder}/pid"
        self.socket = f"{self.folder}/socket"

    def pool(self, *arguments, **how):
        return Pool("--set", f"processes.pid_file={self.pid_file}", *arguments, **how)

    def written_pid(self):
        """None while one master has removed its file and the other has not put its own back."""
        with contextlib.suppress(FileNotFoundError):
            return int(sample.read(self.pid_file))


class Upgrading(Operated):
    def test_the_old_program_can_end_and_the_new_one_serves_on(self):
        with self.pool(listen=("127.0.0.1:0", f"unix:{self.socket}")) as pool:
            pool.wait_until_serving()
            with Upgraded(pool, self.pid_file) as new:
                self.assertNotEqual(new.pid, pool.pid)
                self.assertEqual(int(sample.read(f"{self.pid_file}.old")), pool.pid)
                self.assertEqual(pool.stop_master(signal.SIGQUIT), 0)
                self.assertFalse(os.path.exists(f"{self.pid_file}.old"))
                for address in pool.address, f"unix:{self.socket}":
                    with connect(address) as client:
                        self.assertIn(int(say(client)), living(new.pid))
                pool.wait_for_line("the old program has ended")
                new.stop(signal.SIGQUIT)
                self.assertFalse(os.path.exists(self.socket))
                self.assertFalse(os.path.exists(self.pid_file))

    def test_the_new_program_can_end_and_the_old_one_serves_on(self):
        with self.pool(listen=("127.0.0.1:0", f"unix:{self.socket}")) as pool:
            pool.wait_until_serving()
            with Upgraded(pool, self.pid_file) as new:
                new.stop(signal.SIGTERM)
                pool.wait_for_line("has ended with exit code 0")
            until(lambda: self.written_pid() == pool.pid, "the pid file is the old one's again")
            for address in pool.address, f"unix:{self.socket}":
                with connect(address) as client:
                    self.assertIn(int(say(client)), pool.workers())
            with Upgraded(pool, self.pid_file) as again:  # and it can be tried anew
                self.assertEqual(pool.stop_master(signal.SIGQUIT), 0)
                with connect(f"unix:{self.socket}") as client:
                    self.assertIn(int(say(client)), living(again.pid))
        self.assertFalse(os.path.exists(self.socket))

    def test_a_program_that_cannot_take_over_leaves_the_old_one_as_it_was(self):
        config = f"{self.folder}/pool.toml"

        def configure(text):
            with open(config, "w", encoding="utf-8") as file:
                file.write(f'model = "process-pool"\nlisten = "127.0.0.1:0"\n[processes]\ncount = 2\n'
                           f'pid_file = "{self.pid_file}"\n{text}')

        configure("")
        with Sample("--config", config, name="pool_worker", listen=()) as pool:
            for text, told in (("cuont = 2\n", "processes.cuont"), ('accept = "dispatch"\n', "cannot change it")):
                configure(text)
                lines = len(pool.lines)
                pool.send(signal.SIGUSR2)
                until(lambda: any("has ended with exit code" in line for line in pool.lines[lines:]), "it has ended")
                self.assertTrue(any(told in line for line in pool.lines[lines:]), pool.lines[lines:])
                until(lambda: self.written_pid() == pool.pid, "the pid file is the old one's")
                with connect(pool.address) as client:
                    self.assertIn(int(say(client)), living(pool.pid))

    def test_the_old_program_serves_on_when_the_new_one_dies_at_any_stage(self):
        init = f"{self.folder}/init"
        with self.pool(environment={"POOL_INIT": init}) as pool:
            pool.wait_until_serving()
            before = pool.workers()

            def serves_alone():
                until(lambda: self.written_pid() == pool.pid, "the pid file is the old one's")
                self.assertFalse(os.path.exists(f"{self.pid_file}.old"))
                self.assertIn(pool.who(), before)

            def new_master():
                """Once there is one."""
                found = []
                until(lambda: found.append(living(pool.pid) - before) or found[-1], "a new program")
                return found[-1].pop()

            # Its workers cannot start.
            with open(init, "w", encoding="utf-8") as file:
                file.write("refuse")
            pool.send(signal.SIGUSR2)
            pool.wait_for_line("has ended with exit code 1")
            serves_alone()
            # It is killed while its workers start, which takes for ever.
            with open(init, "w", encoding="utf-8") as file:
                file.write("hang")
            for number in signal.SIGKILL, signal.SIGTERM:
                pool.send(signal.SIGUSR2)
                new = new_master()
                until(lambda: self.written_pid() == new, "its pid file")
                os.kill(new, number)
                until(lambda: is_gone(new), "it has gone")
                serves_alone()
            # It is killed when it serves.
            os.unlink(init)
            new = Upgraded(pool, self.pid_file)
            its_workers = living(new.pid)
            os.kill(new.pid, signal.SIGKILL)
            pool.wait_for_line("has ended with SIGKILL")
            until(lambda: all(map(is_gone, its_workers)), "its workers have gone, with what they had accepted")
            serves_alone()
            # And the old one obeys as ever.
            pool.send(signal.SIGHUP)
            pool.wait_for_line("generation 2 serves")

    def test_the_new_program_serves_when_the_old_one_dies_while_it_starts(self):
        init = f"{self.folder}/init"
        # Dying workers that accept by themselves could take the client with them.
        with self.pool("--set", "processes.accept=dispatch", environment={"POOL_INIT": init}) as pool:
            pool.wait_until_serving()
            with open(init, "w", encoding="utf-8") as file:
                file.write("hang")
            pool.send(signal.SIGUSR2)
            until(lambda: self.written_pid() not in (None, pool.pid), "a new program")
            new = self.written_pid()
            until(lambda: len(living(new)) == 2, "its workers")
            hanging = living(new)
            pool.expected = -signal.SIGKILL
            os.kill(pool.pid, signal.SIGKILL)
            pool.process.wait()
            os.unlink(init)
            try:
                for each in hanging:
                    os.kill(each, signal.SIGKILL)
                with connect(pool.address) as client:
                    self.assertIn(int(say(client)), living(new))
            finally:
                os.kill(new, signal.SIGTERM)
                until(lambda: is_gone(new), "the new master has left")

    def test_no_connection_fails_while_one_program_follows_another(self):
        for mode in MODES:
            with self.subTest(mode), self.pool("--set", f"processes.accept={mode}", name="echo") as pool:
                pool.wait_for_workers(2)
                done = []
                load = threading.Thread(target=lambda: done.append(sample.load(
                    pool.address, "--mode", "connect", "--connections", 20, "--requests", 10_000, "--sources", 20)))
                load.start()
                with Upgraded(pool, self.pid_file) as new:
                    self.assertEqual(pool.stop_master(signal.SIGQUIT), 0)
                    load.join()
                    self.assertTrue(done, "the load met an error")
                    self.assertFalse(is_gone(new.pid))


class StartedTwice(Operated):
    def refused(self, told, *arguments, name="pool_worker"):
        ended = sample.run(*arguments, name=name)
        self.assertEqual(ended.returncode, 1, ended.stderr)
        self.assertIn(told, ended.stderr)

    def test_a_second_pool_takes_neither_port_nor_pid_file_in_any_mode(self):
        for mode in MODES:
            with self.subTest(mode), self.pool("--set", f"processes.accept={mode}") as pool:
                pool.wait_until_serving()
                before = pool.workers()
                again = "--model", "process-pool", "--processes", 2, "--set", f"processes.accept={mode}", "--listen"
                self.refused(f"bind {pool.address}: Address already in use", *again, pool.address)
                for address in pool.address, "127.0.0.1:0":
                    self.refused(f"it belongs to process {pool.pid}, which runs", *again, address, "--set",
                                 f"processes.pid_file={self.pid_file}")
                self.assertEqual(self.written_pid(), pool.pid)
                pool.wait_until_serving()
                self.assertEqual(pool.workers(), before)
            self.assertFalse(os.path.exists(self.pid_file))

    def test_a_second_server_whose_loops_share_the_port_is_refused(self):
        with Sample("--policy", "kernel", "--cores", "0,1", "--set", "cores.pin=false") as server:
            self.refused(f"bind {server.address}: Address already in use", "--policy", "kernel", "--listen", server.address,
                         name="echo")

    def test_the_pid_file_of_a_killed_master_is_replaced(self):
        with self.pool() as pool:
            pool.wait_until_serving()
            pool.expected = -signal.SIGKILL
            pool.send(signal.SIGKILL)
            pool.process.wait()
        with self.pool() as pool:
            self.assertEqual(self.written_pid(), pool.pid)


# A process that becomes the parent of its descendants' orphans, as process 1 does.
SUBREAPER = """
import ctypes, os, sys
assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
"""


class Orphans(Operated):
    def test_orphans_are_reaped_and_the_children_of_handlers_are_not_stolen(self):
        for arguments in ("--model", "process-pool", "--processes", "2"), ("--model", "loop-per-core", "--cores", "0"):
            with self.subTest(arguments), Sample(*arguments, name="pool_worker",
                                                 before=(sys.executable, "-c", SUBREAPER)) as server:
                with connect(server.address) as client:
                    say(client)
                    until(lambda: len(children(server.pid)) == (2 if "process-pool" in arguments else 1), "it serves")
                    own = children(server.pid)
                    for _ in range(3):
                        self.assertEqual(say(client, b"orphans\n"), b"7")
                    until(lambda: children(server.pid) == own,
                          lambda: f"left: {[(p, state_of(p)) for p in children(server.pid) - own]}")
                    os.kill(min(own), signal.SIGCONT)  # a SIGCHLD for a child that goes on
                    self.assertIn(int(say(client)), own)

    def test_a_server_below_a_reaper_stops_as_it_would_without(self):
        for number, code in (signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGKILL, -signal.SIGKILL):
            with Sample("--cores", "0", name="pool_worker", before=(sys.executable, "-c", SUBREAPER)) as server:
                with connect(server.address) as client:
                    served_by = int(say(client))
                    self.assertIn(served_by, children(server.pid))
                server.expected = code
                self.assertEqual(server.stop(number), code)
                until(lambda: is_gone(served_by), "it has gone")


class WithoutProc(Operated):
    def test_a_pool_starts_without_proc_and_says_why_it_cannot_be_upgraded(self):
        if os.geteuid() != 0:
            self.skipTest("only root can mount")
        if sample.options.sanitized:
            self.skipTest("the leak sanitizer reads /proc")
        hidden = ("unshare", "-m", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh")
        if subprocess.run([*hidden, "true"], stdin=subprocess.DEVNULL, capture_output=True).returncode != 0:
            self.skipTest("mounting is forbidden here")
        with self.pool(before=hidden) as pool:
            pool.wait_until_serving()
            before = pool.workers()
            pool.send(signal.SIGUSR2)
            pool.wait_for_line("no upgrade: /proc/self/exe")
            until(lambda: self.written_pid() == pool.pid, "the pid file is its own again")
            self.assertIn(pool.who(), before)
            pool.send(signal.SIGHUP)
            pool.wait_for_line("generation 2 serves")


class Parking(Operated):
    def test_one_client_is_served_by_several_workers_in_turn(self):
        with self.pool("--set", "processes.accept=dispatch") as pool:
            pool.wait_until_serving()
            with connect(pool.address) as client:
                by = collections.Counter(int(say(client, b"park\n")) for _ in range(100))
            sample.figure(f"100 requests of one client: {sorted(by.values())}")
            self.assertGreater(len(by), 1)
            self.assertLessEqual(set(by), pool.workers())

    def hand_over(self, count, rounds):
        """The first byte of a message sends a parked client to another worker; the rest comes meanwhile."""
        with self.pool("--set", "processes.accept=dispatch") as pool, contextlib.ExitStack() as held:
            pool.wait_until_serving()
            clients = [held.enter_context(connect(pool.address)) for _ in range(count)]
            for c in clients:
                say(c, b"park\n")
            served = collections.Counter()
            for _ in range(rounds):
                for c in clients:
                    c.sendall(b"p")
                for c in clients:
                    c.sendall(b"ark\n")
                served.update(int(receive_line(c)) for c in clients)
            self.assertEqual(served.total(), count * rounds)
            self.assertGreater(len(served), 1)
            self.assertLessEqual(set(served), pool.workers())
            sample.figure(f"{count * rounds:,} of {count * rounds:,} served, by workers in parts {sorted(served.values())}")

    def test_what_comes_while_a_parked_client_is_handed_over_is_served(self):
        self.hand_over(20, 25)

    def test_a_parked_client_stays_with_its_worker_in_the_other_modes(self):
        for mode in set(MODES) - {"dispatch"}:
            with self.subTest(mode), self.pool("--set", f"processes.accept={mode}") as pool:
                pool.wait_until_serving()
                with connect(pool.address) as client:
                    self.assertEqual(len({say(client, b"park\n") for _ in range(20)}), 1)

    def live_through(self, mode, count, reloads):
        """So many idle parked clients are there through reloads and an upgrade, and are answered afterwards."""
        with self.pool("--set", f"processes.accept={mode}") as pool, contextlib.ExitStack() as clients:
            pool.wait_until_serving()
            parked = [clients.enter_context(connect(pool.address)) for _ in range(count)]
            for c in parked:
                say(c, b"park\n")
            for generation in range(2, reloads + 2):
                pool.send(signal.SIGHUP)
                pool.wait_for_line(f"generation {generation} serves")
            until(lambda: len(pool.workers()) == 2, "the old generations have left")
            some = parked[:5]
            for c in some:
                self.assertIn(int(say(c, b"park\n")), pool.workers())
            with Upgraded(pool, self.pid_file) as new:
                self.assertEqual(pool.stop_master(signal.SIGQUIT), 0)
                for c in parked:
                    self.assertIn(int(say(c, b"park\n")), living(new.pid))

    def test_parked_clients_live_through_reloads_and_an_upgrade_in_every_mode(self):
        for mode in MODES:
            with self.subTest(mode):
                self.live_through(mode, 100, 2)

    def test_a_stop_ends_parked_clients_with_fin(self):
        for mode in "shared", "dispatch":
            with self.subTest(mode), self.pool("--set", f"processes.accept={mode}") as pool:
                pool.wait_until_serving()
                with connect(pool.address) as client:
                    say(client, b"park\n")
                    pool.send(signal.SIGQUIT)
                    self.assertEqual(client.recv(1), b"")
                self.assertEqual(pool.wait(), 0)

    def test_the_limit_of_a_worker_counts_those_whom_it_serves(self):
        """Parked clients do not count: more of them than limits.connections are kept."""
        with self.pool("--set", "processes.accept=dispatch", "--set", "limits.connections=2") as pool, \
                contextlib.ExitStack() as clients:
            pool.wait_until_serving()
            parked = [clients.enter_context(connect(pool.address)) for _ in range(20)]
            for c in parked:
                say(c, b"park\n")
            for c in parked:
                say(c, b"park\n")


class ParkedMasses(Operated):
    slow = True

    def test_what_comes_while_parked_clients_are_handed_over_is_served_10_000_of_10_000(self):
        Parking.hand_over(self, 50, 200)

    def test_500_parked_clients_live_through_20_reloads_and_an_upgrade(self):
        for mode in MODES:
            with self.subTest(mode):
                Parking.live_through(self, mode, 500, 20)

    def test_what_an_idle_parked_connection_costs(self):
        """10,000 of them, measured in the memory of the processes that hold them."""
        for mode in "shared", "dispatch":
            with self.subTest(mode), self.pool("--set", f"processes.accept={mode}", "--set", "limits.connections=20000",
                                               processes=1) as pool, contextlib.ExitStack() as clients:
                pool.wait_until_serving(1)
                holder = pool.pid if mode == "dispatch" else next(iter(pool.workers()))
                clients.enter_context(connect(pool.address))
                before = anonymous(holder)
                for i in range(8000):
                    c = clients.enter_context(connect(pool.address, from_address=f"127.0.0.{2 + i % 200}"))
                    say(c, b"park\n")
                cost = (anonymous(holder) - before) / 8000
                start = time.monotonic()
                with connect(pool.address) as client:
                    for _ in range(1000):
                        say(client)
                    plain = time.monotonic() - start
                    start = time.monotonic()
                    for _ in range(1000):
                        say(client, b"park\n")
                    parking = time.monotonic() - start
                sample.figure(f"{mode}: {cost:.0f} bytes per parked connection; beside 8,000 of them a request takes "
                              f"{plain * 1000:.0f} us, one that parks {parking * 1000:.0f} us")
                self.assertLessEqual(cost, 512)
                clients.close()
                pool.wait_until_empty()  # what it does not know to be gone it would cut


def anonymous(pid):
    return int(re.search(r"^Anonymous:\s+(\d+) kB", sample.read(f"/proc/{pid}/smaps_rollup"), re.M)[1]) * 1024


class Asking(Operated):
    def status(self, *more):
        return sample.run("--status", *more, name="pool_worker")

    def test_status_tells_of_each_worker_and_stops_nobody(self):
        with self.pool() as pool:
            pool.wait_until_serving()
            with connect(pool.address) as client:
                for _ in range(7):
                    worker = int(say(client))
                rows = {}

                def look():
                    told = self.status("--set", f"processes.pid_file={self.pid_file}")
                    self.assertEqual(told.returncode, 0, told.stderr)
                    self.assertIn(f"master {pool.pid}: ", told.stdout)
                    self.assertIn("generation 1, reloads 0, restarts 0", told.stdout)
                    rows.update((int(row.split()[1]), row.split()) for row in told.stdout.partition("\n\n")[0].splitlines()[2:])
                    return set(rows) == pool.workers() and int(rows[worker][7]) >= 7

                until(look, lambda: rows)
                self.assertEqual(rows[worker][3], "serving")
                self.assertGreaterEqual(int(rows[worker][5]), 1)
                self.assertEqual(int(say(client)), worker)

    def test_a_pool_that_is_not_there_is_said_not_to_be(self):
        ended = self.status()
        self.assertEqual((ended.returncode, "processes.pid_file" in ended.stderr), (2, True), ended.stderr)
        ended = self.status("--set", f"processes.pid_file={self.pid_file}")
        self.assertEqual((ended.returncode, f"{self.pid_file}: No such file" in ended.stderr), (1, True), ended.stderr)
        with open(self.pid_file, "w", encoding="utf-8") as file:
            print(os.getpid(), file=file)
        ended = self.status("--set", f"processes.pid_file={self.pid_file}")
        self.assertEqual((ended.returncode, "is not the master of a pool" in ended.stderr), (1, True), ended.stderr)

    def test_each_decision_of_the_policy_is_told_with_its_loads(self):
        with self.pool("--set", "log.distribute=true", "--set", "processes.accept=dispatch") as pool:
            pool.wait_until_serving()
            self.assertRegex(pool.wait_for_line("distribute:"), r"least-connections of loads \[\d+ \d+\]: worker [01]")


@unittest.skipUnless(os.geteuid() == 0, "only root can give up what only root has")
class Unprivileged(Operated):
    def status_of(self, pid):
        return dict(re.findall(r"^(\w+):\t(.*)$", sample.read(f"/proc/{pid}/status"), re.M))

    def check_unprivileged(self, pid):
        status = self.status_of(pid)
        self.assertNotIn("0", status["Uid"].split() + status["Gid"].split())
        self.assertEqual(status["Groups"].strip(), "")
        self.assertEqual(int(status["CapEff"], 16), 0)
        self.assertEqual(status["NoNewPrivs"], "1")

    def test_workers_serve_as_somebody_else_and_go_with_their_master(self):
        with self.pool("--set", "privileges.user=nobody") as pool:
            pool.wait_until_serving()
            for worker in pool.workers():
                self.check_unprivileged(worker)
            self.assertEqual(self.status_of(pool.pid)["Uid"].split()[0], "0")
            workers = pool.workers()
            pool.check = lambda code: None  # it is killed
            os.kill(pool.pid, signal.SIGKILL)
            until(lambda: all(is_gone(w) for w in workers), "the workers are gone")
            pool.process.wait()

    def test_a_server_of_one_process_serves_as_somebody_else_on_a_low_port(self):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            port = next(p for p in range(900, 1000) if not probe.connect_ex(("127.0.0.1", p)) == 0)
        with Sample("--set", "privileges.user=nobody", listen=(f"127.0.0.1:{port}",)) as echo:
            self.check_unprivileged(echo.pid)
            with connect(echo.address) as client:
                sample.ask(client)

    def test_a_log_file_can_be_opened_again_by_who_is_nobody(self):
        os.chmod(self.folder, 0o755)
        log = f"{self.folder}/log"
        with self.pool_of_nobody_with_a_log(log) as process:
            os.rename(log, log + ".1")
            process.send_signal(signal.SIGUSR1)
            for pid in {process.pid} | children(process.pid):
                until(lambda: os.path.exists(log) and os.readlink(f"/proc/{pid}/fd/2") == log, f"{pid} writes to {log}")

    def test_a_log_file_that_nobody_cannot_open_again_stays_in_use(self):
        """The master may open it, its workers may not."""
        os.mkdir(f"{self.folder}/private", 0o700)
        log = f"{self.folder}/private/log"
        with self.pool_of_nobody_with_a_log(log) as process:
            os.rename(log, log + ".1")
            process.send_signal(signal.SIGUSR1)
            until(lambda: sample.read(log + ".1").count("Permission denied") == 2, "both workers say why")
            self.assertEqual(os.readlink(f"/proc/{process.pid}/fd/2"), log)
            for worker in children(process.pid):
                self.assertEqual(os.readlink(f"/proc/{worker}/fd/2"), log + ".1")

    @contextlib.contextmanager
    def pool_of_nobody_with_a_log(self, log):
        """Both of its workers serve. It is told to drain at the end, and has nothing to cut."""
        process = subprocess.Popen([sample.program("pool_worker"), "--model", "process-pool", "--processes", "2", "--listen",
                                    "127.0.0.1:0", "--set", "privileges.user=nobody", "--set", f"log.file={log}"],
                                   stdin=subprocess.DEVNULL, env=sample.clean_environment())
        try:
            until(lambda: os.path.exists(log) and "listening" in sample.read(log), "it serves")
            address = re.search(r"listening on ([\d.:]+);", sample.read(log))[1]
            seen = set()

            def ask():
                with connect(address) as client:
                    seen.add(say(client))
                return len(seen) == 2

            until(ask, "both serve")
            yield process
            process.send_signal(signal.SIGQUIT)
            self.assertEqual(process.wait(sample.BOUND), 0)
        finally:
            process.kill()
            process.wait()

    def test_who_cannot_be_become_ends_the_start(self):
        for model in "process-pool", "loop-per-core":
            ended = sample.run("--model", model, "--listen", "127.0.0.1:0", "--set", "privileges.user=no-such-user")
            self.assertEqual(ended.returncode, 2)
            self.assertIn("--set privileges.user: privileges.user: no \"no-such-user\" on this system", ended.stderr)
            # A start whose setgroups fails: as in a sandbox that forbids it.
            ended = subprocess.run(["strace", "-f", "-o", "/dev/null", "-e", "inject=setgroups:error=EPERM",
                                    sample.program("echo"), "--model", model, "--listen", "127.0.0.1:0",
                                    "--set", "privileges.user=nobody"], capture_output=True, text=True, timeout=30,
                                   stdin=subprocess.DEVNULL, env=sample.clean_environment({"LSAN_OPTIONS": "detect_leaks=0"}))
            self.assertEqual(ended.returncode, 1, ended.stderr)
            self.assertIn("privileges: setgroups: Operation not permitted", ended.stderr)


# Does what systemd does for a socket unit, with sockets on free ports.
SOCKET_UNIT = """
import os, socket, sys
names = sys.argv[1].split(":")
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in names]
far = [os.dup2(s.fileno(), 100 + i) for i, s in enumerate(sockets)]
for i, fd in enumerate(far):
    os.dup2(fd, 3 + i)
    os.close(fd)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(names)), LISTEN_FDNAMES=sys.argv[1])
os.execv(sys.argv[2], sys.argv[2:])
"""


class ByAServiceManager(Operated):
    def test_sockets_are_taken_by_their_names_in_every_kind_of_server(self):
        for arguments in ((), ("--model", "process-pool", "--processes", "2")):
            with self.subTest(arguments), Sample(
                    "--set", f"processes.pid_file={self.pid_file}", *arguments, name="pool_worker",
                    listen=("systemd:web", "systemd:admin"),
                    before=(sys.executable, "-c", SOCKET_UNIT, "admin:web")) as server:
                self.assertEqual(len(server.addresses), 2)
                for address in server.addresses:
                    with connect(address) as client:
                        say(client)
                if not arguments:
                    continue
                server.send(signal.SIGHUP)
                server.wait_for_line("generation 2 serves")
                with connect(server.addresses[1]) as client:
                    say(client)

    def test_the_manager_is_told_what_happens(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(f"{self.folder}/notify")
            manager.settimeout(sample.BOUND)
            told = []

            def wait_for(part):
                while not told or part not in told[-1]:
                    told.append(manager.recv(1000).decode())
                return told[-1]

            environment = {"NOTIFY_SOCKET": f"{self.folder}/notify"}
            with self.pool(environment=environment) as pool:
                self.assertIn(f"MAINPID={pool.pid}", wait_for("READY=1"))
                pool.send(signal.SIGHUP)
                self.assertIn("MONOTONIC_USEC=", wait_for("RELOADING=1"))
                wait_for("READY=1")
                with Upgraded(pool, self.pid_file) as new:
                    self.assertIn("READY=1", wait_for(f"MAINPID={new.pid}"))
                    self.assertEqual(pool.stop_master(signal.SIGQUIT), 0)
                    new.stop(signal.SIGQUIT)
                wait_for("STOPPING=1")
            environment["WATCHDOG_USEC"] = "200000"
            for model in "loop-per-core", "process-pool":
                told.clear()
                with Sample("--model", model, "--processes", 1, environment=environment) as server:
                    wait_for("READY=1")
                    for _ in range(3):
                        wait_for("WATCHDOG=1")
                        told.append("")
                    server.send(signal.SIGTERM)
                    wait_for("STOPPING=1")

    def test_the_shipped_unit_exposes_little(self):
        if not os.path.exists("/usr/bin/systemd-analyze"):
            self.skipTest("no systemd-analyze")
        told = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager",
                               sample.source("samples", "echo", "echo.service")], capture_output=True, text=True,
                              timeout=60, stdin=subprocess.DEVNULL)
        exposure = float(re.search(r"Overall exposure level for \S+: ([\d.]+)", told.stdout)[1])
        sample.figure(f"exposure {exposure}")
        self.assertLessEqual(exposure, 2.0)


if __name__ == "__main__":
    sample.main()
