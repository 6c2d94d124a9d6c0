#!/usr/bin/env python3
"""The echo sample as its users meet it. Usage: echo_test.py --build BUILD"""
import hashlib
import os
import random
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import sample
from sample import Sample, ask, connect, has_ipv6, receive_all, run

CONFIG = sample.source("samples", "echo", "echo.toml")


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def file(self, text, name="test.toml"):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        return path


class Answers(Folder):
    def everywhere(self):
        self.path = os.path.join(self.folder, "echo.sock")
        listen = ["127.0.0.1:0", "unix:" + self.path] + (["[::1]:0"] if has_ipv6() else [])
        return Sample("--config", CONFIG, listen=listen)

    def test_bytes_come_back_on_each_kind_of_address(self):
        with self.everywhere() as echo:
            self.assertEqual(len(echo.addresses), 3 if has_ipv6() else 2)
            for address in echo.addresses:
                with self.subTest(address), connect(address) as client:
                    self.assertEqual(ask(client, b"hello"), b"hello")
                    self.assertEqual(ask(client, bytes(range(256)) * 100), bytes(range(256)) * 100)

    def test_netcat_gets_its_bytes_back(self):
        with self.everywhere() as echo:
            for address in echo.addresses:
                where = ["-U", address[5:]] if address.startswith("unix:") else \
                    address.replace("[", "").replace("]", "").rsplit(":", 1)
                with self.subTest(address):
                    done = subprocess.run(["nc", "-N", *where], input=b"hi\n", capture_output=True, timeout=sample.BOUND)
                    self.assertEqual((done.returncode, done.stdout), (0, b"hi\n"), done.stderr)

    def test_a_half_closed_client_gets_the_whole_answer_and_then_the_end(self):
        with self.everywhere() as echo:
            for i in range(100):
                message = os.urandom(1 + i * 997)
                with connect(echo.addresses[i % len(echo.addresses)]) as client:
                    sender = threading.Thread(target=lambda: (client.sendall(message), client.shutdown(socket.SHUT_WR)))
                    sender.start()
                    self.assertEqual(receive_all(client), message)
                    sender.join()

    def test_a_slow_reader_with_a_small_buffer_gets_every_byte(self):
        message = random.Random(1).randbytes(1_000_000)
        with self.everywhere() as echo:
            for address in echo.addresses:
                with self.subTest(address), connect(address, receive_buffer=4096) as client:
                    sender = threading.Thread(target=lambda: (client.sendall(message), client.shutdown(socket.SHUT_WR)))
                    sender.start()
                    digest = hashlib.sha256()
                    while got := client.recv(2000):
                        digest.update(got)
                    sender.join()
                    self.assertEqual(digest.digest(), hashlib.sha256(message).digest())

    def test_the_permissions_of_the_unix_socket_are_those_of_the_file(self):
        with self.everywhere():
            self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o600)


