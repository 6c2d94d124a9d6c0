#!/usr/bin/env python3
"""The kv sample under its real clients and under bad ones. Usage: kv_test.py --build BUILD"""
import os
import random
import re
import select
import shutil
import subprocess
import tempfile
import unittest

import sample
from resp import Client, Error, request
from sample import Sample, connect


def kv(*arguments, **how):
    return Sample(*arguments, name="kv", **how)


def tool(*arguments, stdin=b"", timeout=60):
    """A program of redis-tools to its end; what it printed."""
    done = subprocess.run(arguments, input=stdin, capture_output=True, timeout=timeout)
    if done.returncode != 0:
        raise AssertionError(f"{arguments}: exit code {done.returncode}: {done.stderr.decode()}")
    return done.stdout.decode()


def port(server):
    return server.address.rpartition(":")[2]


def memory_is_flat():
    """Whether resident bytes mean anything in this build."""
    return not sample.options.sanitized


class Clients(unittest.TestCase):
    def setUp(self):
        for name in ("redis-cli", "redis-benchmark"):
            if shutil.which(name) is None:
                self.skipTest(f"there is no {name}")

    def test_redis_cli_talks_to_it(self):
        with kv() as server:
            cli = lambda *words, **how: tool("redis-cli", "-p", port(server), *words, **how)
            self.assertEqual(cli("SET", "greeting", "hello", "EX", "100"), "OK\n")
            self.assertEqual(cli("GET", "greeting"), "hello\n")
            self.assertEqual(cli("TTL", "greeting"), "100\n")
            self.assertEqual(cli("MSET", "a", "1", "b", "2"), "OK\n")
            self.assertEqual(sorted(cli("--scan").split()), ["a", "b", "greeting"])
            self.assertIn("role:master", cli("INFO"))
            self.assertEqual(cli(stdin=b"incr a\nincr a\n"), "2\n3\n")
            self.assertEqual(cli("GET"), "ERR wrong number of arguments for 'get' command\n\n")
            self.assertIn("Biggest string found", cli("--bigkeys"))

    def test_redis_cli_fills_it_by_the_pipe(self):
        count = 20_000
        with kv() as server:
            everything = b"".join(request("SET", f"key:{i}", f"value {i}") for i in range(count))
            out = tool("redis-cli", "-p", port(server), "--pipe", stdin=everything)
            self.assertIn(f"errors: 0, replies: {count}", out)
            with Client(connect(server.address)) as client:
                self.assertEqual(client.ask("DBSIZE"), count)
                self.assertEqual(client.ask("GET", "key:777"), b"value 777")

    def test_redis_benchmark_meets_no_error(self):
        with kv() as server:
            for pipeline, requests in ((1, 2000), (16, 20_000), (64, 20_000), (1000, 40_000)):
                done = subprocess.run(["redis-benchmark", "-p", port(server), "-t", "set,get,incr,mset", "-P",
                                       str(pipeline), "-n", str(requests), "-r", "1000", "--csv"], capture_output=True,
                                      text=True, timeout=60, stdin=subprocess.DEVNULL)
                lines = [line for line in done.stdout.splitlines() if line.startswith('"')]
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertNotIn("rror", done.stdout + done.stderr)
                self.assertEqual([line.split('"')[1].split()[0] for line in lines[1:]], ["SET", "GET", "INCR", "MSET"])


