#!/usr/bin/env python3
"""What the recorders of running servers tell: slow requests in the log, traces in a file and at the admin listener.
Usage: recorder_test.py --build BUILD"""
import json
import os
import re
import socket
import stat
import tempfile
import unittest

import sample
from sample import Sample, connect

HELD = 400  # ms
PATIENCE = 60  # seconds for what reads debug information


def peer_of(client):
    host, port = client.getsockname()
    return f"{host}:{port}"


def ask(client, line, answer):
    client.sendall(line)
    got = sample.receive_exactly(client, len(answer))
    if got != answer:
        raise AssertionError(got)


def trace_of(pid, name="recorded"):
    with tempfile.TemporaryDirectory() as directory:
        file = os.path.join(directory, "trace.json")
        done = sample.run("--recorder", file, "--pid", pid, name=name, timeout=30)
        if done.returncode != 0:
            raise AssertionError(done.stderr)
        if stat.S_IMODE(os.stat(file).st_mode) != 0o600:
            raise AssertionError("others may read it")
        return json.loads(sample.read(file))


def get(path, target):
    """The answer of an admin listener on a unix socket: its status and its text. On a slow machine the listener may give
    up before it has answered."""
    whole = []
    sample.until(lambda: whole.append(ask_once(path, target)) or whole[-1], "an answer", PATIENCE)
    head, _, text = whole[-1].partition(b"\r\n\r\n")
    return int(head.split()[1]), text.decode()


def ask_once(path, target):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(sample.BOUND)
        client.connect(path)
        client.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        whole = b""
        while part := client.recv(1 << 16):
            whole += part
    return whole


# How a server is started whose handlers run on one thread, what reports call that, and how often it is asked at least: a
# worker may be given another connection between the turn that held it and that of the one that waits, or not.
SHAPES = ((("--model", "single-loop"), "core 0", 1), (("--model", "single-loop", "--io", "io_uring"), "core 0", 1),
          (("--model", "loop-with-workers", "--set", "workers.count=1"), "worker 0", 4),
          (("--model", "loop-with-workers", "--set", "workers.count=1", "--set", "workers.io=worker"), "worker 0", 4),
          (("--model", "thread-per-event", "--set", "workers.most=1", "--cores", min(os.sched_getaffinity(0))), "worker 0", 1))


