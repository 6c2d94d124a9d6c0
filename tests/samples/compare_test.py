#!/usr/bin/env python3
"""Programs that run themselves in every model and say which suits a load. Usage: compare_test.py --build BUILD"""
import json
import os
import re
import tempfile
import time
import unittest

import browser
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


def record(program, file, clients):
    """`clients`: of each the lines that it sends, one when the one before is answered by so many bytes."""
    with Sample("--record", file, "--set", "record.answers=true", name=program) as server:
        for exchanges in clients:
            with connect(server.address) as client:
                for text, answer in exchanges:
                    client.sendall(text)
                    receive_exactly(client, answer)


class Short(Compared):
    def test_a_recording_is_played_to_every_model_that_the_state_of_the_handler_allows(self):
        recorded = f"{self.folder}/recording"
        record("cart", recorded, [[(b"cart c%d\n" % i, 3), (b"empty\n", 3), (b"add tea 1\nshow\n", 3 + 8)] for i in range(4)])
        found, ended = self.compare(recorded, name="cart")
        self.assertIn("4 of 4 connections are whole", ended.stderr)
        every = self.candidates(found)
        self.assertRegex(ended.stdout, "(?m)^thread-per-event +not measured: .*without locks")
        for name in ("serial", "single-loop", "loop-per-core"):
            played = every[name]["runs"][0]
            self.assertEqual((every[name]["refused"], played["failed"], played["different"]), (None, None, None), name)
            self.assertGreater(played["requests_per_second"], 0)
            self.assertGreater(played["p99_us"], 0)
            self.assertRegex(ended.stdout, rf"(?m)^{name} +\d+")
        self.assertIn(found["best"], every)
        self.assertIn(f"Take {found['best']}", ended.stdout)
        # What is pasted is valid.
        with open(f"{self.folder}/pasted.toml", "w", encoding="utf-8") as file:
            file.write(found["toml"])
        self.assertEqual(run("--config", f"{self.folder}/pasted.toml", "--check", name="cart").returncode, 0)
        with open(f"{self.folder}/compare.html", encoding="utf-8") as file:
            page = file.read()
        self.assertIn(json.dumps(found["best"]), page)
        self.assertNotIn("src=", page)
        self.assertRegex(ended.stderr, r"round 1 of 1, 2 of \d+ runs, \d+ s left")

    def test_what_is_no_load_and_no_recording_is_refused(self):
        for what, told in (("wrk http://127.0.0.1/", "must name the server"), ("/nowhere", "no recording")):
            ended = run("--compare", what)
            self.assertNotEqual(ended.returncode, 0)
            self.assertIn(told, ended.stderr)
        ended = run("--compare", "a {address}", "--listen", "proxy:127.0.0.1:0")
        self.assertIn("proxy:", ended.stderr)
        self.assertEqual(run("--compare", "a {address}", "--check").returncode, 2)
        with open(f"{self.folder}/newer", "wb") as file:
            file.write(b"WEIRREC\n\2\0")
        self.assertIn("of version 2", run("--compare", f"{self.folder}/newer").stderr)

    def test_a_folder_that_is_not_there_is_told_before_anything_is_measured(self):
        ended = run("--compare", "a {address}", "--set", f"compare.output={self.folder}/nowhere")
        self.assertEqual(ended.returncode, 1)
        self.assertIn(f"compare.output: {self.folder}/nowhere: No such file or directory", ended.stderr)
        self.assertNotIn("round 1", ended.stderr)


