#!/usr/bin/env python3
"""The live page of the admin listener: that it is whole, what it asks the server for, and how a browser shows it."""
import contextlib
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import unittest

import browser
import sample
from admin_test import MODELS, Operated, ask, get, metrics, total
from pool import Pool
from sample import Sample, connect, until

HISTOGRAM = {"count": int, "sum": float, "p50": float, "p90": float, "p99": float, "p999": float, "buckets": [int]}
WORKER = {"worker": int, "pid": int, "model": str, "io": str, "generation": int, "state": str, "age_seconds": float, "connections": int, "accepted": int,
          "requests": int, "refused": int, "fruitless": int}
LOOP = {"worker": int, "core": str, "model": str, "live": int, "open": int, "accepted": int, "outgoing": int,
        "closed": dict.fromkeys(("peer_closed", "peer_reset", "idle", "stopping", "closed", "moved"), int), "received_bytes": int,
        "sent_bytes": int, "requests": int, "turns": int, "busy_seconds": float, "stalls": int, "queued_tasks": int, "timers": int,
        "buffer_bytes": int, "turn_seconds": HISTOGRAM, "lag_seconds": HISTOGRAM, "request_seconds": HISTOGRAM}
STATUS = {"program": str, "pid": int, "model": str, "io": str, "policy": str, "accept": (str, type(None)), "ready": bool,
          "uptime_seconds": float, "generation": int, "reloads": int, "restarts": int, "parked": int,
          "refused": {"connections": int, "connections_per_ip": int, "error": int},
          "accept_queue": {"connections": int, "limit": int, "pauses": int}, "offload": {"jobs": int, "queued": int},
          "lost_log_lines": int, "listen": [str], "workers": [WORKER], "loops": [LOOP], "request_seconds": HISTOGRAM,
          "offload_wait_seconds": HISTOGRAM, "buckets_per_octave": int}
LISTED = {"peer": str, "fd": int, "core": str, "runs": bool, "open_seconds": float, "quiet_seconds": float, "bytes_per_second": int}
CONNECTIONS = {"kept": int, "processes": [{"worker": int, "pid": int, "age_seconds": float, "seen": int, "longest": [LISTED],
                                           "busiest": [LISTED]}]}


def fits(value, form, where=""):
    """Raises unless `value` has that form: no member less and none more."""
    if isinstance(form, dict):
        if not isinstance(value, dict) or set(value) != set(form):
            raise AssertionError(f"{where}: {sorted(value)} instead of {sorted(form)}")
        for name, part in form.items():
            fits(value[name], part, f"{where}.{name}")
    elif isinstance(form, list):
        if not isinstance(value, list):
            raise AssertionError(f"{where}: {value!r} is no list")
        for each in value:
            fits(each, form[0], where + "[]")
    elif not isinstance(value, (int, float) if form is float else form) or isinstance(value, bool) and form is not bool:
        raise AssertionError(f"{where}: {value!r} is not {form}")


class Asked(Operated):
    def told(self, path):
        """A worker that ends may have taken the question: then it is asked again."""
        answers = []

        def look():
            with contextlib.suppress(ConnectionError, IndexError, ValueError):
                answers.append(json.loads(get(self.socket, path)[2]))
            return answers

        until(look, f"an answer to {path}")
        return answers[0]

    def status(self):
        return self.told("/status")

    def connections(self):
        return self.told("/connections")


