#!/usr/bin/env python3
"""The cache sample as its clients meet it. Usage: cache_test.py --build BUILD"""
import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import unittest

import sample
from sample import Sample, connect, receive_exactly

MODELS = ("loop-per-core", "single-loop", "serial", "thread-per-connection", "loop-with-workers", "thread-per-event")
MEGABYTE = 1 << 20


def talk(address, request, **how):
    """What comes back until the server closes."""
    with connect(address, **how) as client:
        client.sendall(request + b"quit\r\n")
        return sample.receive_all(client)


def shown(key, value, flags=0):
    return b"VALUE %s %d %d\r\n%s\r\n" % (key, flags, len(value), value)


def statistics(address):
    return dict(line.split()[1:3] for line in talk(address, b"stats\r\n").decode().splitlines() if " " in line)


def ask(client, request, reply):
    """Exactly this reply, while the request may still be on its way."""
    sender = threading.Thread(target=client.sendall, args=(request,))
    sender.start()
    got = receive_exactly(client, len(reply))
    sender.join()
    if got != reply:
        at = next(i for i in range(len(reply)) if got[i] != reply[i])
        raise AssertionError(f"at byte {at}: {got[at:at + 80]} instead of {reply[at:at + 80]}")


class Cache(unittest.TestCase):
    def test_every_model_with_one_process_finds_what_another_client_has_stored(self):
        value = bytes(random.Random(1).randbytes(300_000))
        for model in MODELS:
            with self.subTest(model), Sample("--model", model, name="cache") as cache:
                self.assertEqual(talk(cache.address, b"set k 5 0 5\r\nhello\r\nset big 0 0 300000\r\n" + value + b"\r\n"),
                                 b"STORED\r\nSTORED\r\n")
                for _ in range(4):  # by whichever loop
                    self.assertEqual(talk(cache.address, b"get k big none\r\nincr none 1\r\n"),
                                     shown(b"k", b"hello", 5) + shown(b"big", value) + b"END\r\nNOT_FOUND\r\n")

    def test_processes_that_cannot_share_the_items_are_refused(self):
        ended = sample.run("--model", "process-pool", name="cache")
        self.assertEqual(ended.returncode, 2, ended.stderr)
        self.assertIn("the handler keeps state", ended.stderr)

    def test_ten_thousand_requests_in_one_write_are_answered_in_order(self):
        value = b"v" * 1000
        with Sample(name="cache") as cache, connect(cache.address) as client:
            ask(client, b"set k 0 0 1000\r\n%s\r\nset n 0 0 1\r\n0\r\n" % value, b"STORED\r\n" * 2)
            before = cache.rss()
            ask(client, b"incr n 1\r\nget k\r\n" * 5000,
                b"".join(b"%d\r\n%sEND\r\n" % (i + 1, shown(b"k", value)) for i in range(5000)))
            grown = cache.rss() - before
            sample.figure(f"memory for 10,000 pipelined requests: {grown:,} bytes")
            if not sample.options.sanitized:
                self.assertLessEqual(grown, 8 * MEGABYTE)

    def test_a_size_that_lies_is_refused_and_costs_no_memory(self):
        with Sample(name="cache") as cache:
            talk(cache.address, b"get k\r\n")
            before = cache.rss()
            for size in (2147483645, 1 << 30, MEGABYTE):
                with connect(cache.address) as client:
                    ask(client, b"set k 0 0 %d\r\n" % size, b"SERVER_ERROR object too large for cache\r\n")
            for size in (2147483646, 2147483648, 1 << 70):
                self.assertEqual(talk(cache.address, b"set k 0 0 %d\r\n" % size),
                                 b"CLIENT_ERROR bad command line format\r\n")
            with connect(cache.address) as client:  # less than a megabyte, and it never comes
                client.sendall(b"set k 0 0 1000000\r\n")
                self.assertEqual(talk(cache.address, b"get k\r\n"), b"END\r\n")
                if not sample.options.sanitized:
                    self.assertLessEqual(cache.rss() - before, MEGABYTE)

    def test_a_value_too_large_is_swallowed_and_the_connection_goes_on(self):
        with Sample(name="cache") as cache:
            self.assertEqual(talk(cache.address, b"set k 0 0 2000000\r\n" + b"x" * 2000000 + b"\r\nget k\r\n"),
                             b"SERVER_ERROR object too large for cache\r\nEND\r\n")

    def test_large_values_reach_readers_that_are_slow_while_they_change(self):
        values = [bytes([c]) * 1_000_000 for c in b"ab"]
        with Sample("-I", "2m", name="cache") as cache, connect(cache.address, receive_buffer=4096) as slow:
            talk(cache.address, b"set k 0 0 1000000\r\n" + values[0] + b"\r\n")
            slow.sendall(b"get k k k\r\nversion\r\n")
            first = receive_exactly(slow, 5000)
            talk(cache.address, b"set k 0 0 1000000\r\n" + values[1] + b"\r\n")
            talk(cache.address, b"delete k\r\n")
            rest = b""
            while not rest.endswith(b"-weir\r\n"):
                rest += slow.recv(65536)
            answer = first + rest
            header = b"VALUE k 0 1000000\r\n"
            self.assertEqual(answer[:len(header) + 1_000_000], header + values[0])
            self.assertTrue(answer.split(b"END\r\n")[0].replace(header, b"").replace(b"\r\n", b"").strip(b"ab") == b"")
            sample.until(lambda: int(statistics(cache.address)["bytes"]) == 0, "the pinned value is freed")

    def test_memory_stays_near_its_limit(self):
        with Sample("-m", 8, name="cache") as cache, connect(cache.address) as client:
            value = b"v" * 100
            before = cache.rss()
            for start in range(0, 150_000, 1000):
                ask(client, b"".join(b"set key:%d 0 0 100\r\n%s\r\n" % (i, value) for i in range(start, start + 1000)),
                    b"STORED\r\n" * 1000)
            seen = statistics(cache.address)
            self.assertLessEqual(int(seen["bytes"]), 8 * MEGABYTE)
            self.assertGreater(int(seen["curr_items"]), 40_000)
            self.assertEqual(int(seen["curr_items"]) + int(seen["evictions"]), 150_000)
            grown = cache.rss() - before
            sample.figure(f"resident for -m 8 and {seen['curr_items']} items: {grown:,} bytes")
            if not sample.options.sanitized:
                self.assertLessEqual(grown, 12 * MEGABYTE + sample.lent_to_kernel())
            ask(client, b"get key:149999 key:0\r\n", shown(b"key:149999", value) + b"END\r\n")
            value = b"w" * 1000  # does not fit where the others were
            for start in range(0, 20_000, 1000):
                ask(client, b"".join(b"set big:%d 0 0 1000\r\n%s\r\n" % (i, value) for i in range(start, start + 1000)),
                    b"STORED\r\n" * 1000)
            if not sample.options.sanitized:
                sample.until(lambda: cache.rss() - before <= 13 * MEGABYTE + sample.lent_to_kernel(),
                             lambda: f"{cache.rss() - before:,} bytes")

    def test_what_expires_is_gone(self):
        with Sample(name="cache") as cache, connect(cache.address) as client:
            ask(client, b"set k 0 1 1\r\nx\r\nset l 0 100 1\r\nx\r\n", b"STORED\r\n" * 2)

            def is_gone():
                client.sendall(b"get k\r\n")
                return receive_exactly(client, 5) == b"END\r\n" or not receive_exactly(client, len(shown(b"k", b"x")))
            sample.until(is_gone, "the item expires")
            ask(client, b"get l\r\n", shown(b"l", b"x") + b"END\r\n")

    def test_flags_of_memcached(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "c.sock")
            with Sample("-s", path, "-m", 8, "-I", "2k", "-c", 50, "-t", 1, "-F", "-U", 0, "-o", "idle_timeout=600", "-v",
                        listen=(), name="cache") as cache:
                self.assertEqual(cache.addresses, [f"unix:{path}"])
                self.assertEqual(talk(f"unix:{path}", b"flush_all\r\nset k 0 0 2000\r\n" + b"x" * 2000 + b"\r\n"),
                                 b"CLIENT_ERROR flush_all not allowed\r\nSTORED\r\n")
                seen = statistics(f"unix:{path}")
                self.assertEqual((seen["limit_maxbytes"], seen["max_connections"], seen["threads"]),
                                 (str(8 * MEGABYTE), "50", "1"))
        with Sample("-p", 0, listen=(), name="cache") as cache:
            self.assertRegex(cache.address, r"^127\.0\.0\.1:[1-9]")
        ended = sample.run("-m", "x", "-t", 0, name="cache")
        self.assertEqual(ended.returncode, 2)
        self.assertEqual(len(ended.stderr.splitlines()), 2, ended.stderr)
        self.assertIn("-p PORT", sample.run("--help", name="cache").stdout)
        self.assertIn("127.0.0.1:11211", sample.run("--print-config", name="cache").stdout)

    def test_it_stops_when_told_by_a_signal_or_a_client(self):
        with Sample(name="cache") as cache, connect(cache.address) as idle:
            ask(idle, b"version\r\nshutdown\r\n", b"VERSION 1.6.18-weir\r\nERROR: shutdown not enabled\r\n")
            self.assertEqual(cache.stop(signal.SIGINT), 0)
        with Sample("-A", name="cache") as cache:
            self.assertEqual(talk(cache.address, b"shutdown\r\n"), b"")
            self.assertEqual(cache.wait(), 0)

    def test_what_speaks_another_protocol_is_closed_and_nothing_of_it_is_run(self):
        body = b"flush_all\r\nset k 0 0 1\r\nx\r\n"
        with Sample(name="cache") as cache:
            for head in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n", b"Host: a\r\n",
                         b"OPTIONS * HTTP/1.0\r\n", b"\x16\x03\x01\x02\x00\x01\r\n", b"\x80\x00", b"EHLO-x\r\n"):
                with self.subTest(head), connect(cache.address) as client:
                    client.sendall(head + body)
                    try:
                        self.assertEqual(sample.receive_all(client), b"")
                    except ConnectionResetError:  # it closed before it had read all
                        pass
            # One byte is enough, without a line's end.
            with connect(cache.address) as client:
                client.sendall(b"\x80")
                self.assertEqual(sample.receive_all(client), b"")
            seen = statistics(cache.address)
            self.assertEqual((seen["cmd_set"], seen["cmd_flush"]), ("0", "0"))
            cache.wait_for_line("speaks another protocol")

    def test_only_a_right_shutdown_stops_it(self):
        with Sample("-A", name="cache") as cache:
            self.assertEqual(talk(cache.address, b"shutdown foo\r\nshutdown graceful now\r\nversion\r\n"),
                             b"CLIENT_ERROR invalid shutdown mode\r\n" * 2 + b"VERSION 1.6.18-weir\r\n")
            self.assertEqual(talk(cache.address, b"shutdown graceful\r\n"), b"")
            self.assertEqual(cache.wait(), 0)

    def test_clients_beyond_the_limit_are_closed(self):
        with Sample("-c", 2, "-t", 1, name="cache") as cache:
            with connect(cache.address) as first, connect(cache.address) as second:
                for client in (first, second):
                    ask(client, b"mn\r\n", b"MN\r\n")
                with connect(cache.address) as third:
                    self.assertEqual(sample.receive_all(third), b"")

    def test_memcached_s_command_line_starts_it_or_is_refused_with_a_reason(self):
        with Sample("-m", 64, "-u", "root", "-t", 4, "-vv", "-f", 1.25, "-n", 48, "-R", 20, "-B", "ascii", name="cache") as cache:
            self.assertEqual(talk(cache.address, b"mn\r\n"), b"MN\r\n")
        ended = sample.run("-d", "-P", "/run/memcached.pid", "-k", "-S", "-B", "binary", name="cache")
        self.assertEqual(ended.returncode, 2)
        self.assertEqual([line.split(":")[1].strip().split()[0] for line in ended.stderr.splitlines()],
                         ["-d", "-P", "-k", "-S", "-B"], ended.stderr)

    def test_many_clients_count_together(self):
        with Sample(name="cache") as cache:
            talk(cache.address, b"set n 0 0 1\r\n0\r\n")
            clients = [connect(cache.address) for _ in range(20)]
            for client in clients:
                client.sendall(b"incr n 1 noreply\r\n" * 500 + b"version\r\n")
            for client in clients:
                receive_exactly(client, len(b"VERSION 1.6.18-weir\r\n"))
                client.close()
            self.assertEqual(talk(cache.address, b"incr n 0\r\n"), b"10000\r\n")


