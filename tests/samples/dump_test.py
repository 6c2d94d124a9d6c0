#!/usr/bin/env python3
"""What --dump tells of running servers: waits of every kind, and processes that spin, are stopped or have lost their
master. Usage: dump_test.py --build BUILD"""
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
import unittest

import pool
import sample
from sample import Sample, connect


def dump(pid, name):
    done = sample.run("--dump", "--json", "--pid", pid, name=name, timeout=30)
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return json.loads(done.stdout)


def connections(processes):
    return {each["peer"]: each for p in processes for core in p["cores"] for each in core["connections"]}


def peer_of(client):
    host, port = client.getsockname()
    return f"{host}:{port}"


@unittest.skipIf(sample.options is not None and sample.options.sanitized == "thread", "its runtime keeps frames elsewhere")
class Waits(unittest.TestCase):
    EXPECTED = {  # what is sent: the operation, and the coroutines from the handler down
        "sleep": ("sleep", ["waits::serve(weir::connection)", "waits::wait_for(", "waits::middle()", "waits::innermost()"]),
        "event": ("event::wait", ["waits::serve(weir::connection)", "waits::wait_for("]),
        "semaphore": ("semaphore::acquire", ["waits::serve(", "waits::wait_for("]),
        "channel": ("channel<int>::receive", ["waits::serve(", "waits::wait_for("]),
        "receive": ("receive", ["waits::serve(", "waits::wait_for("]),
        "send": ("send", ["waits::serve(", "waits::wait_for("]),
        "join": ("join", ["waits::serve(", "waits::wait_for(", "waits::join_children()"]),
        "asio": ("asio", ["waits::serve(", "waits::wait_for(", "waits::use_asio()"]),
        "offload": ("offload", ["waits::serve(", "waits::wait_for("]),
        "": ("read (reader)", ["waits::serve(weir::connection)"]),
    }

    def setUp(self):
        self.directory = self.enterContext(tempfile.TemporaryDirectory())
        self.go_on = os.path.join(self.directory, "go on")

    def end_waits(self):
        open(self.go_on, "w").close()

    def test_every_wait_is_told_by_name(self):
        with Sample("--set", "limits.drain_timeout=100ms", name="waits") as server:
            server.expected = sample.CUT
            clients = {}
            for what in self.EXPECTED:
                client = self.enterContext(connect(server.address, receive_buffer=4096))
                client.sendall(f"{what} {self.go_on}\n".encode() if what else b"")
                clients[what] = client
            found = {}

            def all_wait():
                nonlocal found
                there = connections(dump(server.pid, "waits"))
                found = {what: there.get(peer_of(client)) for what, client in clients.items()}
                return all(each and each["operation"].startswith(self.EXPECTED[what][0]) for what, each in found.items())

            sample.until(all_wait, lambda: json.dumps(found, indent=1))
            for what, (_, frames) in self.EXPECTED.items():
                with self.subTest(what):
                    self.assertEqual(found[what]["state"], "waits")
                    self.assertEqual(found[what]["phase"], "serving")
                    self.assertGreaterEqual(len(found[what]["frames"]), len(frames))  # the operation may be a coroutine too
                    for is_, wanted in zip(found[what]["frames"], frames):
                        self.assertTrue(is_.startswith(wanted), is_)
            children = sorted((c["operation"], *c["frames"]) for c in found["join"]["children"])
            self.assertEqual(children, [("event::wait", "waits::second_child(weir::event*)"), ("sleep", "waits::first_child()")])
            text = sample.run("--dump", "--pid", server.pid, name="waits").stdout
            self.assertIn("waits for sleep: waits::serve(weir::connection) > ", text)
            self.end_waits()

    def test_a_handler_that_holds_its_core_is_named_while_it_spins_and_when_it_is_stopped(self):
        with Sample("--set", "limits.drain_timeout=100ms", name="waits") as server:
            other, spins = (self.enterContext(connect(server.address)) for _ in range(2))
            spins.sendall(f"spin {self.go_on}\n".encode())
            sample.until(lambda: os.path.exists(self.go_on + ".held"), "it does not spin")
            for stopped in (False, True):
                if stopped:
                    server.send(signal.SIGSTOP)
                    sample.until(lambda: "T" in sample.read(f"/proc/{server.pid}/stat").rpartition(")")[2][:3], "it is not stopped")
                all = dump(server.pid, "waits")
                holds = connections(all)[peer_of(spins)]
                self.assertEqual((holds["state"], holds["frames"][0]), ("runs", "waits::serve(weir::connection)"))
                self.assertTrue(holds["frames"][1].startswith("waits::wait_for("), holds)
                core = next(c for c in all[0]["cores"] if peer_of(spins) in [each["peer"] for each in c["connections"]])
                thread = next(t for t in all[0]["threads"] if t["id"] == core["thread"])
                self.assertEqual(thread["state"], "T" if stopped else "R")
                if thread["function"] and not sample.options.sanitized:  # the kernel allows it to be seen
                    self.assertRegex(thread["function"], "spin_in_the_handler|libc|access")
            server.send(signal.SIGCONT)
            self.end_waits()
            self.assertEqual(sample.receive_exactly(spins, 5), b"done\n")

    def test_what_cannot_be_read_is_an_error_that_says_why(self):
        with subprocess.Popen(["sleep", "60"]) as sleeps:
            wrong = sample.run("--dump", "--pid", sleeps.pid, name="waits")
            sleeps.kill()
        self.assertEqual((wrong.returncode, wrong.stdout), (1, ""))
        self.assertIn(f"process {sleeps.pid} runs another program or another build", wrong.stderr)
        gone = sample.run("--dump", "--pid", sleeps.pid, name="waits")
        self.assertEqual(gone.returncode, 1)
        self.assertIn(f"process {sleeps.pid}", gone.stderr)
        for arguments, said in ((["--pid", "x"], "--pid x: expected the id of a process"), ([], "--pid or processes.pid_file")):
            misused = sample.run("--dump", *arguments, name="waits")
            self.assertEqual(misused.returncode, 2)
            self.assertIn(said, misused.stderr)