class Long(Compared):
    slow = True

    def test_a_load_command_is_run_against_every_model_and_told_in_table_and_json(self):
        found, ended = self.compare("ab -q -n 400 -c 4 http://{host}:{port}/plain", "--cores", "auto")
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

    def test_a_load_that_fails_is_told_and_nothing_advised(self):
        ended = run("--compare", "false {address}", "--set", f"compare.output={self.folder}", "--set", "compare.rounds=1", name="chat", timeout=120)
        self.assertEqual(ended.returncode, 1)
        self.assertRegex(ended.stdout, "single-loop +not measured: the load ended with 1")
        self.assertIn("No model served every client", ended.stdout)

    def test_a_recording_is_played_in_an_open_loop_at_its_speed_and_scaled(self):
        recorded = f"{self.folder}/recording"
        with Sample("--record", recorded, "--set", "record.answers=true") as server:
            clients = [connect(server.address) for _ in range(4)]
            for _ in range(20):
                for client in clients:
                    sample.ask(client)
                time.sleep(0.02)
            for client in clients:
                client.close()
        found, ended = self.compare(recorded, "--set", "compare.speed=200", name="echo", time="400ms")
        self.assertEqual(found["speed"], 200)
        self.assertRegex(ended.stderr, r"open loop at 200 % of the recorded speed: each run plays 0.8 s of the \d+\.\d s recorded")
        self.assertIn("of when they were due", ended.stdout)
        # 4 connections, 20 requests in 400 ms at the recorded speed: it is the load that decides the rate.
        for name, each in self.candidates(found).items():
            if each["refused"] is None and not each["starves"]:
                self.assertIsNone(each["runs"][0]["different"], name)
                self.assertLess(each["runs"][0]["requests_per_second"], 450, name)

    def test_a_handler_that_answers_otherwise_is_found_and_shown(self):
        recorded = f"{self.folder}/recording"
        record("echo", recorded, [[(text, len(text)) for text in (b"who 1\n", b"who 2\n")] for _ in range(4)])
        found, _ = self.compare(recorded, name="echo")
        for name, each in self.candidates(found).items():
            if each["refused"] is None:
                self.assertEqual((each["runs"][0]["failed"], each["runs"][0]["different"]), (None, None), name)
        # Each answer of this one names its process and thread.
        found, ended = self.compare(recorded, name="who")
        for name, each in self.candidates(found).items():
            if each["refused"] is None:
                self.assertRegex(each["runs"][0]["different"], r"different: \d+ connections; the first: connection \d+, byte 0: recorded 77 68 6f")
        self.assertIn("Some answers were not the recorded ones", ended.stdout)


@unittest.skipIf(browser.MISSING, browser.MISSING)
class Page(Compared):
    slow = True

    def test_a_browser_shows_the_page_whole_light_dark_and_small(self):
        found, _ = self.compare("ab -q -n 200 -c 4 http://{address}/plain", time="200ms")
        measured = [c for c in found["candidates"] if c["typical"] is not None]
        with browser.Browser() as tab:
            for width, dark in (1300, False), (1300, True), (380, False):
                tab.show(width, 900, dark)
                tab.open(f"file://{self.folder}/compare.html")
                self.assertEqual(tab.text(".advice"), found["advice"])
                self.assertEqual(tab.value("document.querySelectorAll('tr').length"), 1 + len(measured))  # none is refused
                self.assertEqual(tab.value("document.querySelector('.chart').querySelectorAll('.row').length"), len(measured))
                self.assertLessEqual(tab.value("document.documentElement.scrollWidth"), width)
                if "PAGE_PHOTOS" in os.environ:
                    tab.photograph(f"{os.environ['PAGE_PHOTOS']}compare_{width}{'_dark' * dark}.png")
            self.assertEqual(tab.faults, [])


class Advice(Compared):
    slow = True
    load = "wrk -t1 -c32 -d{seconds}s --latency http://{address}/"

    def test_a_second_run_says_the_same_or_that_it_cannot_tell(self):
        first, _ = self.compare("wrk -t1 -c64 -d{seconds}s --latency http://{address}/plain", rounds=3, time="1s", seconds=300)
        second, _ = self.compare("wrk -t1 -c64 -d{seconds}s --latency http://{address}/plain", rounds=3, time="1s", seconds=300)
        sample.figure(first["advice"])
        sample.figure(second["advice"])
        self.assertTrue(first["best"] == second["best"] or not first["certain"] or not second["certain"])


class Handlers(Compared):
    """What a handler does decides: the models that are expected have none in common."""
    slow = True

    def advised(self, handler, expected):
        program = sample.program("load")
        first, held_out = (f"{program} --connect {{address}} --seconds {{seconds}} {mix}"
                           for mix in ("--connections 64 --size 64", "--connections 40 --size 1500"))
        found, ended = self.compare(first, *handler, name="models", rounds=3, time="1s", seconds=300)
        sample.figure(f"{handler}\n{ended.stdout}")
        self.assertIn(found["best"].partition(",")[0], expected)
        other, ended = self.compare(held_out, *handler, name="models", rounds=2, time="1s", seconds=300)
        sample.figure(f"{handler}, held out\n{ended.stdout}")
        every = {name: c["runs"][c["typical"]] for name, c in self.candidates(other).items() if c["typical"] is not None}
        fastest = max(run["rate"] for run in every.values() if not run["starved"])
        self.assertGreater(every[found["best"]]["rate"], 0.8 * fastest, other["advice"])

    def test_one_that_waits_has_a_loop_and_another_load_confirms_it(self):
        self.advised(("--wait", 5000), {"single-loop"})

    def test_one_that_blocks_has_a_thread_for_each_client_and_another_load_confirms_it(self):
        self.advised(("--block", 5000), {"thread-per-connection", "thread-per-event"})

    def test_one_that_computes_has_all_cpus_and_another_load_confirms_it(self):
        self.advised(("--compute", 200), {"loop-per-core", "process-pool", "loop-with-workers"})


if __name__ == "__main__":
    sample.main()
