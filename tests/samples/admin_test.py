#!/usr/bin/env python3
"""The admin listener: what it tells in every model, to whom, and that Prometheus understands it."""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import unittest
import urllib.request

import sample
from pool import MODES, Pool, say
from sample import Sample, connect, receive_all, run, until

MODELS = "serial", "thread-per-connection", "single-loop", "loop-with-workers", "loop-per-core", "process-pool", "thread-per-event"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def ask(address, message):
    """The whole answer to one request: (status, headers, body)."""
    with connect(address) as client:
        client.sendall(message)
        answer = receive_all(client)
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return int(first.split()[1]), headers, body


def get(address, path, *headers, method="GET"):
    lines = "".join(f"{h}\r\n" for h in headers)
    return ask(address, f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode())


def metrics(address, *headers):
    """{(name, labels): value} of the samples; each name and its labels once."""
    status, _, body = get(address, "/metrics", *headers)
    if status != 200:
        raise AssertionError(f"{status}: {body}")
    out = {}
    for line in body.decode().splitlines():
        if not line.startswith("#"):
            name, labels, value = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line).groups()
            if (name, labels) in out:
                raise AssertionError(f"twice: {line}")
            out[name, labels] = float(value)
    return out


def total(of, name, part=""):
    """The sum over all workers and loops."""
    return sum(value for (n, labels), value in of.items() if n == name and part in (labels or ""))


class Operated(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory()) if hasattr(self, "enterContext") else None
        if self.folder is None:
            folder = tempfile.TemporaryDirectory()
            self.addCleanup(folder.cleanup)
            self.folder = folder.name
        self.socket = f"unix:{self.folder}/admin"
        self.pid_file = f"{self.folder}/pid"
        self.keys = ("--set", f"admin={self.socket}", "--set", f"processes.pid_file={self.pid_file}")

    def until_figures(self, wanted):
        """What a client has done may be counted a moment after it is told of it."""
        seen = {}

        def look():
            now = metrics(self.socket)
            seen.update({key: total(now, *key) for key in wanted})
            return seen == wanted

        until(look, lambda: f"{wanted}, but there is {seen}")