class Stops(Folder):
    def test_a_signal_ends_it_with_code_0_and_idle_clients_see_an_orderly_end(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            path = os.path.join(self.folder, "s")
            with self.subTest(number.name), Sample("--config", CONFIG, listen=["127.0.0.1:0", "unix:" + path]) as echo:
                clients = [connect(echo.addresses[i % 2]) for i in range(200)]
                for c in clients:
                    ask(c)
                start = time.monotonic()
                echo.send(number)
                for c in clients:
                    with c:
                        self.assertEqual(c.recv(1), b"")  # a reset would throw
                sample.figure(f"200 idle connections ended after {(time.monotonic() - start) * 1000:.0f} ms")
                self.assertEqual(echo.wait(), 0)
                self.assertFalse(os.path.exists(path))

    def test_a_signal_right_after_the_start_ends_it_as_well(self):
        for _ in range(20):
            with Sample() as echo:
                for _ in range(3):
                    echo.send(signal.SIGTERM)
                self.assertEqual(echo.wait(), 0)

    def test_it_ends_with_code_0_however_often_it_is_told(self):
        for arguments in (("--set", "limits.stall=1s"), ("--model", "loop-with-workers"),
                          ("--model", "process-pool", "--processes", 1)):
            with self.subTest(arguments):
                for _ in range(20):
                    with Sample(*arguments) as echo:
                        while echo.process.poll() is None:
                            echo.send(signal.SIGTERM)
                            time.sleep(0.0002)
                        self.assertEqual(echo.wait(), 0)

    def test_a_signal_that_the_parent_has_blocked_is_obeyed(self):
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            for arguments in (), ("--model", "process-pool", "--processes", 1):
                with self.subTest(arguments), Sample(*arguments) as echo:
                    self.assertEqual(echo.stop(), 0)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def stuck(self, *arguments):
        """A server whose only client never reads, so that a reply cannot be sent."""
        echo = Sample("--cores", min(os.sched_getaffinity(0)), *arguments)
        client = connect(echo.address, receive_buffer=4096)
        client.settimeout(0.3)
        try:
            while True:
                client.send(b"x" * 65536)
        except TimeoutError:
            pass
        self.addCleanup(client.close)
        return echo

    def test_a_second_signal_does_not_wait_for_a_client_that_never_reads(self):
        with self.stuck() as echo:
            echo.send(signal.SIGTERM)
            echo.wait_for_line("stopping, 1 connections open")
            with self.assertRaises(subprocess.TimeoutExpired):
                echo.process.wait(0.3)
            start = time.monotonic()
            echo.send(signal.SIGTERM)
            self.assertEqual(echo.wait(), sample.CUT)
            sample.promised(time.monotonic() - start, 2, "gone after the second signal")
            echo.wait_for_line("1 connections were cut")

    def test_the_drain_timeout_ends_the_wait_for_a_client_that_never_reads(self):
        with self.stuck("--set", "limits.drain_timeout=300ms") as echo:
            start = time.monotonic()
            self.assertEqual(echo.stop(), sample.CUT)
            took = time.monotonic() - start
            self.assertGreater(took, 0.25)
            sample.promised(took, 2, "gone after the signal")

    def test_a_stopping_server_serves_no_new_connection(self):
        def unserved():
            try:
                with connect(echo.address) as late:
                    late.settimeout(0.2)
                    late.sendall(b"x")
                    return late.recv(1) == b""
            except (TimeoutError, ConnectionError):
                return True

        with self.stuck() as echo:
            echo.send(signal.SIGTERM)
            echo.wait_for_line("stopping")  # which it says before it does
            sample.until(unserved, "new connections are still served")
            self.assertTrue(unserved())
            echo.send(signal.SIGINT)
            self.assertEqual(echo.wait(), sample.CUT)


class Tells(Folder):
    def right(self, *arguments, environment=None):
        done = run(*arguments, environment=environment)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def test_its_own_configuration_file_is_valid(self):
        self.assertEqual(self.right("--config", CONFIG, "--check"), "the configuration is valid\n")

    def test_printed_settings_read_back_are_the_same(self):
        changed = ["--listen", "unix:/tmp/a \"quoted\" name", "--listen", "127.0.0.1:1", "--cores",
                   str(min(os.sched_getaffinity(0))), "--policy", "ip-hash", "--set", "limits.idle_timeout=1500ms", "--set",
                   "loop.chunk_size=3000", "--set", "socket.unix_mode=0660", "--set", "socket.nodelay=false"]
        for arguments in ([], ["--config", CONFIG], changed):
            with self.subTest(arguments):
                first = self.right(*arguments, "--print-config")
                again = self.right("--config", self.file(first), "--print-config")
                self.assertEqual(first, again)

    def test_the_plan_names_address_loops_and_policy(self):
        cpu = str(min(os.sched_getaffinity(0)))
        plan = self.right("--config", CONFIG, "--cores", cpu, "--plan")
        for part in ("loop-per-core", f"loop 0 bound to CPU {cpu}", "127.0.0.1:7000", "unix:/tmp/weir-echo.sock",
                     "least-connections", "10000 connections"):
            self.assertIn(part, plan)

    def test_help_version_and_models(self):
        self.assertIn("--print-config", self.right("--help"))
        self.assertRegex(self.right("--version"), r"^echo .*weir \d+\.\d+")
        models = self.right("--list-models")
        for name in ("serial", "single-loop", "loop-per-core", "process-pool"):
            self.assertIn(name, models)

    def test_defaults_then_file_then_environment_then_command_line(self):
        file = self.file("[limits]\nconnections = 11\n")
        environment = {"WEIR_LIMITS_CONNECTIONS": "12"}
        option = ["--set", "limits.connections=13"]
        for expected, arguments, variables in (
                (10000, [], {}),
                (11, ["--config", file], {}),
                (12, ["--config", file], environment),
                (12, [], environment),
                (13, ["--config", file, *option], environment),
                (13, option, {})):
            with self.subTest(expected=expected, arguments=arguments):
                printed = self.right(*arguments, "--print-config", environment=variables)
                self.assertRegex(printed, rf"(?m)^connections\s*= {expected}\b")

    def test_variables_reach_a_server(self):
        with Sample(environment={"WEIR_MODEL": "single-loop", "WEIR_LIMITS_IDLE_TIMEOUT": "200ms"}) as echo:
            echo.wait_for_line("single-loop, 1 loop")
            with connect(echo.address) as client:
                self.assertEqual(client.recv(1), b"")


class Refuses(Folder):
    def wrong(self, code, parts, *arguments, environment=None):
        done = run(*arguments, environment=environment)
        with self.subTest(arguments=arguments):
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertEqual(done.stdout, "")
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
            for part in parts:
                self.assertIn(part, done.stderr)
        return done.stderr

    def test_a_cpu_that_the_machine_has_not(self):
        beyond = str(max(os.sched_getaffinity(0)) + 4)
        self.wrong(2, ["--cores", beyond], "--cores", beyond)
        self.wrong(2, ["--cores", "--cores"], "--cores", beyond, "--check")

    def test_an_unknown_key(self):
        self.wrong(2, ["limits.conections", "limits.connections"], "--set", "limits.conections=5")
        path = self.file("[limits]\nidle_timeout = \"1s\"\nconections = 5\n")
        self.wrong(2, [path + ":3", "limits.conections"], "--config", path)
        self.wrong(2, ["WEIR_LIMITS_CONECTIONS"], "--check", environment={"WEIR_LIMITS_CONECTIONS": "5"})
        self.wrong(2, ["--frobnicate"], "--frobnicate")

    def test_a_value_out_of_range(self):
        self.wrong(2, ["limits.connections", "1..10000000"], "--set", "limits.connections=0")
        path = self.file("\n\n[loop]\nchunk_size = 1\n")
        self.wrong(2, [path + ":4", "loop.chunk_size", "512"], "--config", path)
        self.wrong(2, ["WEIR_LIMITS_IDLE_TIMEOUT", "soon"], environment={"WEIR_LIMITS_IDLE_TIMEOUT": "soon"})

    def test_a_broken_file(self):
        path = self.file("listen = [\"127.0.0.1:0\"\n\n[limits\n")
        self.wrong(2, [path + ":"], "--config", path)
        path = self.file("model = \"loop-per-core")
        self.wrong(2, [path + ":1"], "--config", path, "--check")
        self.wrong(2, ["/nonexistent.toml"], "--config", "/nonexistent.toml")

    def test_an_address_that_is_none(self):
        self.wrong(2, ["--listen", "127.0.0.1:seven"], "--listen", "127.0.0.1:seven")
        self.wrong(2, ["--listen", "999.0.0.1:7"], "--listen", "999.0.0.1:7")

    def test_a_port_that_is_taken(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen(1)
            address = "127.0.0.1:%d" % taken.getsockname()[1]
            self.wrong(1, [address, "in use"], "--listen", address)

    def test_a_unix_socket_that_another_server_serves(self):
        path = os.path.join(self.folder, "s")
        with Sample(listen=["unix:" + path]) as echo:
            self.wrong(1, [path, "in use"], "--listen", "unix:" + path)
            with connect(echo.address) as client:
                self.assertEqual(ask(client), b"ping")
        with open(path, "w", encoding="utf-8"):
            pass
        self.wrong(1, [path], "--listen", "unix:" + path)
        self.assertTrue(os.path.exists(path))

    def test_an_address_of_another_machine(self):
        self.wrong(1, ["192.0.2.1:7000"], "--listen", "192.0.2.1:7000")


class Pins(unittest.TestCase):
    def setUp(self):
        if "thread" in sample.options.sanitized:
            self.skipTest("the thread sanitizer has a thread of its own")
        self.allowed = sorted(os.sched_getaffinity(0))

    def bound(self, expected, *arguments):
        with Sample(*arguments) as echo:
            with connect(echo.address) as client:
                ask(client)
            # The other loops may still be starting.
            sample.until(lambda: sorted(map(sorted, echo.threads())) == expected, echo.threads)

    def test_a_loop_is_bound_to_its_cpu(self):
        self.bound([[self.allowed[-1]]], "--cores", self.allowed[-1])

    def test_two_loops_are_bound_to_a_cpu_each(self):
        if len(self.allowed) < 2:
            self.skipTest("one CPU")
        first, second = self.allowed[:2]
        self.bound([[first], [second]], "--cores", f"{first},{second}")

    def test_loops_wander_when_told_not_to_pin(self):
        self.bound([self.allowed], "--cores", self.allowed[-1], "--set", "cores.pin=false")


if __name__ == "__main__":
    sample.main()
