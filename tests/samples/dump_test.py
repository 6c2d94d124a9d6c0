#!/usr/bin/env python3
"""What --dump tells of running servers: waits of every kind, and processes that spin, are stopped or have lost their
master. Usage: dump_test.py --build BUILD"""
import collections
import json
import os
import re
import signal
import statistics
import subprocess
import tempfile
import threading
import time
import unittest

import pool
import sample
from admin_test import get
from chat_test import two_cores
from sample import Sample, connect

PATIENCE = 90  # seconds for a dump, which runs the program's code in steps


def dump(pid, name):
    done = sample.run("--dump", "--json", "--pid", pid, name=name, timeout=PATIENCE)
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return json.loads(done.stdout)


def connections(processes):
    return {each["peer"]: each for p in processes for core in p["cores"] for each in core["connections"]}


def line_at(place):
    """What stands in the source there."""
    file, _, number = place.rpartition(":")
    if not file:
        return place
    return sample.read(os.path.join(os.path.dirname(os.path.abspath(__file__)), file)).splitlines()[int(number) - 1].strip()


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
        "leave": ("event::wait", ["waits::serve(", "waits::wait_for(", "waits::leave_children()"]),
        "asio": ("asio", ["waits::serve(", "waits::wait_for(", "waits::use_asio()"]),
        "offload": ("offload", ["waits::serve(", "waits::wait_for("]),
        "": ("read (reader)", ["waits::serve(weir::connection)"]),
    }

    LINES = {  # of the same
        "sleep": ["co_await wait_for(what, with, &client);", 'if (what == "sleep") co_await middle();', "co_await innermost();",
                  "weir::task<> innermost() { co_await weir::sleep_for(long_time); }"],
        "event": ["co_await wait_for(what, with, &client);", "co_await never.wait();"],
        "semaphore": ["co_await wait_for(what, with, &client);", "co_await none.acquire();"],
        "leave": ["co_await wait_for(what, with, &client);", 'if (what == "leave") co_await leave_children();', "co_await never.wait();"],
        "channel": ["co_await wait_for(what, with, &client);", "co_await empty.receive();"],
        "receive": ["co_await wait_for(what, with, &client);", 'if (what == "receive") co_await client->receive();'],
        "send": ["co_await wait_for(what, with, &client);", "static_cast<void>(co_await client->send(much));"],
        "join": ["co_await wait_for(what, with, &client);", 'if (what == "join") co_await join_children();', "co_await both.join();"],
        "asio": ["co_await wait_for(what, with, &client);", 'if (what == "asio") co_await use_asio();', "co_await timer.async_wait(weir::use_task);"],
        "offload": ["co_await wait_for(what, with, &client);", "co_await work;"],
        "": ['const auto line = co_await in.until("\\n");'],
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

            sample.until(all_wait, lambda: json.dumps(found, indent=1), PATIENCE)
            for what, (_, frames) in self.EXPECTED.items():
                with self.subTest(what):
                    self.assertEqual(found[what]["state"], "waits")
                    self.assertEqual(found[what]["phase"], "serving")
                    self.assertGreaterEqual(len(found[what]["frames"]), len(frames))  # the operation may be a coroutine too
                    for is_, wanted in zip(found[what]["frames"], frames):
                        self.assertTrue(is_.startswith(wanted), is_)
            if not sample.options.sanitized:  # what they add to a function hides its lines
                for what, lines in self.LINES.items():
                    with self.subTest(what):
                        self.assertEqual([line_at(place) for place in found[what]["lines"][:len(lines)]], lines)
            for what in found:
                self.assertLess(found[what]["waits_ms"], 60_000)
                self.assertLessEqual(found[what]["age_ms"], 60_000)
            for what in ("join", "leave"):  # of scopes that are joined, and of those that are not
                children = sorted((c["operation"], *c["frames"]) for c in found[what]["children"])
                self.assertEqual(children, [("event::wait", "waits::second_child(weir::event*)"), ("sleep", "waits::first_child()")])
            self.assertEqual(sum(len(each["children"]) for each in found.values()), 4)
            text = sample.run("--dump", "--pid", server.pid, name="waits", timeout=PATIENCE).stdout
            self.assertRegex(text, r"serving, open \d+\.\d s, quiet \d+\.\d s, waits for sleep: waits::serve\(weir::connection\)"
                                   r"( at waits\.cpp:\d+)? > ")
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
                if thread["stack"] and not sample.options.sanitized:  # the kernel allows it to be seen
                    self.assert_in_function(thread, "spin_in_the_handler")
            server.send(signal.SIGCONT)
            self.end_waits()
            self.assertEqual(sample.receive_exactly(spins, 5), b"done\n")

    def assert_in_function(self, thread, name):
        """Its stack names a line of that function of waits.cpp."""
        places = [p for p in thread["stack"] if name in p["function"]]
        self.assertTrue(places, thread)
        source = sample.read(os.path.join(os.path.dirname(os.path.abspath(__file__)), "waits.cpp")).splitlines()
        first = next(i for i, text in enumerate(source, 1) if f" {name}(" in text)
        number = int(re.fullmatch(r"waits\.cpp:(\d+)", places[0]["line"])[1])
        self.assertTrue(first <= number <= first + 8, (places, first))

    @unittest.skipIf(sample.options is not None and sample.options.sanitized, "its functions look otherwise")
    def test_a_thread_that_is_blocked_in_a_job_is_told_with_the_line(self):
        with Sample("--set", "limits.drain_timeout=100ms", name="waits") as server:
            client = self.enterContext(connect(server.address))
            client.sendall(f"offload {self.go_on}\n".encode())

            told = {}

            def blocked():  # it is awake for a moment now and then
                told.update(dump(server.pid, "waits")[0])
                return [t for t in told["threads"] if any("block_until" in p["function"] for p in t["stack"])]

            found = []
            sample.until(lambda: found.extend(blocked()) or found, "no thread is in the job")
            self.assert_in_function(found[0], "block_until")
            jobs = told["jobs"]
            self.assertEqual((len(jobs["running"]), jobs["waiting"], jobs["queued"]), (1, 0, []))
            self.assertTrue(jobs["running"][0].startswith("waits::wait_for("), jobs)
            self.end_waits()
            self.assertEqual(sample.receive_exactly(client, 5), b"done\n")

    @unittest.skipUnless("," in two_cores(), "a machine with one CPU has no other loop")
    def test_ten_thousand_coroutines_are_each_named(self):
        with Sample("--set", "limits.drain_timeout=100ms", "--cores", two_cores(), "--set", "workers.queue=2000", name="waits") as server:
            server.expected = sample.CUT
            client = self.enterContext(connect(server.address))
            client.sendall(f"many {self.go_on}\n".encode())
            counted = {}

            def all_wait():
                nonlocal counted
                counted = collections.Counter((c["operation"].partition("<std")[0], c["frames"][0].partition("(")[0], c["state"])
                                              for c in connections(dump(server.pid, "waits"))[peer_of(client)]["children"])
                return sum(counted.values()) == 10100 and all(operation for operation, _, _ in counted)

            sample.until(all_wait, lambda: counted, PATIENCE)
            self.assertEqual(dict(counted), {
                ("sleep", "waits::many_sleep", "waits"): 1000, ("event::wait", "waits::many_event", "waits"): 1000,
                ("semaphore::acquire", "waits::many_semaphore", "waits"): 1000,
                ("channel<int>::receive", "waits::many_channel", "waits"): 1000, ("asio", "waits::many_asio", "waits"): 1000,
                ("asio", "waits::many_resolve", "waits"): 1000, ("offload", "waits::many_offload", "waits"): 1000,
                ("join", "waits::many_join", "waits"): 1000, ("switch_to", "waits::many_switch", "waits"): 1000,
                ("receive", "waits::many_receive", "waits"): 1000, ("send", "waits::many_send", "waits"): 100})
            self.end_waits()
            # A child that is under way to another core when its scope is destroyed would end the program.
            sample.until(lambda: not all_wait() and not {"switch_to", "offload"} & {operation for operation, _, _ in counted}, lambda: counted, PATIENCE)

    def test_another_build_is_refused_and_a_copy_is_not(self):
        with open(sample.program("waits"), "rb") as file:
            bytes_ = bytearray(file.read())
        note = bytes_.find(b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0")
        self.assertGreater(note, 0, "it has no build id")
        ours = bytes_[note + 16:note + 36].hex()
        copy, other = (os.path.join(self.directory, name) for name in ("copy", "other"))
        for path in (copy, other):
            if path == other:
                bytes_[note + 16] ^= 0xff
            with open(path, "wb") as file:
                file.write(bytes_)
            os.chmod(path, 0o755)
        theirs = bytes_[note + 16:note + 36].hex()
        for path in (copy, other):
            with subprocess.Popen([path, "--listen", "127.0.0.1:0"], stderr=subprocess.PIPE, text=True) as process:
                try:
                    while "listening on" not in process.stderr.readline():
                        self.assertIsNone(process.poll())
                    told = sample.run("--dump", "--pid", process.pid, name="waits", timeout=PATIENCE)
                    self.assertEqual(told.returncode, 0 if path == copy else 1, told.stderr)
                    if path == other:
                        self.assertIn(f"its build id is {theirs}, this one's is {ours}", told.stderr)
                finally:
                    process.terminate()
                    process.wait()

    def test_a_server_is_found_by_its_configuration_file(self):
        file = os.path.join(self.directory, "waits.toml")
        with open(file, "w", encoding="utf-8") as out:
            out.write(f'[processes]\npid_file = "{self.directory}/pid"\n')
        with Sample("--config", file, name="waits") as server:
            told = sample.run("--dump", "--config", file, name="waits", timeout=PATIENCE)
            self.assertEqual(told.returncode, 0, told.stderr)
            self.assertIn(f"process {server.pid}: ", told.stdout)

    def test_the_admin_listener_tells_what_a_process_waits_for(self):
        admin = f"unix:{self.directory}/admin"
        with Sample("--set", f"admin={admin}", name="waits") as server, connect(server.address) as client:
            sample.until(lambda: peer_of(client) in connections(self.told_by(admin)), "the connection is told", sample.BOUND)
            self.assertEqual(connections(self.told_by(admin))[peer_of(client)]["phase"], "serving")
            status, _, text = get(admin, "/dump.txt")
            self.assertEqual(status, 200)
            self.assertIn(f"process {server.pid}: ", text.decode())

    @staticmethod
    def told_by(admin):
        return json.loads(get(admin, "/dump")[2])

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

    def test_a_dump_of_ten_thousand_connections_is_no_burden(self):
        """Prints what it costs, and what the clients notice of it."""
        with Sample("--model", "process-pool", "--processes", 2, "--set", "limits.connections=20000", name="echo") as server:
            server.expected = sample.CUT
            clients = [self.enterContext(connect(server.address)) for _ in range(10000)]
            for client in clients:
                client.sendall(b"x")
            for client in clients:
                self.assertEqual(client.recv(1), b"x")
            p99, took = {}, []
            for dumped in (False, True):
                load = subprocess.Popen([sample.program("load"), "--connect", server.address, "--connections", "64", "--seconds", "5"],
                                        stdout=subprocess.PIPE, text=True)
                while dumped and load.poll() is None:
                    start = time.monotonic()
                    text = sample.run("--dump", "--pid", server.pid).stdout
                    took.append(time.monotonic() - start)
                    self.assertGreaterEqual(text.count("echo(weir::connection)"), 10000)
                    time.sleep(0.5)
                p99[dumped] = json.loads(load.communicate()[0])["p99_us"]
            sample.figure(f"dump of 10,000 connections over 2 workers: {min(took) * 1000:.0f} ms at best, "
                          f"{statistics.median(took) * 1000:.0f} ms in the median")
            sample.figure(f"p99 of 64 clients without dumps {p99[False]:,.0f} us, with two a second {p99[True]:,.0f} us")


if __name__ == "__main__":
    sample.main()