class Protocol(unittest.TestCase):
    def test_ten_thousand_requests_in_one_write_are_answered_in_order(self):
        with kv() as server, Client(connect(server.address)) as client:
            client.ask("SET", "big", "x" * 500)
            before = server.rss()
            requests = b"".join(request("ECHO", i) + request("GET", "big") for i in range(5000))
            # All of it is sent before anything is read: what the server cannot send yet must not pile up in it.
            client.socket.settimeout(0)
            sent = 0
            while sent < len(requests):
                readable, writable, _ = select.select([client.socket], [client.socket], [], sample.BOUND)
                if writable:
                    sent += client.socket.send(requests[sent:])
                elif readable:
                    client.buffered += client.socket.recv(65536)
                else:
                    self.fail("the server neither reads nor writes")
            grown = server.rss() - before
            client.socket.settimeout(sample.BOUND)
            for i in range(5000):
                self.assertEqual(client.reply(), str(i).encode())
                self.assertEqual(client.reply(), b"x" * 500)
            sample.figure(f"grown by {grown / 1024:,.0f} KB meanwhile")
            if memory_is_flat():
                self.assertLess(grown, 8 << 20)

    def test_a_batch_costs_one_receive_and_one_send(self):
        try:
            subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=True)
        except (FileNotFoundError, subprocess.CalledProcessError):
            self.skipTest("system calls cannot be traced here")
        with tempfile.TemporaryDirectory() as folder:
            trace = os.path.join(folder, "trace")
            leaks = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"  # would trace as well
            with kv(before=["strace", "-D", "-f", "-o", trace, "-e", "trace=recvfrom,sendto"],
                    environment={"ASAN_OPTIONS": leaks}) as server, Client(connect(server.address)) as client:
                self.assertEqual(client.ask_all([["INCR", "n"]] * 64), list(range(1, 65)))
                client.ask_all([["GET", "n"]] * 64)
            calls = sample.read(trace)
        self.assertEqual(len(re.findall(r"sendto\(.*\) = [1-9]", calls)), 2, calls)
        self.assertEqual(len(re.findall(r"recvfrom\(.*\) = [1-9]", calls)), 2, calls)

    def test_any_split_gives_the_same_answers(self):
        rng = random.Random(4)
        script = [["SET", "k", rng.randbytes(3000)], ["GET", "k"], ["APPEND", "k", "x" * 40_000], ["STRLEN", "k"],
                  ["NOSUCH", "a"], ["INCR", "n"], ["MGET", "k", "n", "none"], ["DEL", "k", "n"]]
        stream = b"".join(request(*words) for words in script) + b"PING\r\nECHO 'in line'\r\nQUIT\r\n"
        with kv() as server:
            def answers(pieces):
                with connect(server.address) as client:
                    for piece in pieces:
                        client.sendall(piece)
                    return sample.receive_all(client)

            whole = answers([stream])
            self.assertTrue(whole.endswith(b"+PONG\r\n$7\r\nin line\r\n+OK\r\n"), whole[-100:])
            self.assertEqual(answers([stream[i:i + 1] for i in range(len(stream))]), whole)
            for _ in range(10):
                cuts = sorted(rng.randrange(len(stream)) for _ in range(30)) + [len(stream)]
                self.assertEqual(answers([stream[a:b] for a, b in zip([0] + cuts, cuts)]), whole)

    def test_a_size_that_is_a_lie_costs_nothing(self):
        lies = {b"*1000000000\r\n": b"-ERR Protocol error: invalid multibulk length\r\n",
                b"*1048577\r\n": b"-ERR Protocol error: invalid multibulk length\r\n",
                b"*2\r\n$3\r\nGET\r\n$2147483647\r\n": b"-ERR Protocol error: invalid bulk length\r\n",
                b"*2\r\n$3\r\nGET\r\n$99999999999999999999\r\n": b"-ERR Protocol error: invalid bulk length\r\n",
                b"*-9\r\n*1\r\n:4\r\n": b"-ERR Protocol error: expected '$', got ':'\r\n"}
        with kv() as server:
            with Client(connect(server.address)) as client:
                client.ask("PING")
            before = server.rss()
            for lie, answer in lies.items():
                with connect(server.address) as client:
                    client.sendall(lie)
                    self.assertEqual(sample.receive_all(client), answer)
            # Sizes that may be true, of which nothing ever comes.
            waiting = []
            for claim in (b"*1048576\r\n", b"*2\r\n$3\r\nGET\r\n$536870912\r\n") * 20:
                waiting.append(connect(server.address))
                waiting[-1].sendall(claim)
            with Client(connect(server.address)) as client:
                sample.until(lambda: int(client.ask("INFO", "clients").split(b"connected_clients:")[1]) > len(waiting),
                             "the clients have not come")
                client.ask("PING")
            grown = server.rss() - before
            for client in waiting:
                client.close()
            sample.figure(f"grown by {grown / 1024:,.0f} KB")
            if memory_is_flat():
                self.assertLess(grown, 1 << 20)

    def test_a_client_that_never_reads_is_not_worked_for(self):
        with kv() as server, connect(server.address, receive_buffer=4096) as lazy, \
                Client(connect(server.address)) as other:
            other.ask("SET", "big", "x" * 100_000)
            before = server.rss()
            lazy.settimeout(0)
            asked, left = 0, request("GET", "big") * 100
            while True:  # until the server takes no more
                _, writable, _ = select.select([], [lazy], [], 0.5)
                if not writable:
                    break
                asked += lazy.send(left)
            grown = server.rss() - before
            sample.figure(f"{asked // 26:,} requests of 100 KB taken, grown by {grown / 1024:,.0f} KB")
            self.assertEqual(other.ask("PING"), "PONG")
            if memory_is_flat():
                self.assertLess(grown, 8 << 20)

    def test_a_large_value_goes_in_and_out_beside_others(self):
        with kv() as server, Client(connect(server.address)) as client, Client(connect(server.address)) as other:
            value = random.Random(1).randbytes(20 << 20)
            client.send(request("SET", "large", value))
            self.assertEqual(other.ask("PING"), "PONG")
            self.assertEqual(client.reply(), "OK")
            self.assertEqual(client.ask("GET", "large"), value)
            self.assertEqual(client.ask("GETRANGE", "large", -10, -1), value[-10:])
            self.assertEqual(client.ask("DEL", "large"), 1)
            if memory_is_flat():
                sample.until(lambda: server.rss() < 60 << 20, lambda: f"{server.rss() >> 20} MB are still held")

    def test_without_memory_a_request_is_refused_and_the_rest_goes_on(self):
        if sample.options.sanitized:
            self.skipTest("a sanitizer needs more address space than this leaves")
        with kv(before=("prlimit", f"--as={400 << 20}")) as server, Client(connect(server.address)) as client:
            self.assertEqual(client.ask("SET", "a", "b"), "OK")
            self.assertEqual(client.ask("SETRANGE", "a", 500_000_000, "x"), Error("OOM there is no memory for this"))
            self.assertEqual(client.ask("SETBIT", "new", 4_000_000_000, 1), Error("OOM there is no memory for this"))
            self.assertEqual(client.ask_all([["GET", "a"], ["EXISTS", "new"]]), [b"b", 0])

    def test_keys_that_nobody_asks_for_expire_too(self):
        with kv() as server, Client(connect(server.address)) as client:
            client.ask_all([["SET", i, "x", "PX", 30 + i % 50] for i in range(2000)])
            client.ask("SET", "stays", "x")
            sample.until(lambda: client.ask("DBSIZE") == 1, "keys that have expired are still counted")

    def test_a_scan_gives_every_key_that_stays_while_others_come_and_go(self):
        with kv() as server, Client(connect(server.address)) as client:
            client.ask_all([["SET", f"stays:{i}", i] for i in range(500)])
            found, cursor, added = set(), b"0", 0
            while True:
                cursor, keys = client.ask("SCAN", cursor, "MATCH", "stays:*", "COUNT", 20)
                found |= set(keys)
                if cursor == b"0":
                    break
                if added < 4000:
                    client.ask_all([["SET", f"comes:{added + i}", i] for i in range(200)])
                    added += 200
                else:
                    client.ask_all([["DEL", f"comes:{i}"] for i in range(4000)])
            self.assertEqual(found, {b"stays:%d" % i for i in range(500)})

    def test_clients_that_break_off_leave_nothing_behind(self):
        rng = random.Random(3)
        stream = b"".join(request("SET", f"k{i % 7}", rng.randbytes(rng.randrange(3000))) + request("GET", f"k{i % 5}")
                          for i in range(200))
        with kv() as server, Client(connect(server.address)) as client:
            fds = server.settled_fds()
            for _ in range(200):
                other = connect(server.address)
                other.sendall(stream[:rng.randrange(len(stream))])
                if rng.random() < 0.5:
                    other.recv(rng.randrange(1, 5000))
                rng.choice([sample.reset, lambda c: c.close()])(other)
            sample.until(lambda: client.ask("INFO", "clients").endswith(b"connected_clients:1\r\n"),
                         "clients that have left are still counted")
            self.assertEqual(server.settled_fds(), fds)
            self.assertLessEqual(client.ask("DBSIZE"), 7)

    def test_who_speaks_another_protocol_is_closed(self):
        with kv() as server:
            with connect(server.address) as client:
                client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\n\r\n")
                self.assertEqual(sample.receive_all(client), b"")
            server.wait_for_line("speaks another protocol")

    def test_a_breach_is_answered_and_ends_the_connection_alone(self):
        with kv() as server, Client(connect(server.address)) as other:
            with Client(connect(server.address)) as client:
                client.send(request("SET", "a", 1) + b"*1\r\n?4\r\n" + request("SET", "a", 2))
                self.assertEqual(client.reply(), "OK")
                self.assertEqual(client.reply(), Error("ERR Protocol error: expected '$', got '?'"))
                self.assertTrue(client.ends())
            self.assertEqual(other.ask("GET", "a"), b"1")


