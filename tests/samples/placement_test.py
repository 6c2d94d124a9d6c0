#!/usr/bin/env python3
"""Whether loops still run where they were placed: the log, the figures and --plan --running tell it."""
import errno
import os
import sys
import tempfile
import unittest

import sample
from admin_test import metrics, total
from pool import Pool, children
from sample import Sample, run, until

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "faults"))
import faults

CPUS = sorted(os.sched_getaffinity(0))


@unittest.skipUnless(len(CPUS) > 1, "a machine with one CPU has no other place")
class Placed(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.admin = f"unix:{folder.name}/admin"
        self.where = ("--cores", f"{CPUS[0]},{CPUS[1]}", "--set", f"processes.pid_file={folder.name}/pid")
        self.keys = (*self.where, "--set", "cores.check=50ms", "--set", f"admin={self.admin}")

    def told(self, server):
        return [line for line in server.lines if "placement: " in line]

    def moved_and_back(self, server, thread, cpu, loop, *shape):
        """Moves a thread away and back: each is one line, and a figure."""
        os.sched_setaffinity(thread, CPUS[:2])
        server.wait_for_line(f"placement: {loop} (thread {thread}) runs on CPUs ")
        figures = metrics(self.admin)
        self.assertEqual((total(figures, "weir_placement_drifts"), total(figures, "weir_placement_changes_total")), (1, 1))
        plan = run(*self.where, *shape, "--plan", "--running").stdout
        self.assertRegex(plan, rf"{loop}: thread {thread} on CPUs .*, which is not planned\n")
        self.assertRegex(plan, rf"drift +{loop} \(thread {thread}\) runs on CPUs .* instead of CPU {cpu}\n")
        os.sched_setaffinity(thread, [cpu])
        server.wait_for_line(f"placement: no longer: {loop}")
        until(lambda: total(metrics(self.admin), "weir_placement_changes_total") == 2, "counted")
        self.assertEqual(total(metrics(self.admin), "weir_placement_drifts"), 0)
        plan = run(*self.where, *shape, "--plan", "--running").stdout
        self.assertRegex(plan, rf"{loop}: thread {thread} on CPU {cpu}, as planned\n")
        self.assertRegex(plan, r"drift +none\n")
        self.assertEqual(len(self.told(server)), 2, self.told(server))

    def test_a_loop_that_is_moved_is_told_once_and_so_is_its_return(self):
        with Sample(*self.keys) as server:
            def second():
                threads = {sample.read(f"/proc/{server.pid}/task/{t}/comm").strip(): int(t)
                           for t in os.listdir(f"/proc/{server.pid}/task")}
                thread = threads.get("weir core 1")
                return thread if thread and os.sched_getaffinity(thread) == {CPUS[1]} else None

            until(second, "the second loop runs")
            self.moved_and_back(server, second(), CPUS[1], "loop 1 of worker 0")

    def test_a_server_without_a_thread_to_look_serves_on_and_says_so_once(self):
        if not faults.works():
            self.skipTest("programs cannot be made to fail here")
        with faults.Faults() as control:
            refused = control.arm(faults.NEW_THREAD, errno.EAGAIN, count=0)
            with Sample("--model", "single-loop", "--cores", CPUS[0], "--set", "cores.check=50ms",
                        environment=control.environment) as server:
                server.wait_for_line("placement is not looked at until a thread for it can be started")
                until(lambda: control.hits(refused) > 3, "it is tried again")
                with sample.connect(server.address) as client:
                    sample.ask(client)
                self.assertEqual(sum("placement is not looked at" in line for line in server.lines), 1)
                control.disarm()
                os.sched_setaffinity(server.pid, CPUS[:2])
                server.wait_for_line("placement: loop 0 of worker 0")

    def test_the_master_of_a_pool_looks_after_its_workers(self):
        shape = "--model", "process-pool", "--processes", 2
        with Pool(*self.keys, name="echo") as pool:
            until(lambda: len(children(pool.pid)) == 2, "workers")
            until(lambda: all(len(os.sched_getaffinity(p)) == 1 for p in children(pool.pid)), "their loops are pinned")
            worker = next(p for p in children(pool.pid) if os.sched_getaffinity(p) == {CPUS[0]})
            self.moved_and_back(pool, worker, CPUS[0], "loop 0 of worker 0", *shape)

    def test_two_workers_on_one_cpu_are_told(self):
        with Pool(*self.keys, name="echo") as pool:
            until(lambda: len(children(pool.pid)) == 2, "workers")
            until(lambda: all(len(os.sched_getaffinity(p)) == 1 for p in children(pool.pid)), "their loops are pinned")
            worker = next(p for p in children(pool.pid) if os.sched_getaffinity(p) == {CPUS[0]})
            os.sched_setaffinity(worker, [CPUS[1]])
            pool.wait_for_line(f"loop 0 of worker 0 and loop 0 of worker 1 share CPU {CPUS[1]}")
            pool.wait_for_line(f"runs on CPU {CPUS[1]} instead of CPU {CPUS[0]}")

    def test_a_server_that_is_not_there_is_told(self):
        told = run("--plan", "--running")
        self.assertEqual(told.returncode, 2)
        self.assertIn("found by --pid or processes.pid_file, and neither is given", told.stderr)
        self.assertIn("--running: only with --plan", run("--check", "--running").stderr)


if __name__ == "__main__":
    sample.main()