class Served(Asked):
    FILES = {"/": "text/html", "/page.css": "text/css", "/page.mjs": "text/javascript", "/parts.mjs": "text/javascript",
             "/charts.mjs": "text/javascript", "/figures.mjs": "text/javascript", "/chart.js": "text/javascript"}

    def test_the_page_and_its_figures_are_there_in_every_model(self):
        for model in MODELS:
            with self.subTest(model), Sample("--model", model, *self.keys) as server:
                status, headers, body = get(self.socket, "/")
                self.assertEqual((status, headers["content-type"], headers["cache-control"]), (200, "text/html; charset=utf-8", "no-store"))
                self.assertIn(b"<title>", body)
                told = self.status()
                fits(told, STATUS)
                self.assertEqual((told["program"], told["model"], told["accept"] is None), ("echo", model, model != "process-pool"))
                self.assertEqual(told["listen"], [server.address])
                fits(self.connections(), CONNECTIONS)

    def test_it_is_a_part_of_the_program_and_asks_no_other_host(self):
        with Sample(*self.keys):
            texts = {}
            for path, kind in self.FILES.items():
                status, headers, body = get(self.socket, path, "Accept-Encoding: br, gzip")
                self.assertEqual((status, headers["content-type"].partition(";")[0]), (200, kind), path)
                policy = dict(part.split(maxsplit=1) for part in headers["content-security-policy"].split("; "))
                self.assertEqual((policy["default-src"], policy["frame-ancestors"]), ("'none'", "'none'"))
                self.assertLessEqual({word for words in policy.values() for word in words.split()}, {"'none'", "'self'", "data:"})
                texts[path] = gzip.decompress(body).decode() if headers.get("content-encoding") == "gzip" else body.decode()
            for path, text in texts.items():
                if path != "/chart.js":
                    self.assertNotRegex(text, r"https?://(?!\$\{)(?!`)", path)
                named = re.findall(r'(?:src|href)="(?!data:|#)([^"]+)"|from "([^"]+)"', text)
                for name in {"/" + (a or b).removeprefix("./") for a, b in named} - {"/status.txt", "/status", "/metrics"}:
                    self.assertIn(name, self.FILES)
            self.assertNotRegex(texts["/"], r"<script(?![^>]*\bsrc=)|\bstyle=|\bon\w+=")
            self.assertIn("Permission is hereby granted, free of charge", texts["/chart.js"])
            self.assertEqual(get(self.socket, "/chart.js")[0], 406)
            self.assertEqual(get(self.socket, "/chart.js", "Accept-Encoding: gzip;q=0")[0], 406)
            self.assertEqual(get(self.socket, "/", method="HEAD")[2], b"")

    def test_to_look_at_it_is_no_traffic_of_the_program(self):
        for model in ("loop-per-core", "process-pool"):
            with self.subTest(model), Sample("--model", model, *self.keys):
                for _ in range(20):
                    get(self.socket, "/")
                    self.status()
                    self.connections()
                now = metrics(self.socket)
                for name in ("connections_accepted", "requests", "received_bytes", "sent_bytes"):
                    self.assertEqual(total(now, f"weir_{name}_total"), 0, name)
                told = self.status()
                self.assertEqual(sum(loop["accepted"] + loop["requests"] + loop["received_bytes"] for loop in told["loops"]), 0)
                self.assertEqual(told["request_seconds"]["count"], 0)

    def test_a_token_is_for_the_figures_and_not_for_the_page(self):
        with Sample(*self.keys, "--set", "admin_token=0123456789abcdef"):
            self.assertEqual(get(self.socket, "/")[0], 200)
            for path in ("/status", "/connections"):
                self.assertEqual(get(self.socket, path)[0], 401)
                self.assertEqual(get(self.socket, path + "?token=0123456789abcdef")[0], 401)
                self.assertEqual(get(self.socket, path, "Authorization: Bearer 0123456789abcdef")[0], 200)

    def test_a_page_of_another_name_that_resolves_to_this_address_reads_nothing(self):
        def asks(address, host, path="/status"):
            return ask(address, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())[0]

        with Sample("--set", "admin=127.0.0.1:0") as server:
            at = server.wait_for_line("admin listener on ").rpartition(" ")[2]
            for path in ("/status", "/connections", "/metrics", "/"):
                self.assertEqual([asks(at, host, path) for host in ("evil.example", at, "localhost:1")], [421, 200, 200])
            self.assertEqual(asks(at, "probe.example", "/live"), 200)
        with Sample("--set", "admin=127.0.0.1:0", "--set", "admin_token=0123456789abcdef") as server:
            at = server.wait_for_line("admin listener on ").rpartition(" ")[2]
            self.assertEqual(asks(at, "node1.example"), 401)

    def test_histograms_are_told_by_their_buckets(self):
        with Sample(*self.keys, name="http") as server, connect(server.address) as client:
            client.sendall(b"GET /plain HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            sample.receive_all(client)
            until(lambda: self.status()["request_seconds"]["count"] == 1, "a request")
            told = self.status()
            buckets = told["request_seconds"]["buckets"]
            self.assertEqual((len(buckets), buckets[1]), (2, 1))
            self.assertEqual([loop["request_seconds"]["buckets"] for loop in told["loops"] if loop["requests"]], [buckets])
            for loop in told["loops"]:
                self.assertEqual(sum(loop["turn_seconds"]["buckets"][1::2]), loop["turn_seconds"]["count"])


class Generations(Asked):
    def received(self):
        return sum(loop["received_bytes"] for loop in self.status()["loops"])

    def test_both_are_told_while_the_old_one_drains(self):
        with Pool(*self.keys) as pool:
            pool.wait_until_serving()
            with connect(pool.address) as held:
                before = self.received()
                held.sendall(b"who")
                until(lambda: self.received() == before + 3, "the line has begun")
                pool.send(signal.SIGHUP)  # a client whose bytes nobody has read would be moved to the new generation

                def both():
                    told = self.status()
                    fits(told, STATUS)
                    states = {(w["generation"], w["state"]) for w in told["workers"]}
                    return (told["generation"], states) == (2, {(1, "draining"), (2, "serving")}) and \
                        sorted(loop["live"] for loop in told["loops"]) == [1, 2]

                until(both, lambda: f"two generations: {self.status()['workers']}")
                self.assertEqual(sum(loop["open"] for loop in self.status()["loops"]), 1)
                held.sendall(b"\n")
                sample.receive_all(held)
            until(lambda: {w["generation"] for w in self.status()["workers"]} == {2}, "the old one has left")
            self.assertEqual([loop["live"] for loop in self.status()["loops"]], [1, 1])


class Connections(Asked):
    def listed(self, which):
        return [c["peer"] for p in self.connections()["processes"] for c in p[which]]

    def test_the_one_that_waits_and_the_one_that_is_busy_are_named_in_each_model(self):
        for model in ("loop-per-core", "loop-with-workers", "thread-per-connection", "process-pool"):
            with self.subTest(model), Sample("--model", model, *self.keys) as server, \
                 connect(server.address) as quiet, connect(server.address) as busy:
                sample.ask(quiet)
                names = ["{}:{}".format(*each.getsockname()) for each in (quiet, busy)]

                def told():
                    sample.ask(busy, b"x" * 10_000)
                    return names[0] in self.listed("longest") and self.listed("busiest") == names[1:]

                until(told, lambda: self.connections(), 20)
                loops = {(loop["worker"], loop["core"]) for loop in self.status()["loops"]}
                for process in self.connections()["processes"]:
                    self.assertLessEqual({(process["worker"], c["core"]) for c in process["longest"] + process["busiest"]}, loops)

    def test_a_list_is_bounded_and_its_first_ones_wait_longest(self):
        with Sample(*self.keys) as server, sample.at_once(server.address, 50) as clients:
            for client in clients:
                sample.ask(client)
            seen = {}

            def all_seen():
                seen.update(self.connections())
                return sum(p["seen"] for p in seen["processes"]) == 50

            until(all_seen, lambda: seen, 20)
            fits(seen, CONNECTIONS)
            for process in seen["processes"]:
                self.assertEqual(len(process["longest"]), seen["kept"])
                quiet = [c["quiet_seconds"] for c in process["longest"]]
                self.assertEqual(quiet, sorted(quiet, reverse=True))
                for c in process["longest"]:  # to 64 ms
                    self.assertTrue(c["quiet_seconds"] - 0.1 < c["open_seconds"] < 60, c)

    def test_a_worker_that_ends_takes_its_list_with_it(self):
        with Pool(*self.keys) as pool:
            pool.wait_until_serving()
            until(lambda: len(self.connections()["processes"]) == 2, "two lists")
            gone = sorted(pool.workers())[0]
            os.kill(gone, signal.SIGKILL)
            until(lambda: gone not in {p["pid"] for p in self.connections()["processes"]}, "its list is gone")


@unittest.skipUnless(shutil.which("node"), "Debian's package nodejs is not installed")
class Figures(unittest.TestCase):
    def test_what_the_page_computes(self):
        done = subprocess.run(["node", "--test", sample.source("tests", "admin", "figures_test.mjs")], capture_output=True,
                              text=True, timeout=60, stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


@unittest.skipIf(browser.MISSING, browser.MISSING)
class Browsed(Asked):
    """PAGE_PHOTOS=/tmp/page_ keeps a picture of each view."""
    slow = True
    LOOP_CELLS = "[...document.querySelectorAll('#loops-table tbody tr')].map(tr => tr.innerText)"
    WORKERS = "[...document.querySelectorAll('#workers-table tbody tr')].map(tr => tr.cells[1].innerText + ' ' + tr.cells[2].innerText)"
    # How far things have moved by themselves: https://web.dev/cls. More than 0.25 is what that calls poor.
    WATCH_SHIFTS = """window.shifted = 0; window.moved = []; new PerformanceObserver(l => { for (const e of l.getEntries()) {
        window.shifted += e.value;
        window.moved.push(...e.sources.map(s => `${s.node?.nodeName} ${s.node?.id} ${s.node?.parentElement?.id}`)); } })
        .observe({ type: 'layout-shift', buffered: false })"""

    def setUp(self):
        super().setUp()
        self.keys = ("--set", "admin=127.0.0.1:0", "--set", f"processes.pid_file={self.pid_file}")
        self.tab = browser.Browser()
        self.tab.__enter__()
        self.addCleanup(self.tab.__exit__)

    def visit(self, server, width=1280, height=800, dark=False):
        at = server.wait_for_line("admin listener on ").rpartition(" ")[2]
        self.tab.show(width, height, dark)
        self.tab.open(f"http://{at}/")
        self.tab.until("document.querySelector('#state').innerText === 'ready' && "
                       "document.querySelectorAll('#tiles .value')[2].innerText.endsWith('%')", "two answers")
        return at

    def photograph(self, name):
        if "PAGE_PHOTOS" in os.environ:
            self.tab.photograph(f"{os.environ['PAGE_PHOTOS']}{name}.png")

    def check(self):
        self.assertEqual(self.tab.faults, [])
        self.assertTrue(self.tab.value("document.documentElement.scrollWidth <= innerWidth"), "it is too wide")

    def test_a_server_without_clients_offers_a_load_and_fits_on_a_phone(self):
        with Sample(*self.keys) as server:
            self.visit(server)
            self.tab.until(f"document.querySelector('#commands').innerText.includes('{server.address}')", "a load to put on it")
            self.check()
            self.photograph("idle")
            self.visit(server, 390, 844, dark=True)
            self.tab.until("document.querySelectorAll('#commands button').length === 2", "commands")
            self.check()
            self.photograph("idle_phone_dark")
            self.visit(server, 320, 640)
            self.tab.until("document.querySelectorAll('#commands button').length === 2", "commands")
            self.check()
            self.photograph("idle_320")

    def test_a_pool_under_load_through_a_reload(self):
        keys = (*self.keys, "--set", "limits.drain_delay=6s")  # so long the old generation can be seen
        with Pool(*keys, name="http") as pool:
            for size in ({}, {"width": 390, "height": 844, "dark": True}):
                with self.subTest(str(size)), self.wrk(pool.address), sample.at_once(pool.address, 8):
                    at = self.visit(pool, **size)
                    self.tab.until("/[1-9].*\\/s/.test(document.querySelector('#tiles .value').innerText)", "requests")
                    self.tab.until("document.querySelector('#busiest-table tbody tr:not(.filler)') !== null", "a busy connection")
                    self.tab.value(self.WATCH_SHIFTS)
                    told = self.tab.value("performance.now()")
                    self.tab.until(f"performance.now() > {told} + 5000", "a while")
                    self.assertLess(self.tab.value("window.shifted"), 0.25, self.tab.value("window.moved"))
                    self.check()
                    self.photograph("load" + "_phone_dark" * bool(size))
                    pool.send(signal.SIGHUP)
                    self.tab.until(f"{self.WORKERS}.some(w => w.endsWith('draining')) && "
                                   f"{self.WORKERS}.filter(w => w.endsWith('serving')).length === 2", "both generations")
                    self.assertIn("Reload: generation ", self.tab.text("#notice"))
                    self.assertLess(self.tab.value("window.shifted"), 0.25, self.tab.value("window.moved"))
                    self.check()
                    self.photograph("reload" + "_phone_dark" * bool(size))
                    self.tab.until(f"{self.WORKERS}.length === 2", "the old ones have left", 60)
            self.assertTrue(at)

    @contextlib.contextmanager
    def wrk(self, address):
        load = subprocess.Popen(["wrk", "-t1", "-c32", "-d300s", f"http://{address}/plain"], stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield
        finally:
            load.kill()
            load.wait()

    def test_it_says_that_the_server_is_away_and_goes_on_when_it_is_back(self):
        with Sample(*self.keys) as server:
            at = self.visit(server)
        self.tab.until("document.querySelector('#notice').innerText.includes('Not reachable since')", "what is wrong")
        self.check()
        self.photograph("away")
        with Sample("--set", f"admin={at}"):
            self.tab.until("document.querySelector('#state').innerText === 'ready'", "it goes on")
            self.tab.until(f"{self.LOOP_CELLS}.length > 0", "figures again")
            self.check()

    def test_a_loop_that_is_held_is_named(self):
        hold = f"{self.folder}/hold"
        with Pool(*self.keys, environment={"POOL_HOLD": hold}) as pool:
            self.visit(pool)
            pool.wait_until_serving()
            with connect(pool.address) as client:
                client.sendall(b"hold\n")
                self.tab.until("document.querySelector('#notice').innerText.includes('has had no turn for')", "which one")
                self.photograph("held")
                os.remove(hold)
                client.recv(100)

    def test_it_asks_once_for_the_token_and_sends_no_address_with_it(self):
        token = "0123456789abcdef"
        with Sample(*self.keys, "--set", f"admin_token={token}") as server:
            at = server.wait_for_line("admin listener on ").rpartition(" ")[2]
            self.tab.show(390, 844)
            self.tab.open(f"http://{at}/")
            for typed, then in (("f" * 16, "document.querySelector('#token-wrong').innerText !== ''"),
                                (token, "document.querySelector('#state').innerText === 'ready'")):
                self.tab.until("document.querySelector('#token-dialog').open", "the question")
                self.photograph("token")
                self.tab.value(f"document.querySelector('#token').value = '{typed}'; document.querySelector('#token-form').requestSubmit()")
                self.tab.until(then, "what follows")
            self.tab.call("Page.reload")
            self.tab.until("document.querySelector('#state').innerText === 'ready'", "it still knows the token")
            self.assertFalse(self.tab.value(f"performance.getEntriesByType('resource').some(e => e.name.includes('{token}'))"))
            self.check()


if __name__ == "__main__":
    sample.main()