class Pool(unittest.TestCase):
    def test_the_workers_of_a_pool_are_told_and_one_whose_master_is_gone(self):
        with Sample("--model", "process-pool", "--processes", 2, name="echo") as server:
            server.expected = sample.CUT
            clients = [self.enterContext(connect(server.address)) for _ in range(8)]
            for client in clients:
                client.sendall(b"x")
                self.assertEqual(client.recv(1), b"x")
            sample.until(lambda: {peer_of(c) for c in clients} <= set(connections(dump(server.pid, "echo"))),
                         "not every client is told of")
            all = dump(server.pid, "echo")
            self.assertEqual(len(all), 3)
            there = connections(all)
            self.assertEqual({there[peer_of(c)]["frames"][0] for c in clients}, {"echo(weir::connection)"})
            # Each worker is read alone too, as it is when its master is gone.
            alone = [connections(dump(each["pid"], "echo")) for each in all[1:]]
            self.assertEqual(sum(map(len, alone)), len(there))


class Load(unittest.TestCase):
    def dumps(self, count, connections_there):
        with Sample("--set", "limits.connections=20000", name="echo") as server:
            host, port = server.address.split(":")
            load = subprocess.Popen([sample.program("load"), "--connect", server.address, "--connections", str(connections_there),
                                     "--seconds", "600"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                sample.until(lambda: len(connections(dump(server.pid, "echo"))) == connections_there, "they do not all come", 60)
                seen = 0
                for _ in range(count):
                    for each in connections(dump(server.pid, "echo")).values():
                        seen += 1
                        self.assertRegex(each["peer"], r"^127\.0\.0\.1:\d+$")
                        self.assertIn(each["operation"], ("receive", "send", ""))
                        self.assertIn(each["frames"], (["echo(weir::connection)"], []))
                self.assertGreater(seen, count * connections_there / 2)
                self.assertIsNone(load.poll())
            finally:
                load.kill()
                load.wait()

    def test_a_server_under_load_is_read_without_garbage(self):
        self.dumps(20, 64)


class LongLoad(Load):
    slow = True

    def test_a_server_under_load_is_read_without_garbage(self):
        self.dumps(1000, 256)


if __name__ == "__main__":
    sample.main()
