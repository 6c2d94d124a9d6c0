#!/usr/bin/env python3
"""A process that was told to end ends, whatever blocks its threads. Usage: blocked_test.py --build BUILD"""
import contextlib
import os
import signal
import tempfile
import time
import unittest

import sample
from rows import rows
from sample import Sample, connect, until

QUIT, TERM, INT = signal.SIGQUIT, signal.SIGTERM, signal.SIGINT


class Blocked(Sample):
    """A blocker with a client; what its threads have noted is in `notes`."""

    def __init__(self, folder, row, *arguments):
        self.file = os.path.join(folder, f"{row.name}-notes")
        self.row = row
        with open(self.file, "w", encoding="utf-8"):
            pass
        super().__init__(*row.arguments, *arguments, name="blocker", environment={"BLOCKER_NOTES": self.file})
        self.client = connect(self.address)

    def notes(self):
        return sample.read(self.file).split()

    def block(self, how):
        self.client.sendall(how.encode() + b"\n")
        until(lambda: "begun" in self.notes(), f"{self.row}: nothing blocks")

    def order(self, number):
        """An order that the process has seen is followed by another one."""
        self.send(number)
        status = f"/proc/{self.pid}/status"
        bit = 1 << (number - 1)
        pending = lambda: any(int(line.split()[1], 16) & bit for line in sample.read(status).splitlines()
                              if line.startswith(("SigPnd", "ShdPnd")))
        with contextlib.suppress(FileNotFoundError):
            until(lambda: not pending(), f"{self.row}: the signal is not taken")

    def kill(self):
        self.client.close()
        super().kill()


class Stopping(unittest.TestCase):
    """All rows side by side: each mostly waits."""
    @classmethod
    def setUpClass(cls):
        cls.rows = rows(sample.program("blocker"))

    def servers(self, how, *arguments, only=lambda row: True):
        held = contextlib.ExitStack()
        folder = held.enter_context(tempfile.TemporaryDirectory())
        servers = [held.enter_context(Blocked(folder, row, *arguments)) for row in self.rows if only(row)]
        self.addCleanup(held.close)
        for server in servers:
            server.block(how)
        return servers

    def ends(self, servers, promised, what):
        start = time.monotonic()
        for server in servers:
            with self.subTest(row=server.row):
                self.assertEqual(server.wait(), sample.CUT, server.lines)
        sample.promised(time.monotonic() - start, promised, what)

    def after_two_orders(self, how, *orders):
        servers = self.servers(how)
        for order in orders:
            for server in servers:
                server.order(order)
        self.ends(servers, 0.5, f"{how}: the second order")
        return servers

    def told(self, servers, text):
        for server in servers:
            with self.subTest(row=server.row):
                if server.row.model == "process-pool":
                    self.assertTrue([line for line in server.lines if "ended with SIG" in line], server.lines)
                else:
                    self.assertTrue([line for line in server.lines if text(server) in line], server.lines)

    def test_a_handler_that_blocks_is_left_at_the_second_order_and_named(self):
        servers = self.after_two_orders("sleep", TERM, TERM)
        self.told(servers, lambda server: "held up by %s:%d" % server.client.getsockname())
        for server in servers:
            with self.subTest(row=server.row):
                # The loop that stops the service is the one that is blocked, or it is not.
                stops = server.row.model in ("thread-per-connection", "loop-with-workers", "thread-per-event")
                if stops:
                    self.assertIn("stopped", server.notes())

    def test_a_job_of_offload_is_left_at_the_second_order_and_named(self):
        servers = self.after_two_orders("offload", TERM, INT)
        self.told(servers, lambda _: "held up by a job of offload()")
        for server in servers:
            self.assertIn("stopped", server.notes(), server.row)

    def test_the_look_up_of_a_name_is_left_at_the_second_order(self):
        servers = self.after_two_orders("resolve", INT, TERM)
        self.told(servers, lambda _: "such as the look-up of a name")
        for server in servers:
            self.assertIn("stopped", server.notes(), server.row)

    def test_the_second_order_may_follow_a_drain(self):
        self.ends_after_quit = self.servers("sleep", only=lambda row: row.model != "process-pool")
        for order in QUIT, TERM:
            for server in self.ends_after_quit:
                server.order(order)
        self.ends(self.ends_after_quit, 0.5, "the order after QUIT")

    def test_the_order_after_the_end_of_a_delay_is_one_that_cuts(self):
        servers = self.servers("sleep", "--set", "limits.drain_delay=1h")
        for order in TERM, QUIT, TERM:
            for server in servers:
                server.order(order)
        self.ends(servers, 2.1, "the third order")

    def test_a_delay_and_a_drain_timeout_that_have_passed_need_no_further_order(self):
        servers = self.servers("sleep", "--set", "limits.drain_delay=100ms", "--set", "limits.drain_timeout=100ms")
        for server in servers:
            server.order(TERM)
        self.ends(servers, 2.2, "one order")

    def test_a_loop_that_hangs_beside_loop_0_is_left_and_the_service_is_stopped(self):
        servers = self.servers("loop 1", only=lambda row: row.name == "loop-per-core" and
                               "," in row.arguments[-1])
        for order in TERM, TERM:
            for server in servers:
                server.order(order)
        self.ends(servers, 0.5, "the second order")
        for server in servers:
            self.assertIn("stopped", server.notes(), server.lines)
            server.wait_for_line("their loops do not turn")

    def test_one_order_is_enough_once_the_drain_timeout_has_passed(self):
        servers = [server for how in ("sleep", "offload")
                   for server in self.servers(how, "--set", "limits.drain_timeout=100ms")]
        for server in servers:
            server.order(TERM)
        self.ends(servers, 2.1, "one order")


if __name__ == "__main__":
    sample.main()
