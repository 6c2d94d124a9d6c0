#!/usr/bin/env python3
"""Descriptors, limits and signals of a serving process. Usage: resources_test.py --build BUILD"""
import os
import re
import signal
import subprocess
import tempfile
import time
import unittest

import sample
from sample import Sample, answered, ask, connect, read, reset

O_CLOEXEC = 0o2000000


class Descriptors(unittest.TestCase):
    def test_no_descriptor_is_left_to_a_program_that_is_executed(self):
        with tempfile.TemporaryDirectory() as folder, \
                Sample(listen=["127.0.0.1:0", "unix:" + os.path.join(folder, "s")]) as echo:
            clients = [connect(echo.addresses[i % 2]) for i in range(20)]
            for c in clients:
                ask(c)
            flags = {fd: f for fd, f in echo.descriptor_flags().items() if fd >= 3}
            self.assertGreater(len(flags), 20)
            self.assertEqual([fd for fd, f in flags.items() if not f & O_CLOEXEC], [])
            sample.figure(f"{len(flags)} descriptors, each with O_CLOEXEC")
            for c in clients:
                c.close()

    def test_out_of_descriptors_it_neither_spins_nor_talks_and_recovers(self):
        if sample.options.sanitized:
            self.skipTest("the undefined behaviour sanitizer looks at an object through a pipe of its own")
        with Sample(before=["prlimit", "--nofile=64"]) as echo:
            clients = [connect(echo.address) for _ in range(200)]
            for c in clients:
                c.sendall(b"x")
            cpu, lines = echo.cpu_seconds(), len(echo.lines)
            served = answered(clients, 5)
            cpu, lines = echo.cpu_seconds() - cpu, len(echo.lines) - lines
            sample.figure(f"{len(served)} of 200 served with 64 descriptors, {cpu / 5:.1%} CPU, {lines} lines")
            self.assertTrue(40 <= len(served) < 64, len(served))
            self.assertLessEqual(cpu, 0.05 * 5)
            self.assertTrue(1 <= lines <= 20, echo.lines)
            echo.wait_for_line("Too many open files")
            for c in served:
                self.assertEqual(c.recv(1), b"x")
                ask(c, b"still there")
            waiting = [c for c in clients if c not in served]
            for c in served:
                c.close()
            start = time.monotonic()
            self.assertTrue(answered(waiting, sample.BOUND, enough=1))
            sample.promised(time.monotonic() - start, 1, "accepting again after they left")
            for c in waiting:
                c.close()


class Limits(unittest.TestCase):
    def test_the_limit_of_connections_is_exact_and_places_are_used_again_at_once(self):
        with Sample("--set", "limits.connections=100") as echo:
            clients = [connect(echo.address) for _ in range(150)]
            for c in clients:
                c.sendall(b"x")
            served = answered(clients, sample.BOUND, enough=100)
            self.assertEqual(len(served), 100)
            waiting = [c for c in clients if c not in served]
            self.assertEqual(answered(waiting, 0.3), [])
            for c in served:
                self.assertEqual(c.recv(1), b"x")
            for leaving in range(1, 6):  # one, then two, ...: exactly as many come in
                for _ in range(leaving):
                    served.pop().close()
                start = time.monotonic()
                came = answered(waiting, sample.BOUND, enough=leaving)
                took = time.monotonic() - start
                self.assertEqual(len(came), leaving)
                sample.promised(took, 1, "accepting after the release")
                waiting = [c for c in waiting if c not in came]
                self.assertEqual(answered(waiting, 0.05), [])
                for c in came:
                    self.assertEqual(c.recv(1), b"x")
                served += came
            sample.figure(f"the last five came in {took * 1000:.1f} ms after five had left")
            for c in served:
                ask(c)
            for c in clients:
                c.close()


    def test_it_stops_at_once_while_clients_wait_to_be_accepted(self):
        for before, limit, sign in ((["prlimit", "--nofile=64"], 10000, "Too many open files"), ([], 10, "listening")):
            if sample.options.sanitized and before:
                continue
            with self.subTest(sign), Sample("--set", f"limits.connections={limit}", before=before) as echo:
                clients = [connect(echo.address) for _ in range(100)]
                for c in clients:
                    c.sendall(b"x")
                echo.wait_for_line(sign)
                self.assertTrue(answered(clients, sample.BOUND, enough=10))
                for c in answered(clients, 0.1):
                    c.recv(1)
                start = time.monotonic()
                self.assertEqual(echo.stop(), 0)
                sample.promised(time.monotonic() - start, 2, "exit")
                for c in clients:
                    c.close()


class Aborts(unittest.TestCase):
    def test_clients_that_leave_a_file_half_sent_do_not_end_the_server(self):
        with Sample(name="send_file") as server:
            ignored = int(re.search(r"SigIgn:\s*(\w+)", read(f"/proc/{server.pid}/status"))[1], 16)
            self.assertTrue(ignored >> (signal.SIGPIPE - 1) & 1)
            fds = server.settled_fds()
            for i in range(300):
                client = connect(server.address)
                if i % 3:
                    client.recv(100)
                if i % 2:
                    reset(client)
                else:
                    client.close()
            sample.until(lambda: len(server.fds()) == fds, lambda: f"{len(server.fds())} descriptors, {fds} at first")

    def test_a_log_that_nobody_reads_any_more_does_not_end_it(self):
        with subprocess.Popen([sample.program("echo"), "--listen", "127.0.0.1:0"], stderr=subprocess.PIPE, text=True,
                              env=sample.clean_environment()) as echo:
            try:
                self.assertIn("listening on", echo.stderr.readline())
                echo.stderr.close()
                echo.terminate()  # of which it tells
                self.assertEqual(echo.wait(sample.BOUND), 0)
            finally:
                if echo.poll() is None:
                    echo.kill()

    def test_clients_that_abort_in_the_middle_of_an_answer_harm_nobody(self):
        with Sample() as echo, connect(echo.address) as witness:
            ask(witness)
            fds = echo.settled_fds()
            for i in range(1000):
                client = connect(echo.address, receive_buffer=4096)
                client.setblocking(False)
                try:
                    client.send(b"x" * (1 << 20))
                except BlockingIOError:
                    pass
                if i % 2:
                    reset(client)
                else:
                    client.close()  # with unread input: a reset as well
                if i % 100 == 0:
                    ask(witness)
            ask(witness)
            sample.until(lambda: len(echo.fds()) == fds, lambda: f"{len(echo.fds())} descriptors, {fds} at first")


if __name__ == "__main__":
    sample.main()
