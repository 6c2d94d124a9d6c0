#!/usr/bin/env python3
"""Descriptors and memory over many connections. Usage: leaks_test.py --build BUILD [--slow]

TEST_IO=io_uring: over it, where buffers and what is in flight have to come back as well."""
import contextlib
import subprocess
import unittest

import sample
from sample import Sample, ask, connect, load, program, receive_all

MIB = 1 << 20


def descriptors_of_all_loops(echo):
    """A loop opens its ring when its thread runs, which may be late: once it has served it is there."""
    load(echo.address, "--connections", 64, "--requests", 640)
    return echo.settled_fds()


class Cycles(unittest.TestCase):
    slow = False
    warm_up, cycles, closed = 500, 1500, 500

    def test_nothing_is_left_of_connections_that_have_ended(self):
        for how in ("orderly", "reset", "half"):
            with self.subTest(how), Sample() as echo:
                fds = descriptors_of_all_loops(echo)

                def back():
                    sample.until(lambda: len(echo.fds()) == fds, lambda: f"{len(echo.fds())} descriptors, {fds} at first")

                def cycle(count):
                    load(echo.address, "--mode", "connect", "--close", how, "--sources", 20, "--requests", count)
                    back()

                cycle(self.warm_up)
                before = echo.rss()
                cycle(self.cycles)
                grown = echo.rss() - before
                sample.figure(f"{how}: {self.cycles:,} cycles after {self.warm_up:,}: {grown / MIB:+.2f} MiB, "
                              f"{fds} descriptors as at first")
                if not sample.options.sanitized:  # freed memory is kept in quarantine there
                    self.assertLess(grown, 2 * MIB)


    def ends(self, server, at_a_time, end):
        """`end` ends so many connections; nothing is left of those that follow the first ones."""
        end(at_a_time)  # each loop has what it opens when its thread runs
        fds = server.settled_fds()
        rounds = max(1, self.closed // at_a_time)

        def cycle():
            end(at_a_time)
            sample.until(lambda: len(server.fds()) == fds, lambda: f"{len(server.fds())} descriptors, {fds} at first")

        for _ in range(self.warm_up // 250):
            cycle()
        before = server.rss()
        for _ in range(rounds):
            cycle()
        grown = server.rss() - before
        sample.figure(f"{rounds * at_a_time:,} connections: {grown / MIB:+.2f} MiB, {fds} descriptors as at first")
        if not sample.options.sanitized:
            self.assertLess(grown, 2 * MIB)

    def test_nothing_is_left_of_connections_that_the_server_closes(self):
        with Sample(name="http") as server:
            def closed(count):
                for _ in range(count):
                    with connect(server.address) as client:
                        client.sendall(b"GET /plain HTTP/1.0\r\n\r\n")
                        self.assertTrue(receive_all(client).startswith(b"HTTP/1."))

            self.ends(server, 100, closed)

    def test_nothing_is_left_of_connections_that_were_idle_for_too_long(self):
        with Sample("--set", "limits.idle_timeout=100ms") as server:
            def idled(count):
                with contextlib.ExitStack() as held:
                    clients = [held.enter_context(connect(server.address)) for _ in range(count)]
                    for c in clients[::2]:  # the others have never spoken
                        with contextlib.suppress(ConnectionError, AssertionError):  # cut on a busy machine
                            ask(c)
                    for c in clients:
                        with contextlib.suppress(ConnectionError):
                            receive_all(c)

            self.ends(server, 250, idled)

    def test_a_stop_ends_each_connection_and_cuts_none(self):
        rounds, count = (50, 1_000) if self.slow else (5, 100)
        for _ in range(rounds):
            with Sample() as server, contextlib.ExitStack() as held:
                clients = [held.enter_context(connect(server.address)) for _ in range(count)]
                for c in clients:
                    ask(c)
                self.assertEqual(server.stop(), 0)
                for c in clients:
                    self.assertEqual(receive_all(c), b"")


class ManyCycles(Cycles):
    slow = True
    warm_up, cycles, closed = 10_000, 40_000, 50_000


class Held(unittest.TestCase):
    slow = False
    idle, requests = 500, 5_000

    def test_many_held_connections_do_not_disturb_a_few_busy_ones(self):
        with Sample("--set", "limits.connections=15000") as echo:
            fds, rss = descriptors_of_all_loops(echo), echo.rss()
            # Past 65,535 descriptors or ports nothing here goes; each source address has ports of its own.
            with subprocess.Popen([program("load"), "--connect", echo.address, "--idle", str(self.idle), "--sources", "4"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as held:
                try:
                    self.assertEqual(held.stdout.readline().strip(), "ready", held.poll())
                    self.assertEqual(len(echo.fds()), fds + self.idle)
                    each = (echo.rss() - rss) / self.idle
                    load(echo.address, "--connections", 64, "--requests", self.requests)
                    _, errors = held.communicate(timeout=60)  # ends its input
                    self.assertEqual(held.returncode, 0, errors)
                finally:
                    if held.poll() is None:
                        held.kill()
            sample.until(lambda: len(echo.fds()) == fds, lambda: f"{len(echo.fds())} descriptors, {fds} at first")
            sample.figure(f"{self.idle:,} held at {each:,.0f} bytes each, {self.requests:,} echoes beside them")


class ManyHeld(Held):
    slow = True
    idle, requests = 10_000, 500_000


if __name__ == "__main__":
    sample.main()