class Models(unittest.TestCase):
    def test_its_defaults_are_those_of_redis(self):
        printed = sample.run("--print-config", name="kv").stdout
        self.assertIn('model = "single-loop"', printed)
        self.assertIn('listen = ["127.0.0.1:6380"]', printed)
        self.assertIn('idle_timeout = "0ms"', printed.replace('"0s"', '"0ms"'))
        checked = sample.run("--check", "--config", sample.source("samples/kv/kv.toml"), name="kv")
        self.assertEqual(checked.returncode, 0, checked.stderr)

    def test_all_clients_find_the_same_keys_in_every_model_that_runs_it(self):
        for model in ("single-loop", "loop-per-core", "serial"):
            with self.subTest(model), kv("--model", model) as server:
                for i in range(20):  # on whichever loop
                    with Client(connect(server.address)) as client:
                        self.assertEqual(client.ask("INCR", "shared"), i + 1)
                        script = [["SET", f"k{j}", j] for j in range(300)] + [["GET", f"k{j}"] for j in range(300)]
                        replies = client.ask_all(script)
                        self.assertEqual(replies, ["OK"] * 300 + [str(j).encode() for j in range(300)])
                        client.send(b"GET k1\r\nQUIT\r\n")
                        self.assertEqual([client.reply(), client.reply()], [b"1", "OK"])
                        self.assertTrue(client.ends())

    def test_models_in_which_keys_would_get_lost_are_refused(self):
        for model in ("loop-with-workers", "thread-per-connection", "thread-per-event", "process-pool"):
            ended = sample.run("--model", model, name="kv")
            self.assertEqual(ended.returncode, 2, ended.stderr)
            self.assertIn("the handler keeps state", ended.stderr)

    def test_a_stop_ends_idle_clients_and_answers_what_has_come(self):
        with kv() as server:
            idle = [connect(server.address) for _ in range(50)]
            half = connect(server.address)
            half.sendall(request("SET", "a", "b") + b"*2\r\n$3\r\n")
            self.assertEqual(sample.receive_exactly(half, 5), b"+OK\r\n")
            server.send(15)
            for client in idle:
                self.assertEqual(client.recv(1), b"")
                client.close()
            half.sendall(b"GET\r\n$1\r\na\r\n")  # a request that had begun
            self.assertEqual(sample.receive_all(half), b"$1\r\nb\r\n")
            half.close()
            self.assertEqual(server.wait(), 0)


if __name__ == "__main__":
    sample.main()
