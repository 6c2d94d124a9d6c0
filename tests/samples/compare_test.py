#!/usr/bin/env python3
"""Programs that run themselves in every model and say which suits a load. Usage: compare_test.py --build BUILD"""
import json
import os
import re
import tempfile
import unittest

import sample
from sample import Sample, connect, receive_exactly, run


class Compared(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def compare(self, what, *arguments, name="http", rounds=1, time="300ms", seconds=180):
        ended = run("--compare", what, "--set", f"compare.rounds={rounds}", "--set", f"compare.time={time}", "--set",
                    f"compare.output={self.folder}", *arguments, name=name, timeout=seconds)
        self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)
        with open(f"{self.folder}/compare.json", encoding="utf-8") as file:
            return json.load(file), ended

    def candidates(self, found):
        return {c["name"]: c for c in found["candidates"]}


class Short(Compared):
    def test_a_load_command_is_run_against_every_model_and_told_in_table_json_and_page(self):
        found, ended = self.compare("ab -q -k -n 400 -c 4 http://{host}:{port}/plain", "--cores", "auto")
        every = self.candidates(found)
        for name in ("serial", "thread-per-connection", "single-loop", "loop-per-core", "thread-per-event"):
            self.assertIsNone(every[name]["refused"])
            self.assertRegex(ended.stdout, rf"(?m)^{re.escape(name)} +\d+")
            run_of = every[name]["runs"][0]
            self.assertIsNone(run_of["failed"], name)
            self.assertGreater(run_of["requests_per_second"], 0)
            self.assertGreater(run_of["bytes_out"], 400 * 10)
            self.assertGreaterEqual(run_of["served"], 1)
        self.assertTrue(any(name.startswith("process-pool") for name in every))
        self.assertIn(found["best"], every)
        self.assertIn(f"Take {found['best']}", ended.stdout)
        # What is pasted is valid.
        with open(f"{self.folder}/pasted.toml", "w", encoding="utf-8") as file:
            file.write(found["toml"])
        self.assertEqual(run("--config", f"{self.folder}/pasted.toml", "--check", name="http").returncode, 0)
        with open(f"{self.folder}/compare.html", encoding="utf-8") as file:
            page = file.read()
        self.assertIn(json.dumps(found["best"]), page)
        self.assertNotIn("src=", page)
        self.assertRegex(ended.stderr, r"round 1 of 1, 2 of \d+ runs, \d+ s left")

    def test_models_that_the_state_of_a_handler_forbids_are_listed_with_the_reason(self):
        # Fast, because it fails: the reasons do not depend on a load.
        ended = run("--compare", "false {address}", "--set", f"compare.output={self.folder}", "--set", "compare.rounds=1", name="chat", timeout=120)
        self.assertEqual(ended.returncode, 1)
        self.assertRegex(ended.stdout, "thread-per-event +not measured: .*without locks")
        self.assertRegex(ended.stdout, "single-loop +not measured: the load ended with 1")
        self.assertIn("No model served every client", ended.stdout)

    def test_what_is_no_load_and_no_recording_is_refused(self):
        for what, told in (("wrk http://127.0.0.1/", "must name the server"), ("/nowhere", "no recording")):
            ended = run("--compare", what)
            self.assertNotEqual(ended.returncode, 0)
            self.assertIn(told, ended.stderr)
        ended = run("--compare", "a {address}", "--listen", "proxy:127.0.0.1:0")
        self.assertIn("proxy:", ended.stderr)
        self.assertEqual(run("--compare", "a {address}", "--check").returncode, 2)

    def test_a_recording_is_played_to_every_model_and_a_planted_difference_is_shown(self):
        recorded = f"{self.folder}/recording"
        with Sample("--record", recorded, "--set", "record.answers=true") as server:
            for i in range(6):
                with connect(server.address) as client:
                    for text in (b"one %d" % i, b"two" * 100, b"three"):
                        client.sendall(text)
                        receive_exactly(client, len(text))
        found, ended = self.compare(recorded, name="echo")
        self.assertIn("6 of 6 connections are whole", ended.stderr)
        for name, each in self.candidates(found).items():
            if each["refused"] is None:
                self.assertIsNone(each["runs"][0]["failed"], name)
                self.assertIsNone(each["runs"][0]["different"], name)
                self.assertGreater(each["runs"][0]["p99_us"], 0)
        # A handler that answers otherwise is found.
        found, ended = self.compare(recorded, name="who")
        self.assertRegex(ended.stdout, r"different: \d+ connections; the first: connection \d+, byte 0: recorded 6f 6e 65")


class Advice(Compared):
    slow = True
    load = "wrk -t1 -c32 -d{seconds}s --latency http://{address}/"

    def test_a_second_run_says_the_same_or_that_it_cannot_tell(self):
        first, _ = self.compare("wrk -t1 -c64 -d{seconds}s --latency http://{address}/plain", rounds=3, time="1s", seconds=300)
        second, _ = self.compare("wrk -t1 -c64 -d{seconds}s --latency http://{address}/plain", rounds=3, time="1s", seconds=300)
        sample.figure(first["advice"])
        sample.figure(second["advice"])
        self.assertTrue(first["best"] == second["best"] or not first["certain"] or not second["certain"])

    def test_handlers_that_wait_block_or_compute_get_different_advice(self):
        program = sample.program("load")
        load = f"{program} --connect {{address}} --connections 64 --seconds {{seconds}}"
        for options, expected in (([], "loop"), (["--block", "1000"], "thread|workers"), (["--compute", "50"], "per-core|pool|thread|workers")):
            found, _ = self.compare(load, *options, name="models", rounds=3, time="1s", seconds=300)
            sample.figure(f"{options}: {found['advice']}")
            self.assertRegex(found["best"], expected)


if __name__ == "__main__":
    sample.main()