class Recorder(unittest.TestCase):
    def check_structure(self, trace):
        """What Perfetto asks of the JSON trace event format. Returns the turns and the slow requests."""
        tracks = {}
        turns, slow = [], []
        for event in trace["traceEvents"]:
            self.assertIn(event["ph"], ("M", "X"))
            key = event["pid"], event["tid"]
            if event["ph"] == "M":
                self.assertIn(event["name"], ("process_name", "thread_name"))
                tracks[key] = event["args"]["name"]
                continue
            self.assertIn(key, tracks)
            self.assertTrue(event["name"])
            self.assertGreaterEqual(event["ts"], 0)
            self.assertGreaterEqual(event["dur"], 0)
            self.assertIn("handler", event["args"])
            (slow if tracks[key].startswith("slow") else turns).append(event)
        by_track = {}
        for each in turns:  # one after another: they never overlap
            before = by_track.get((each["pid"], each["tid"]), 0)
            self.assertGreaterEqual(each["ts"], before - 0.002)
            by_track[each["pid"], each["tid"]] = each["ts"] + each["dur"]
        return turns, slow

    def hold_up(self, server):
        """One client waits, and another one holds the loop: their names."""
        waits, spins = (self.enterContext(connect(server.address)) for _ in range(2))
        ask(spins, b"hello\n", b"done\n")
        ask(waits, b"wait\n", b"waiting\n")
        ask(spins, f"spin {HELD}\n".encode(), b"done\n")
        self.assertEqual(sample.receive_exactly(waits, 5), b"done\n")
        return peer_of(waits), peer_of(spins)

    def test_a_slow_request_names_the_handler_that_held_its_loop(self):
        for shape, at, times in SHAPES:
            with self.subTest(str(shape)), Sample(*shape, "--set", "observe.recorder=256KiB", "--set", "observe.slow=100ms",
                                                  name="recorded") as server:
                for attempt in range(1, 9):  # a machine that is busy may not let the thread run that looks for the line
                    waits, spins = self.hold_up(server)
                    line = server.wait_for_line(f"the request of {waits} ", PATIENCE)
                    found = re.search(rf"the request of (\S+) in (\S+) took (\d+) ms, of which up to (\d+) ms waiting for {at}"
                                      r"(?:, after up to [\d.]+ ms unread, waiting for it too)?, "
                                      r"held (\d+) ms by the handler of (\S+) in (\S+)( at \S+)? \(turn of (\d+) ms\)", line)
                    self.assertTrue(found, line)
                    if attempt >= times and (found[8] or sample.options.sanitized):
                        break
                self.assertEqual((found[1], found[2]), (waits, "recorded::wait"))
                self.assertEqual((found[6], found[7]), (spins, "recorded::serve"))
                for figure in (3, 4, 5, 9):
                    self.assertGreaterEqual(int(found[figure]), HELD - 1)
                if not sample.options.sanitized:
                    self.assertRegex(found[8] or "", r"^ at recorded\.cpp:\d+$")
                    number = int(found[8].rpartition(":")[2])
                    source = sample.read(os.path.join(os.path.dirname(os.path.abspath(__file__)), "recorded.cpp")).splitlines()
                    self.assertIn("the line that a report names", source[number - 1], number)
                # Its own request was slow as well, by its own turn; on a slow machine the one before may have been, too.
                own = re.compile(rf"the request of {re.escape(spins)} .*its own turns took (\d+) ms")
                sample.until(lambda: any((of := own.search(line)) and int(of[1]) >= HELD - 1 for line in server.lines),
                             lambda: f"{spins} has no slow request of its own: {server.lines}", PATIENCE)

    def test_a_request_that_lay_unread_while_the_loop_was_held_is_slow(self):
        for shape, at, _ in SHAPES:
            with self.subTest(str(shape)), Sample(*shape, "--set", "observe.recorder=256KiB", "--set", "observe.slow=100ms",
                                                  name="recorded") as server:
                late, spins = (self.enterContext(connect(server.address)) for _ in range(2))
                ask(late, b"hello\n", b"done\n")
                spins.sendall(f"spin {HELD}\n".encode())
                sample.until(lambda: late.sendall(b"hello\n") or any("the request of " + peer_of(late) in line for line in server.lines)
                             or "the request of " + peer_of(spins) in "".join(server.lines), "nothing is slow")
                self.assertEqual(sample.receive_exactly(spins, 5), b"done\n")
                line = server.wait_for_line(f"the request of {peer_of(late)} ", PATIENCE)
                self.assertRegex(line, rf"after up to \d+ ms unread, waiting for {at}, held \d+ ms by the handler of {peer_of(spins)} ")

    def test_a_trace_has_the_turns_and_the_slow_requests_by_name(self):
        with tempfile.TemporaryDirectory() as directory:
            admin = os.path.join(directory, "admin")
            with Sample("--model", "single-loop", "--set", "observe.recorder=64KiB", "--set", "observe.slow=100ms", "--set",
                        f"admin=unix:{admin}", name="recorded") as server:
                waits, spins = self.hold_up(server)
                status, text = get(admin, "/recorder")
                self.assertEqual(status, 200, text)
                for trace in (trace_of(server.pid), json.loads(text)):
                    turns, slow = self.check_structure(trace)
                    holds = [t for t in turns if t["name"] == spins and t["dur"] >= (HELD - 1) * 1000]
                    self.assertEqual(len(holds), 1)
                    self.assertEqual(holds[0]["args"]["handler"], "recorded::serve")
                    late = [s for s in slow if s["name"] == waits]
                    self.assertEqual(len(late), 1)
                    self.assertGreaterEqual(late[0]["dur"], (HELD - 1) * 1000)
                    self.assertLess(late[0]["ts"], holds[0]["ts"] + holds[0]["dur"])
                # A long turn is remembered when many short ones have come after it.
                with connect(server.address) as client:
                    for _ in range(3):
                        client.sendall(b"x\n" * 2000)
                        sample.receive_exactly(client, 10000)
                turns, _ = self.check_structure(trace_of(server.pid))
                self.assertTrue(any(t["name"] == spins and t["dur"] >= (HELD - 1) * 1000 for t in turns))

    def test_threads_that_handlers_migrate_to_have_recorders(self):
        with Sample("--model", "loop-with-workers", "--set", "workers.count=2", "--set", "observe.recorder=64KiB",
                    name="recorded") as server:
            clients = [self.enterContext(connect(server.address)) for _ in range(8)]
            for client in clients:
                ask(client, b"hello\n", b"done\n")
            trace = trace_of(server.pid)
            turns, _ = self.check_structure(trace)
            tracks = {e["args"]["name"]: e["tid"] for e in trace["traceEvents"] if e["ph"] == "M" and e["name"] == "thread_name"}
            self.assertLessEqual({"loop 0", "worker 0", "worker 1"}, set(tracks))
            there = {tracks["worker 0"], tracks["worker 1"]}
            self.assertLessEqual({peer_of(c) for c in clients}, {t["name"] for t in turns if t["tid"] in there})
            self.assertEqual({t["args"]["handler"] for t in turns if t["tid"] in there and t["name"] == peer_of(clients[0])},
                             {"recorded::serve"})

    def test_a_model_whose_threads_wait_in_their_turns_is_refused_a_recorder(self):
        for model in ("serial", "thread-per-connection"):
            refused = sample.run("--model", model, "--set", "observe.recorder=64KiB", "--check", name="recorded")
            self.assertEqual(refused.returncode, 2, refused.stderr)
            self.assertIn(f'in model "{model}" a thread waits within its turns', refused.stderr)

    def test_each_worker_of_a_pool_has_recorders(self):
        with Sample("--model", "process-pool", "--processes", 2, "--set", "observe.recorder=64KiB", name="recorded") as server:
            server.expected = sample.CUT
            clients = [self.enterContext(connect(server.address)) for _ in range(8)]
            for client in clients:
                ask(client, b"hello\n", b"done\n")
            turns, slow = self.check_structure(trace_of(server.pid))
            self.assertEqual(slow, [])
            self.assertLessEqual({peer_of(c) for c in clients}, {t["name"] for t in turns})
            self.assertNotIn(server.pid, {t["pid"] for t in turns})

    def test_a_server_without_a_recorder_says_so(self):
        with tempfile.TemporaryDirectory() as directory:
            admin = os.path.join(directory, "admin")
            with Sample("--model", "single-loop", "--set", f"admin=unix:{admin}", name="recorded") as server:
                file = os.path.join(directory, "trace.json")
                done = sample.run("--recorder", file, "--pid", server.pid, name="recorded")
                self.assertEqual(done.returncode, 1)
                self.assertIn("observe.recorder is not set", done.stderr)
                self.assertFalse(os.path.exists(file))
                status, text = get(admin, "/recorder")
                self.assertEqual(status, 503)
                self.assertIn("observe.recorder is not set", text)
        for arguments, said in ((["--recorder", "x"], "--pid or processes.pid_file"), (["--recorder", "x", "--dump"], "only one of")):
            misused = sample.run(*arguments, name="recorded")
            self.assertEqual(misused.returncode, 2)
            self.assertIn(said, misused.stderr)


if __name__ == "__main__":
    sample.main()
