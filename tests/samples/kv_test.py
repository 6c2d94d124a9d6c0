#!/usr/bin/env python3
"""The kv sample under its real clients and under bad ones. Usage: kv_test.py --build BUILD"""
import os
import random
import re
import select
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.request

import sample
from resp import Client, Error, Typed, request
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
        receives = 0 if sample.over_io_uring() else 2  # there the wait brings the bytes
        self.assertEqual(len(re.findall(r"recvfrom\(.*\) = [1-9]", calls)), receives, calls)

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

    def test_a_request_of_more_than_a_million_words_is_run(self):
        count = (1 << 19) + 10
        with kv() as server, Client(connect(server.address)) as client:
            words = b"".join(b"$%d\r\n%s\r\n$1\r\nx\r\n" % (len(b"k%d" % i), b"k%d" % i) for i in range(count))
            client.send(b"*%d\r\n$4\r\nMSET\r\n" % (2 * count + 1) + words)
            self.assertEqual(client.reply(), "OK")
            self.assertEqual(client.ask("DBSIZE"), count)

    def test_a_size_that_is_a_lie_costs_nothing(self):
        lies = {b"*2147483648\r\n": b"-ERR Protocol error: invalid multibulk length\r\n",
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
            for claim in (b"*2147483647\r\n", b"*2\r\n$3\r\nGET\r\n$536870912\r\n") * 20:
                waiting.append(connect(server.address))
                waiting[-1].sendall(claim)
            with Client(connect(server.address)) as client:
                sample.until(lambda: int(client.ask("INFO", "clients").split(b"connected_clients:")[1].split()[0]) > len(waiting),
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
            sample.until(lambda: b"connected_clients:1\r\n" in client.ask("INFO", "clients"),
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


class Subscribers(unittest.TestCase):
    def test_subscribers_on_every_loop_hear_everything_in_order(self):
        for model in ("single-loop", "loop-per-core"):
            with self.subTest(model), kv("--model", model, "--policy", "round-robin") as server:
                clients = [self.enterContext(Client(connect(server.address))) for _ in range(6)]
                for i, client in enumerate(clients):
                    client.ask("HELLO", 2 + i % 2)
                    client.ask("SUBSCRIBE", "c")
                with Client(connect(server.address)) as says:
                    self.assertEqual(says.ask_all([["PUBLISH", "c", i] for i in range(500)]), [6] * 500)
                for i, client in enumerate(clients):
                    for n in range(500):
                        expected = [b"message", b"c", b"%d" % n]
                        self.assertEqual(client.reply(), Typed(">", expected) if i % 2 else expected)
                for client in clients:  # it answers as before, and hears nothing more
                    client.send(request("UNSUBSCRIBE") + request("PING") + request("QUIT"))
                    client.reply()
                    self.assertEqual([client.reply(), client.reply()], ["PONG", "OK"])
                    self.assertTrue(client.ends())

    def test_a_subscriber_that_does_not_read_is_cut_and_holds_up_nobody(self):
        with kv("--model", "loop-per-core", "--policy", "round-robin") as server:
            deaf = self.enterContext(connect(server.address, receive_buffer=4096))
            deaf.sendall(request("SUBSCRIBE", "c"))
            with Client(connect(server.address)) as hears, Client(connect(server.address)) as says:
                hears.ask("SUBSCRIBE", "c")
                sample.until(lambda: says.ask("PUBSUB", "NUMSUB", "c") == [b"c", 2], "both have subscribed")
                before, text = server.rss(), "x" * (1 << 20)
                for i in range(60):
                    says.ask("PUBLISH", "c", text)
                    self.assertEqual(len(hears.reply()[2]), len(text))
                sample.until(lambda: says.ask("PUBSUB", "NUMSUB", "c") == [b"c", 1], "the deaf one is cut")
                if memory_is_flat():
                    self.assertLess(server.rss() - before, 64 << 20)

    def test_clients_end_other_clients(self):
        with kv("--model", "loop-per-core", "--policy", "round-robin") as server, Client(connect(server.address)) as killer:
            victims = [self.enterContext(Client(connect(server.address))) for _ in range(4)]
            ids = [victim.ask("CLIENT", "ID") for victim in victims]
            victims[1].ask("SUBSCRIBE", "c")
            self.assertEqual(killer.ask("CLIENT", "KILL", "ID", ids[0]), 1)
            self.assertEqual(killer.ask("CLIENT", "KILL", "TYPE", "pubsub"), 1)
            address = re.search(rb"id=%d addr=(\S+)" % ids[2], killer.ask("CLIENT", "LIST"))[1]
            self.assertEqual(killer.ask("CLIENT", "KILL", address), "OK")
            for victim in victims[:3]:
                self.assertTrue(victim.ends())
            self.assertEqual(victims[3].ask("PING"), "PONG")
            self.assertEqual(victims[3].ask("CLIENT", "KILL", "ID", ids[3], "SKIPME", "no"), 1)
            self.assertTrue(victims[3].ends())
            sample.until(lambda: killer.ask("CLIENT", "LIST").count(b"id=") == 1, "those that have left are still listed")


class Passwords(unittest.TestCase):
    def test_without_the_password_nothing_is_told_and_nothing_done(self):
        with kv("--requirepass", "secret") as server, Client(connect(server.address)) as client:
            self.assertEqual(client.ask("SET", "a", 1), Error("NOAUTH Authentication required."))
            self.assertTrue(client.ask("AUTH", "wrong").startswith("WRONGPASS"))
            self.assertEqual(client.ask("AUTH", "secret"), "OK")
            self.assertIsNone(client.ask("GET", "a"))
            with Client(connect(server.address)) as other:
                self.assertTrue(other.ask("HELLO", 3).startswith("NOAUTH"))
                self.assertEqual(other.ask("HELLO", 3, "AUTH", "default", "secret")[0], "%")
                self.assertEqual(other.ask("PING"), "PONG")


class Stalls(unittest.TestCase):
    """What a client waits while another's command is run."""

    def stall(self, address, prepare, command):
        """The longest PING while `command` runs and for a while after it, in seconds."""
        with Client(connect(address)) as acts, Client(connect(address)) as waits:
            prepare(acts)
            over = threading.Event()
            actor = threading.Thread(target=lambda: (acts.ask(*command), over.set()))
            waits.ask("PING")
            longest, more = 0, 30
            actor.start()
            while more > 0:
                start = time.perf_counter()
                waits.ask("PING")
                longest = max(longest, time.perf_counter() - start)
                more -= over.is_set()
            actor.join()
            return longest

    def test_no_command_holds_up_others_for_as_long_as_its_value_is_large(self):
        if not memory_is_flat():
            self.skipTest("a sanitizer keeps what is freed")
        size = 200 << 20
        large = lambda client: client.ask_all([["FLUSHALL", "ASYNC"], ["SETRANGE", "a", size, "x"]])
        mortal = lambda client: (large(client), client.ask("EXPIRE", "a", 1000))
        many = lambda client: [client.ask_all([["SET", f"k{i + j}", "x" * 100] for j in range(2000)]) for i in range(0, 100_000, 2000)]
        with kv() as server:
            # To touch every page of it takes a multiple of the bound.
            touched = self.stall(server.address, large, ["BITCOUNT", "a"])
            for prepare, command in ((mortal, ["PERSIST", "a"]), (large, ["EXPIRE", "a", 1000]), (large, ["RENAME", "a", "b"]),
                                     (large, ["DEL", "a"]), (many, ["FLUSHALL"])):
                took = self.stall(server.address, prepare, command)
                if took >= max(touched, 0.05):  # the machine may have been busy
                    took = self.stall(server.address, prepare, command)
                sample.figure(f"{' '.join(map(str, command))}: {took * 1000:.1f} ms, reading it {touched * 1000:.0f} ms")
                self.assertLess(took, max(touched, 0.05), command)

    def test_memory_goes_back_after_a_flush(self):
        if not memory_is_flat():
            self.skipTest("a sanitizer keeps what is freed")
        with kv() as server, Client(connect(server.address)) as client:
            before = server.rss()
            for i in range(0, 200_000, 2000):
                client.ask_all([["SET", f"k{i + j}", "x" * 100] for j in range(2000)])
            self.assertGreater(server.rss() - before, 25 << 20)
            client.ask("FLUSHALL")
            sample.until(lambda: server.rss() - before < 12 << 20, lambda: f"{(server.rss() - before) >> 20} MB are still held")


class Libraries(unittest.TestCase):
    """Clients and monitoring of other people, where they are installed."""

    def test_redis_py_finds_what_it_needs(self):
        python = "/usr/bin/python3"
        if not os.path.exists(python) or subprocess.run([python, "-c", "import redis"], capture_output=True).returncode != 0:
            self.skipTest("python3-redis is not installed")
        script = """
import sys, redis
client = redis.Redis(sys.argv[1], int(sys.argv[2]), client_name="me", password="secret", health_check_interval=1)
assert client.set("a", 1, ex=100) and client.get("a") == b"1" and client.incr("a", 41) == 42
assert client.mset({"b": 1, "c": 2}) and client.mget("b", "c", "d") == [b"1", b"2", None]
info = client.client_info()
assert info["name"] == "me" and info["db"] == 0 and int(info["resp"]) == 2, info
assert any(each["name"] == "me" for each in client.client_list())
with client.pipeline() as pipe:
    assert pipe.set("a", 5).get("a").incr("a").execute() == [True, b"5", 6]
    pipe.watch("a")
    client.set("a", 9)
    pipe.multi()
    pipe.set("a", 10)
    try:
        pipe.execute()
        raise SystemExit("a transaction of what has changed was run")
    except redis.WatchError:
        pass
assert client.transaction(lambda p: (p.multi(), p.incr("a")), "a") == [10]
listener = client.pubsub()
listener.subscribe("news"); listener.psubscribe("n*")
assert {listener.get_message(timeout=5)["type"] for _ in range(2)} == {"subscribe", "psubscribe"}
assert client.publish("news", "hello") == 2
assert {listener.get_message(timeout=5)["data"] for _ in range(2)} == {b"hello"}
listener.close()
assert client.config_get("maxmemory") == {"maxmemory": "0"} and client.config_set("maxmemory", "100mb")
assert client.info()["redis_mode"] == "standalone" and client.info("commandstats")["cmdstat_get"]["calls"] > 0
assert client.command_count() > 80 and client.command()["get"]["arity"] == 2
assert sorted(client.scan_iter("[abc]")) == [b"a", b"b", b"c"]
assert client.client_kill_filter(_id=999999) == 0 and client.time() and client.ping() and client.echo("x") == b"x"
assert client.slowlog_len() == 0 and client.slowlog_get() == [] and client.role()[0] == b"master"
assert client.flushall()
"""
        with kv("--requirepass", "secret") as server:
            done = subprocess.run([python, "-W", "ignore", "-c", script, *server.address.rsplit(":", 1)], capture_output=True, text=True,
                                  timeout=60)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_prometheus_redis_exporter_finds_nothing_to_complain_of(self):
        if shutil.which("prometheus-redis-exporter") is None:
            self.skipTest("there is no prometheus-redis-exporter")
        place = f"127.0.0.1:{sample.free_port()}"
        with kv() as server, Client(connect(server.address)) as client, tempfile.TemporaryFile("w+") as log:
            client.ask_all([["SET", "a", 1], ["SET", "b", 2, "EX", 100], ["GET", "a"]])
            exporter = subprocess.Popen(["prometheus-redis-exporter", "-web.listen-address", place, "-redis.addr",
                                         f"redis://{server.address}", "-debug"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            try:
                def scraped():
                    try:
                        with urllib.request.urlopen(f"http://{place}/metrics", timeout=sample.BOUND) as page:
                            return page.read().decode()
                    except OSError:
                        return None
                pages = []
                sample.until(lambda: pages.append(scraped()) or pages[-1], "the exporter answers")
                for line in ("redis_up 1", 'redis_db_keys{db="db0"} 2', 'redis_commands_total{cmd="get"} 1', "redis_connected_clients 2",
                             'redis_exporter_last_scrape_error{err=""} 0'):
                    self.assertIn(line, pages[-1].replace(".0\n", "\n"))
            finally:
                exporter.terminate()
                exporter.wait(sample.BOUND)
            log.seek(0)
            complaints = [line for line in log if re.search(r"level=(error|warn|fatal)|rr(or)?[:=] *[^<n]", line)]
            self.assertEqual(complaints, [])


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