class Libraries(unittest.TestCase):
    """Clients of other languages, where they are installed."""

    def test_pymemcache_stores_and_finds(self):
        with Sample(name="cache") as cache:
            script = """
import sys
from pymemcache.client.base import Client
client = Client((sys.argv[1], int(sys.argv[2])), default_noreply=False)
assert client.set("a", b"1", expire=100) and client.add("b", b"x") and not client.add("b", b"y")
assert client.get_many(["a", "b", "c"]) == {"a": b"1", "b": b"x"}
assert client.incr("a", 41) == 42 and client.decr("a", 2) == 40 and client.touch("a", 50)
value, version = client.gets("a")
assert client.cas("a", b"7", version) and client.cas("a", b"8", version) is False
assert client.append("a", b"1") and client.prepend("a", b"0") and client.get("a") == b"071"
assert client.delete("a") and not client.delete("a") and client.get("a") is None
assert b"rejected_connections" in client.stats() and client.version().startswith(b"1.6.18")
client.set_many({str(i): str(i) for i in range(100)})
assert len(client.get_many([str(i) for i in range(100)])) == 100
assert client.flush_all()
client.quit()
"""
            self.speak(cache, ["/usr/bin/python3", "-c", "import pymemcache"], ["/usr/bin/python3", "-c", script])

    def test_perl_s_cache_memcached_stores_and_finds(self):
        with Sample(name="cache") as cache:
            script = """
use Cache::Memcached;
my $c = Cache::Memcached->new({servers => ["$ARGV[0]:$ARGV[1]"]});
$c->set("a", 1) && $c->add("b", "x") && !$c->add("b", "y") or die "set";
$c->set("list", [1, 2, 3]) && $c->get("list")->[2] == 3 or die "frozen";
$c->incr("a", 41) == 42 && $c->decr("a", 2) == 40 or die "incr";
$c->get_multi("a", "b", "c")->{b} eq "x" or die "multi";
$c->delete("a") && !defined $c->get("a") or die "delete";
$c->stats("misc")->{hosts} or die "stats";
$c->flush_all or die "flush";
"""
            self.speak(cache, ["perl", "-MCache::Memcached", "-e", "1"], ["perl", "-we", script])

    def speak(self, cache, probe, program):
        if shutil.which(probe[0]) is None or subprocess.run(probe, capture_output=True).returncode != 0:
            self.skipTest(f"{probe[-1]} is not installed")
        done = subprocess.run([*program, *cache.address.rsplit(":", 1)], capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))


@unittest.skipUnless(shutil.which("memccapable") and shutil.which("memcaslap"), "libmemcached-tools is not installed")
class Tools(unittest.TestCase):
    def run_tool(self, *command):
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_memccapable_passes_every_test_of_the_text_protocol(self):
        with Sample(name="cache") as cache:
            said = self.run_tool("memccapable", "-h", "127.0.0.1", "-p", cache.address.rpartition(":")[2], "-a")
            self.assertIn("All tests passed", said)
            self.assertNotIn("FAIL", said)

    def test_memcaslap_finds_every_value_as_it_was_stored(self):
        with Sample("-m", 256, name="cache") as cache:
            said = self.run_tool("memcaslap", "-s", cache.address, "-T", 2, "-c", 32, "-x", 20000, "-v", "1")
            for right in ("get_misses: 0", "verify_misses: 0", "verify_failed: 0"):
                self.assertIn(right, said)


if __name__ == "__main__":
    sample.main()
