#!/usr/bin/env python3
"""The access log of http: a line for each request, whoever has answered it, in every model and through every rotation."""
import contextlib
import json
import os
import re
import signal
import subprocess
import tempfile
import unittest

import sample
from admin_test import MODELS, metrics, total
from pool import Pool, children
from sample import Sample, connect, receive_all, run, until

COMBINED = re.compile(r'(?P<peer>\S+) - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "(?P<request>[^"]*)" '
                      r'(?P<status>\d{3}) (?P<bytes>\d+) "(?P<referer>[^"]*)" "(?P<agent>[^"]*)"')


def ask(address, *requests):
    """All answers to what is sent at once."""
    with connect(address) as client:
        client.sendall(b"".join(requests))
        client.shutdown(1)
        return receive_all(client)


def request(path="/plain", *headers):
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n{''.join(h + chr(13) + chr(10) for h in headers)}\r\n".encode()


class Logged(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.log = f"{self.folder}/access.log"
        self.keys = ("--set", f"http.access_log={self.log}")

    def lines(self, path=None):
        with open(path or self.log, "rb") as file:
            text = file.read()
        self.assertTrue(not text or text.endswith(b"\n"), "the last line is whole")
        return text.decode().splitlines()


class Lines(Logged):
    def test_every_model_logs_each_request_and_all_lines_are_there_when_it_has_stopped(self):
        for model in MODELS:
            with self.subTest(model):
                with Sample("--model", model, *self.keys, name="http") as server:
                    for k in range(4):
                        if k == 2:
                            os.rename(self.log, f"{self.log}.1")
                            server.send(signal.SIGUSR1)
                            until(lambda: os.path.exists(self.log), "a new file")
                        ask(server.address, request(), request("/nowhere", f"User-Agent: {model} {k}"), b"broken\r\n\r\n")
                    self.assertEqual(server.stop(), 0)
                found = [COMBINED.fullmatch(line) for line in self.lines() + self.lines(f"{self.log}.1")]
                self.assertNotIn(None, found)
                self.assertEqual(sorted((f["request"], f["status"], f["agent"]) for f in found),
                                 sorted([("GET /plain HTTP/1.1", "200", "-")] * 4 + [("broken", "400", "-")] * 4 +
                                        [("GET /nowhere HTTP/1.1", "404", f"{model} {k}") for k in range(4)]))
                self.assertEqual({f["peer"] for f in found}, {"127.0.0.1"})
                os.unlink(self.log)

    def test_lines_in_json_can_be_read_whatever_clients_send(self):
        hostile = b'a"\\\xff\xfe\xc3\xa9\xed\xa0\x80{}\xf0\x9f\x98\x80'
        with Sample(*self.keys, "--set", "http.access_format=json", name="http") as server:
            ask(server.address, request("/json", "Referer: http://b/").replace(b"http://b/", hostile), b"\x1b[31m\x00\xff\"\r\n\r\n")
        first, second = map(json.loads, self.lines())
        self.assertEqual((first["status"], first["peer"], first["method"], first["target"], first["version"]),
                         (200, "127.0.0.1", "GET", "/json", "HTTP/1.1"))
        self.assertEqual(first["referer"], 'a"\\\ufffd\ufffdé\ufffd\ufffd\ufffd{}\U0001f600')
        self.assertRegex(first["id"], "^[0-9a-f]{32}$")
        self.assertTrue(0 <= first["duration"] < sample.BOUND and first["bytes"] > 0 and first["port"] > 0)
        self.assertEqual((second["status"], second["method"], second["line"]), (400, "", '\x1b[31m\x00\ufffd"'))

    def test_a_websocket_has_its_line_when_it_ends(self):
        with Sample(*self.keys, name="ws") as server:
            ask(server.address, request("/echo", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="))
            until(lambda: self.lines(), "the line")
        self.assertEqual(COMBINED.fullmatch(*self.lines())["status"], "101")

    def test_a_path_that_cannot_be_written_is_told_before_anything_serves(self):
        for how in ((), ("--check",)):
            told = run("--listen", "127.0.0.1:0", "--set", "http.access_log=/nonexistent/log", *how, name="http")
            self.assertEqual(told.returncode, 2, told.stderr)
            self.assertRegex(told.stderr, 'http.access_log: .*"/nonexistent/log" cannot be written: /nonexistent/: No such file')
        told = run("--print-config", "--set", "http.access_log=/nonexistent/log", name="http")
        self.assertEqual(told.returncode, 0, "that is no matter of another user who only looks")
        told = run("--check", "--set", "http.access_format=xml", name="http")
        self.assertIn('"xml" is no format; allowed: "combined", "json"', told.stderr)

    def test_a_full_disk_holds_up_nothing_and_what_is_lost_is_counted_and_told(self):
        admin = f"unix:{self.folder}/admin"
        with Sample("--set", "http.access_log=/dev/full", "--set", f"admin={admin}", name="http") as server:
            answers = ask(server.address, *[request("/plain", f"Referer: {'r' * 700}", f"User-Agent: {'a' * 500}")] * 5000)
            self.assertEqual(answers.count(b"HTTP/1.1 200 OK"), 5000)
            server.wait_for_line("/dev/full: No space left on device")
            until(lambda: total(metrics(admin), "weir_file_lost_lines_total") > 0, "lost lines")
            self.assertIn(b"200 OK", ask(server.address, request()))
            self.assertEqual(server.stop(), 0)
            told = [line for line in server.lines if "/dev/full" in line]
            self.assertLess(len(told), 2 * sample.BOUND, "a line a second at most")


class Rotation(Logged):
    def test_a_pool_under_load_loses_no_line_and_tears_none_while_its_log_is_rotated(self):
        requests = 10_000
        files = []
        with Pool(*self.keys, name="http") as pool:
            seen = set()  # a worker ignores the signal before it has a handler; one that answers has it
            until(lambda: seen.add(re.search(rb'"pid":(\d+)', ask(pool.address, request("/stats")))[1]) or len(seen) == 2,
                  "both workers serve")
            load = subprocess.Popen(["ab", "-q", "-k", "-n", str(requests), "-c", "32", f"http://{pool.address}/plain?load"],
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            try:
                while load.poll() is None:
                    if os.path.exists(self.log):
                        files.append(f"{self.log}.{len(files)}")
                        os.rename(self.log, files[-1])
                        pool.send(signal.SIGUSR1)
                    until(lambda: os.path.exists(self.log) or load.poll() is not None, "a new file")
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        load.wait(0.01)
            finally:
                out = load.communicate(timeout=sample.BOUND)[0]
            self.assertRegex(out, r"Failed requests: +0\n")
            self.assertEqual(pool.stop(signal.SIGQUIT), 0)
        lines = [line for path in [*files, self.log] if os.path.exists(path) for line in self.lines(path)]
        self.assertGreater(len(files), 2)
        self.assertEqual([line for line in lines if not COMBINED.fullmatch(line)], [])
        self.assertEqual(sum('"GET /plain?load HTTP/1.0" 200 ' in line for line in lines), requests)

    def test_a_reload_of_a_pool_takes_another_path_and_refuses_one_that_cannot_be(self):
        config = f"{self.folder}/toml"

        def configure(path):
            with open(config, "w") as file:
                file.write(f'[http]\naccess_log = "{path}"\n')

        configure(self.log)
        with Pool("--config", config, name="http", processes=1) as pool:
            ask(pool.address, request("/plain?1"))
            old = children(pool.pid)
            configure(f"{self.log}.new")
            pool.send(signal.SIGHUP)
            until(lambda: len(children(pool.pid)) == 1 and children(pool.pid) != old, "a new worker alone")
            ask(pool.address, request("/plain?2"))
            configure("/nonexistent/log")
            pool.send(signal.SIGHUP)
            pool.wait_for_line("the configuration is not taken")
            ask(pool.address, request("/plain?3"))
            self.assertEqual(pool.stop(signal.SIGQUIT), 0)
        self.assertEqual([COMBINED.fullmatch(line)["request"] for line in self.lines()], ["GET /plain?1 HTTP/1.1"])
        self.assertEqual([COMBINED.fullmatch(line)["request"] for line in self.lines(f"{self.log}.new")],
                         ["GET /plain?2 HTTP/1.1", "GET /plain?3 HTTP/1.1"])

    @unittest.skipUnless(os.geteuid() == 0, "only root can become nobody")
    def test_workers_that_are_nobody_open_the_log_again(self):
        os.chmod(self.folder, 0o755)
        with Pool(*self.keys, "--set", "privileges.user=nobody", name="http", processes=1) as pool:
            ask(pool.address, request("/plain?1"))
            os.rename(self.log, f"{self.log}.1")
            pool.send(signal.SIGUSR1)
            until(lambda: os.path.exists(self.log), "a new file")

            def in_new():
                ask(pool.address, request("/plain?2"))
                return '"GET /plain?2 HTTP/1.1" 200' in sample.read(self.log)

            until(in_new, "lines in the new file")
            self.assertEqual(pool.stop(signal.SIGQUIT), 0)
            self.assertFalse([line for line in pool.lines if "ermission" in line])


if __name__ == "__main__":
    sample.main()