class Counting(Operated):
    def count(self, model, *more):
        ports = 7 if model == "serial" else 12
        with Sample("--model", model, *self.keys, *more) as server:
            held = []
            for i in range(ports):
                client = connect(server.address)
                self.assertEqual(sample.ask(client, b"x" * (100 + i)), b"x" * (100 + i))
                if i % 3 == 0:
                    sample.reset(client)
                elif model == "serial" or i % 3 == 1:
                    client.close()
                else:
                    held.append(client)
            size = sum(100 + i for i in range(ports))
            ended = ports - len(held)
            self.until_figures({("weir_connections_accepted_total",): ports,
                                ("weir_connections_closed_total",): ended,
                                ("weir_connections_closed_total", "peer_reset"): (ports + 2) // 3,
                                ("weir_connections_open",): len(held),
                                ("weir_received_bytes_total",): size,
                                ("weir_sent_bytes_total",): size})
            told = run("--status", "--json", *self.keys)
            self.assertEqual(told.returncode, 0, told.stderr)
            status = json.loads(told.stdout)
            self.assertEqual((status["model"], status["ready"]), (model, True))
            self.assertEqual(sum(loop["accepted"] for loop in status["loops"]), ports)
            self.assertEqual(json.loads(get(self.socket, "/status")[2])["workers"][0]["state"], "serving")
            table = run("--status", *self.keys)
            self.assertEqual((table.returncode, " serving " in table.stdout), (0, True), table.stderr)
            for client in held:
                client.close()
            self.until_figures({("weir_connections_open",): 0, ("weir_connections_closed_total",): ports})

    def test_counts_what_clients_did_in_each_model(self):
        for model in MODELS:
            with self.subTest(model):
                self.count(model)

    def test_counts_what_clients_did_in_each_accept_mode(self):
        for mode in MODES[1:]:
            with self.subTest(mode):
                self.count("process-pool", "--processes", "2", "--set", f"processes.accept={mode}")

    def test_counts_the_requests_of_http_and_how_long_they_took(self):
        for model in ("loop-per-core", "process-pool", "thread-per-connection"):
            with self.subTest(model), Sample("--model", model, *self.keys, "--root", self.folder, name="http") as server:
                with connect(server.address) as client:
                    client.sendall(b"GET /plain HTTP/1.1\r\nHost: a\r\n\r\n" * 16)
                    client.sendall(b"GET /plain HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                    receive_all(client)
                with connect(server.address) as client:
                    client.sendall(b"nonsense\r\n\r\n")
                    receive_all(client)
                self.until_figures({("weir_requests_total",): 17, ("weir_request_duration_seconds_count",): 17})

    def test_counts_refusals_by_their_cause(self):
        with Sample(*self.keys, "--set", "limits.connections=2", "--set", "limits.excess=refuse") as server, \
             connect(server.address) as one, connect(server.address) as other:
            sample.ask(one), sample.ask(other)
            for _ in range(5):
                with connect(server.address) as client, contextlib.suppress(ConnectionError):
                    self.assertEqual(client.recv(1), b"")
            self.until_figures({("weir_connections_refused_total", 'cause="connections"'): 5,
                                ("weir_connections_refused_total", 'cause="connections_per_ip"'): 0})
        with Sample(*self.keys, "--set", "limits.connections_per_ip=1") as server, connect(server.address) as one:
            sample.ask(one)
            for _ in range(3):
                with connect(server.address) as client, contextlib.suppress(ConnectionError):
                    self.assertEqual(client.recv(1), b"")
            self.until_figures({("weir_connections_refused_total", 'cause="connections_per_ip"'): 3})


class Access(Operated):
    def refused(self, *arguments):
        for more in ((), ("--check",)):
            ended = run(*arguments, "--listen", "127.0.0.1:0", *more)
            self.assertEqual(ended.returncode, 2, ended.stderr)
        return ended.stderr

    def test_an_address_that_others_reach_needs_a_token(self):
        self.assertIn("admin_token", self.refused("--set", "admin=0.0.0.0:0"))
        self.assertIn("admin_token", self.refused("--set", "admin=*:0"))
        self.assertIn("16 printable", self.refused("--set", "admin=0.0.0.0:0", "--set", "admin_token=short"))
        self.assertIn("inherited", self.refused("--set", "admin=fd:3"))
        self.assertIn("admin", self.refused("--set", "admin=nowhere"))
        with Sample("--set", "admin=0.0.0.0:0", "--set", "admin_token=0123456789abcdef") as server:
            at = server.wait_for_line("admin listener on ").rpartition(" ")[2].replace("0.0.0.0", "127.0.0.1")
            status, headers, _ = get(at, "/metrics")
            self.assertEqual((status, headers["www-authenticate"]), (401, "Bearer"))
            self.assertEqual(get(at, "/status", "Authorization: Bearer 0123456789abcdeX")[0], 401)
            self.assertEqual(get(at, "/status", "Authorization: Bearer 0123456789abcdef")[0], 200)
            self.assertEqual(get(at, "/live")[0], 200)
            until(lambda: get(at, "/ready")[0] == 200, "ready")

    def test_a_unix_socket_is_its_owners_alone_and_goes_with_the_server(self):
        path = self.socket[5:]
        for model in ("single-loop", "process-pool"):
            with Sample("--model", model, *self.keys, "--set", "socket.unix_mode=0666"):
                self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
            self.assertFalse(os.path.exists(path))
            self.assertFalse(os.path.exists(self.pid_file))

    def test_it_answers_a_few_questions_and_refuses_everything_else(self):
        with Sample("--set", "admin=127.0.0.1:0") as server:
            at = server.wait_for_line("admin listener on ").rpartition(" ")[2]
            self.assertEqual(get(at, "/live")[::2], (200, b"live\n"))
            status, headers, body = get(at, "/metrics", method="HEAD")
            self.assertEqual((status, body, int(headers["content-length"]) > 1000), (200, b"", True))
            self.assertEqual(get(at, "/nothing")[0], 404)
            status, headers, _ = get(at, "/metrics", method="POST")
            self.assertEqual((status, headers["allow"]), (405, "GET, HEAD"))
            self.assertEqual(ask(at, b"GET /live HTTP/1.1\r\n\r\n")[0], 400)
            self.assertEqual(ask(at, b"hello\r\n\r\n")[0], 400)
            self.assertEqual(ask(at, b"GET / HTTP/1.1\r\nA: " + b"b" * 9000)[0], 431)
            self.assertEqual(ask(at, b"GET /live HTTP/1.1\r\nHost: a\r\n\r\nwhat is behind it is not read")[0], 200)

    def test_clients_that_say_nothing_take_all_places_of_the_listener_and_none_of_the_servers(self):
        with Sample(*self.keys, "--set", "limits.connections=1") as server, connect(server.address) as client:
            sample.ask(client)
            with contextlib.ExitStack() as silent:
                for _ in range(16):
                    silent.enter_context(connect(self.socket)).sendall(b"GET ")
                until(lambda: not self.answers(), "a refusal")
                self.assertEqual(sample.ask(client), b"ping")
            until(self.answers, "an answer")
            self.assertEqual(total(metrics(self.socket), "weir_connections_accepted_total"), 1)

    def answers(self, path="/live", status=200):
        with contextlib.suppress(ConnectionError, IndexError, ValueError):
            return get(self.socket, path)[0] == status

    def test_it_is_ready_while_it_serves_and_not_while_it_drains(self):
        for model in ("loop-per-core", "process-pool", "serial"):
            with self.subTest(model), Sample("--model", model, *self.keys, name="slow_answer") as server:
                until(lambda: get(self.socket, "/ready")[0] == 200, "ready")
                with connect(server.address) as client:
                    client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                    self.until_figures({("weir_connections_open",): 1})
                    server.send(signal.SIGQUIT)
                    # A worker without connections leaves at once, also while it is asked.
                    until(lambda: self.answers("/ready", 503), "not ready")
                    until(self.answers, "alive")
                server.wait()


class Sums(Operated):
    reloads = kills = 3

    def test_sums_stay_monotonic_while_workers_end_and_begin(self):
        counters = "weir_connections_accepted_total", "weir_received_bytes_total", "weir_sent_bytes_total", "weir_loop_turns_total"
        with Pool(*self.keys, name="echo", processes=2) as pool:
            pool.wait_for_workers(2)
            last, echoes = {}, 0

            def look():
                nonlocal echoes
                with contextlib.suppress(ConnectionError, AssertionError):  # its worker may be killed
                    with connect(pool.address) as client:
                        sample.ask(client)
                        echoes += 1
                with contextlib.suppress(ConnectionError, IndexError, ValueError):
                    now = metrics(self.socket)
                    each = {key: value for key, value in now.items() if key[0] in counters}
                    for key, value in each.items():
                        self.assertGreaterEqual(value, last.get(key, 0), key)
                    self.assertEqual(set(last) - set(each), set())
                    last.update(each)
                    return now
                return {}

            for n in range(1, self.kills + 1):
                os.kill(sorted(pool.workers())[0], signal.SIGKILL)
                until(lambda: total(look(), "weir_worker_restarts_total", 'reason="signal"') == n, f"{n} restarts")
                # Workers that die young are replaced later and later.
                until(lambda: total(look(), "weir_workers", "serving") == 2, "both serve", 60)
            for n in range(1, self.reloads + 1):
                pool.send(signal.SIGHUP)
                until(lambda: total(look(), "weir_reloads_total") == n, f"{n} reloads")
            until(lambda: total(look(), "weir_workers", "draining") == 0, "the old ones have left")
            self.assertGreaterEqual(total(last and dict(last), "weir_received_bytes_total"), 4 * echoes)

    def test_a_programs_own_counters_are_one_for_all_workers_and_outlive_them(self):
        with Pool(*self.keys) as pool:
            pool.wait_until_serving()
            said = total(metrics(self.socket), "pool_worker_lines_total", 'command="who"')
            self.assertGreaterEqual(said, 2)
            os.kill(sorted(pool.workers())[0], signal.SIGKILL)
            until(lambda: total(metrics(self.socket), "weir_worker_restarts_total") == 1, "a restart")
            self.assertEqual(total(metrics(self.socket), "pool_worker_lines_total", 'command="who"'), said)
            with connect(pool.address) as client:
                for _ in range(5):
                    say(client)
                say(client, b"slow\n")
            self.until_figures({("pool_worker_lines_total", 'command="who"'): said + 5,
                                ("pool_worker_lines_total", 'command="other"'): 1,
                                ("pool_worker_line_bytes_count",): said + 6,
                                ("pool_worker_line_bytes_sum",): 3 * (said + 5) + 4})


class ManySums(Sums):
    slow = True
    reloads = kills = 20


@unittest.skipUnless(shutil.which("promtool") and shutil.which("prometheus"), "Debian's package prometheus is not installed")
class Prometheus(Operated):
    def test_promtool_has_no_complaint(self):
        for model in ("loop-per-core", "process-pool", "thread-per-connection"):
            with Sample("--model", model, *self.keys) as server, connect(server.address) as client:
                sample.ask(client)
                text = get(self.socket, "/metrics")[2]
                checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, timeout=sample.BOUND)
                self.assertEqual((checked.returncode, checked.stdout + checked.stderr), (0, b""))

    def test_prometheus_scrapes_it(self):
        with Sample("--model", "process-pool", "--processes", "2", "--set", "admin=127.0.0.1:0") as server:
            at = server.wait_for_line("admin listener on ").rpartition(" ")[2]
            with connect(server.address) as client:
                sample.ask(client, b"x" * 1000)
            web = f"127.0.0.1:{sample.free_port()}"
            with open(f"{self.folder}/prometheus.yml", "w", encoding="utf-8") as file:
                file.write("global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
                           f"scrape_configs: [{{job_name: weir, static_configs: [{{targets: ['{at}']}}]}}]\n")
            scraper = subprocess.Popen(["prometheus", f"--config.file={self.folder}/prometheus.yml",
                                        f"--storage.tsdb.path={self.folder}/data", f"--web.listen-address={web}"],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                def query(what):
                    with contextlib.suppress(OSError):
                        with urllib.request.urlopen(f"http://{web}/api/v1/query?query={what}", timeout=5) as answer:
                            found = json.load(answer)["data"]["result"]
                            return float(found[0]["value"][1]) if found else None

                until(lambda: query("up") == 1, lambda: f"a scrape; up is {query('up')}", 60)
                until(lambda: query("sum(weir_received_bytes_total)") == 1000, "1000 bytes", 20)
                until(lambda: query("weir_ready") == 1, "ready", 20)
                self.assertEqual(query("count(weir_loop_turn_duration_seconds_count)"), 2)
            finally:
                scraper.kill()
                scraper.wait()


if __name__ == "__main__":
    sample.main()
