#!/usr/bin/env python3
"""The cache sample beside memcached: the same scripts, the same replies. Usage: cache_peer_test.py --build BUILD

Exits with 77 where memcached is not installed.
"""
import contextlib
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import unittest

import sample
from sample import Sample, connect

MEMCACHED = shutil.which("memcached")
SEED = int(os.environ.get("CACHE_TEST_SEED", 0))  # another one looks elsewhere
KEYS = [b"a", b"bb", b"key", b"k" * 250, b"counter", b"other"]
# Not cmd_set and cmd_flush: memcached counts those that it refuses as well. Not get_flushed: it has its own ideas of
# when it first looks at what is gone. Not cmd_get: it leaves out a meta get that ends the item's life (T-1).
COUNTERS = ("cmd_touch get_hits get_misses delete_misses delete_hits incr_misses "
            "incr_hits decr_misses decr_hits cas_misses cas_hits cas_badval touch_hits touch_misses curr_items").split()


@contextlib.contextmanager
def memcached():
    address = f"127.0.0.1:{sample.free_port()}"
    user = ["-u", "root"] if os.geteuid() == 0 else []
    # Its threads in the background hold items now and then, and a decr then pads or not.
    process = subprocess.Popen([MEMCACHED, "-l", "127.0.0.1", "-p", address.rpartition(":")[2], "-t", "1", "-c", "100",
                                "-o", "no_lru_crawler,no_lru_maintainer", *user], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        def answers():
            with contextlib.suppress(OSError), connect(address):
                return True
        sample.until(answers, "memcached listens")
        yield address
    finally:
        process.kill()
        process.wait()


def value_of(rng):
    kind = rng.randrange(10)
    if kind < 4:
        # Less than 2^63: of more, memcached reads the sign beyond the item's end.
        return b"%d" % rng.choice([0, 1, 9, 10, 99, 1 << 32, (1 << 62) - 1, rng.randrange(1 << 62)])
    if kind < 8:
        return rng.randbytes(rng.randrange(200))
    return rng.choice([b"", b" 12", b"12 ", b"-1", b"1x", b"v" * 5000, b"w" * 20000, b"\r\nx", b"END\r\n"])


def request(rng, versions):
    key = rng.choice(KEYS)
    quiet = rng.choice([b"", b"", b"", b" noreply"])
    what = rng.randrange(16)
    if what < 5:
        value = value_of(rng)
        name = rng.choice([b"set", b"set", b"add", b"replace", b"append", b"prepend"])
        time = rng.choice([b"0", b"0", b"100", b"-1", b"2592001"])
        size = len(value) + rng.choice([0] * 30 + [1, -1]) if len(value) > 1 else len(value)
        return b"%s %s %d %s %d%s\r\n%s\r\n" % (name, key, rng.choice([0, 7, 4294967295]), time, size, quiet, value)
    if what == 5:
        return b"cas %s 0 0 3 %d%s\r\nnew\r\n" % (key, versions.get(key, 10**15) + rng.choice([0, 0, 1]), quiet)
    if what < 9:
        return b"%s %s\r\n" % (b"get", b" ".join(rng.choices(KEYS, k=rng.randrange(1, 5))))
    if what == 9:
        return b"%s %s %s\r\n" % (b"gat", rng.choice([b"0", b"100", b"-1"]), key)
    if what < 12:
        return b"%s %s %d%s\r\n" % (rng.choice([b"incr", b"decr"]), key, rng.choice([0, 1, 7, 1 << 40]), quiet)
    if what == 12:
        return b"delete %s%s\r\n" % (key, quiet)
    if what == 13:
        return b"touch %s %s%s\r\n" % (key, rng.choice([b"0", b"50", b"-1"]), quiet)
    if what == 14 and rng.random() < .7:
        return meta(rng, versions)
    if what == 14:
        return rng.choice([b"flush_all%s\r\n" % quiet, b"verbosity 1\r\n", b"get %s\n" % key])
    return rng.choice([b"\r\n", b"foo\r\n", b"get\r\n", b"get %s\r\n" % (b"x" * 251), b"incr a\r\n", b"incr a b\r\n", b"delete a 5\r\n", b"delete a 0\r\n",
                       b"touch a\r\n", b"touch a b\r\n", b"gat x a\r\n", b"flush_all x\r\n", b"shutdown\r\n",
                       b"verbosity\r\n", b"stats nonsense\r\n", b"  get  a  \r\n", b"verbosity x\r\n", b"delete noreply\r\n",
                       b"decr counter 1 2 3\r\n", b"GET a\r\n", b"shutdown foo\r\n", b"mg\r\n",
                       b"me\r\n", b"mx a\r\n", b"m\r\n", b"mn a b\r\n", b"md %s\r\n" % (b"x" * 251)])


def meta(rng, versions):
    """A meta command with any flags. Never `c`, `s` of `me` or what else is a number of the server's own; only one time
    per request, or the order in which memcached applies them would be compared with ours."""
    name = rng.choice([b"mg", b"mg", b"mg", b"ms", b"ms", b"md", b"ma", b"ma"])
    key = rng.choice(KEYS + [b"enp6", b"YQ==", b"!", b"abc"])
    flags = [b"k", b"q", b"v", b"t", b"f", b"s", b"h", b"O1", b"u", b"I", b"N90", b"T80", b"R30", b"R100", b"T-1", b"z", b"x",
             b"P", b"L", b"F5", b"F4294967301", b"Fx", b"Tx", b"T", b"O" + b"9" * 40, b"D3", b"D-1", b"J7", b"Jx", b"MI", b"MD",
             b"M+", b"M-", b"MS", b"MA", b"MP", b"ME", b"MR", b"Mx", b"M", b"MAA", b"C%d" % versions.get(key, 10**15), b"C1"]
    chosen = rng.sample(flags, rng.choice([0, 1, 1, 2, 2, 3, 3, 4, 5, 20]))
    # `N` with a mode of `ms` is of a later version; `v` of a key that is not there shows what was made.
    if name in (b"mg", b"ma"):  # what it would find missing is counted before memcached looks at all flags
        chosen = [flag for flag in chosen if len(flag) < 40]
    if key in (b"enp6", b"YQ==", b"!", b"abc"):
        chosen.append(b"b")
    words = [name, key]
    if name == b"ms":
        value = value_of(rng)
        size = len(value)
        return b" ".join([*words, b"%d" % size, *chosen[:15]]) + b"\r\n" + value + b"\r\n"
    return b" ".join([*words, *chosen]) + b"\r\n"


# What 1.6.18 does with numbers at the edges; each is sent with a value where it needs one.
EDGES = [b"set a %s 0 1\r\nx\r\nget a\r\n" % flags for flags in (
    b"4294967295", b"4294967296", b"18446744073709551615", b"+1", b"01", b"-18446744073709551615", b"\t7", b"7\t")] + [
    b"set a 0 %s 1\r\nx\r\nget a\r\n" % time for time in (
        b"2147483647", b"2147483648", b"-2147483648", b"-2147483649", b"4294967296", b"4294967297", b"9223372036854775807",
        b"1000000000", b"2592000", b"2592001", b"+5", b"-0", b"-1")] + [
    b"set a 0 0 %s\r\nx\r\nget a\r\n" % size for size in (b"+1", b"01", b"4294967297", b"1\t", b"-4294967295")] + [
    b"set a 0 0 1\r\nx\r\ntouch a %s\r\nget a\r\ngat %s a\r\nget a\r\n" % (time, time) for time in (
        b"2147483647", b"2147483648", b"-1", b"9223372036854775807", b"9223372036854775808", b"1.5", b"1x", b"+5", b"")] + [
    b"set n 0 0 1\r\n5\r\nincr n %s\r\ndecr n %s\r\n" % (delta, delta) for delta in (
        b"18446744073709551615", b"18446744073709551616", b"-1", b"-18446744073709551615", b"+1", b"01", b"1\t")] + [
    b"set n 0 0 %d\r\n%s\r\nincr n 1\r\ndecr n 1\r\n" % (len(number), number) for number in (
        b"18446744073709551615", b"118446744073709551615", b"4294967295", b"9223372036854775807")] + [
    b"flush_all %s\r\n" % time for time in (b"2147483648", b"4294967295", b"-1", b"+1", b"9223372036854775808")] + [
    b"set noreply 0 0 1\r\nx\r\ndelete noreply\r\nget noreply\r\n", b"delete noreply noreply\r\n", b"touch noreply 5\r\n",
    b"verbosity noreply\r\n", b"gat 0\r\n", b"set a 0 0 1 x\r\ny\r\n", b"touch a 1 2\r\n", b"quitter\r\n", b"mn\r\nmn x\r\n"]
# Lines that are refused, with a value behind them that looks like a command; True: how much of it is known.
REFUSED = [(b"set a b 0 9", True), (b"set a 0 b 9", True), (b"set %s 0 0 9" % (b"x" * 251), True), (b"cas a 0 0 9 x", True),
           (b"add a -1 0 9", True), (b"replace a 0 9223372036854775808 9", True), (b"ms a 9 z", True), (b"ms a 9 T1 T1", True),
           (b"ms a 9 Mx", True), (b"ms %s 9" % (b"x" * 251), True), (b"set a 0 0 x", False), (b"set a 0 0 -1", False),
           (b"set a 0 0", False), (b"set a b c 0 0 9 x", False), (b"set a 0 0 2147483646", False), (b"ms a x", False),
           (b"ms a", False), (b"ms", False), (b"append a 0 0 9 9 9 9", False)]


class Peer:
    """A connection whose replies are read until that to a last question of its own."""

    def __init__(self, address):
        self.client = connect(address)

    def ask(self, text):
        self.client.sendall(text + b"verbosity 1 2 3\r\nmark\r\nget mark-at-the-end\r\n")
        end = b"ERROR\r\nERROR\r\nEND\r\n"
        got = b""
        while not got.endswith(end):
            more = self.client.recv(1 << 20)
            if not more:
                raise AssertionError(f"closed after {text[:200]}: {got[-200:]}")
            got += more
        return got[:-len(end)]

    def versions(self):
        seen = self.ask(b"gets " + b" ".join(KEYS) + b"\r\n")
        return {key: int(version) for key, version in re.findall(rb"VALUE (\S+) \d+ \d+ (\d+)\r\n", seen)}


@unittest.skipUnless(MEMCACHED, "memcached is not installed")
class SameReplies(unittest.TestCase):
    def test_random_scripts_give_the_same_replies_and_counts(self):
        with memcached() as theirs, Sample("-t", 1, name="cache") as ours:
            peers = Peer(theirs), Peer(ours.address)
            for seed in range(SEED, SEED + 40):
                rng = random.Random(seed)
                for _ in range(60):
                    seen = [peer.versions() for peer in peers] if rng.random() < .2 else [{}, {}]
                    self.assertEqual(seen[0].keys(), seen[1].keys())
                    state = rng.getstate()
                    asked = []
                    for versions in seen:
                        rng.setstate(state)
                        asked.append(request(rng, versions))
                    replies = [peer.ask(text) for peer, text in zip(peers, asked)]
                    self.assertEqual(replies[0], replies[1], f"seed {seed}: {asked[0][:300]}")
            for peer in peers:  # what has expired is looked at
                peer.ask(b"get %s\r\n" % b" ".join([*KEYS, b"zzz", b"a", b"abc"]))
            counts = [dict(re.findall(r"STAT (\S+) (\S+)", peer.ask(b"stats\r\n").decode())) for peer in peers]
            self.assertEqual([], [(name, counts[0][name], counts[1][name]) for name in COUNTERS
                                  if counts[0][name] != counts[1][name]])

    def test_numbers_at_the_edges_of_31_and_32_bits_have_the_same_replies(self):
        with memcached() as theirs, Sample("-t", 1, name="cache") as ours:
            peers = Peer(theirs), Peer(ours.address)
            for text in EDGES:
                replies = [peer.ask(b"flush_all\r\n" + text) for peer in peers]
                self.assertEqual(replies[0], replies[1], text)

    def test_a_refused_line_says_the_same_and_nothing_behind_it_is_run(self):
        with memcached() as theirs, Sample("-t", 1, name="cache") as ours:
            for line, size_is_known in REFUSED:
                with self.subTest(line):
                    expected = Peer(theirs).ask(line + b"\r\n").partition(b"\r\n")[0]
                    with connect(ours.address) as client:
                        client.sendall(line + b"\r\nflush_all\r\nversion\r\n")
                        if size_is_known:
                            client.sendall(b"quit\r\n")
                        said = sample.receive_all(client)
                    after = b"VERSION 1.6.18-weir\r\n" if size_is_known else b""
                    self.assertEqual(said, expected + b"\r\n" + after)
            self.assertIn(b"STAT cmd_flush 0\r\n", Peer(ours.address).ask(b"stats\r\n"))

    def test_statistics_have_every_name_that_memcached_s_have(self):
        """But for those of libevent, of its buffers, of slabs and extstore, which it has no counterpart of."""
        absent = re.compile(r"libevent|response_obj_(count|bytes)|read_buf_(count|bytes)|reserved_fds|unexpected_napi_ids"
                            r"|round_robin_fallback|^items:\d+:|^\d+:|^(tcpport|inter|oldest|umask|growth_factor|chunk_size"
                            r"|num_threads_per_udp|stat_key_prefix|reqs_per_event|tcp_backlog|hashpower_init|slab_|lru_|temp"
                            r"|idle_timeout|watcher_|worker_|read_buf_mem|track_sizes|inline_ascii|ext_|ssl_|num_napi|memory_file"
                            r"|hot_|warm_)")
        with memcached() as theirs, Sample("-t", 1, name="cache") as ours:
            for what in (b"", b" items", b" slabs", b" settings"):
                names = []
                for address in (theirs, ours.address):
                    text = Peer(address).ask(b"set a 0 0 1\r\nx\r\nget a\r\nstats%s\r\n" % what).decode()
                    names.append({re.sub(r"^(items:)?\d+:", r"\1:", line) for line in re.findall(r"STAT (\S+) ", text)})
                missing = {name for name in names[0] - names[1] if not absent.search(name)}
                self.assertEqual(missing, set(), what)

    def test_a_meta_debug_shows_what_there_is(self):
        mask = lambda text: re.sub(rb"(cas|size|cls|la)=\d+", rb"\1=N", text)
        with memcached() as theirs, Sample("-t", 1, name="cache") as ours:
            peers = Peer(theirs), Peer(ours.address)
            for text in (b"me a\r\n", b"ms a 1 T90\r\nx\r\nme a\r\nmg a\r\nme a\r\n", b"ms YWI= 1 b\r\nx\r\nme YWI= b\r\nme ab\r\n",
                         b"me %s\r\n" % (b"x" * 251), b"me\r\n", b"ms v 1 c\r\nx\r\n", b"mg v c\r\n"):
                replies = [re.sub(rb" c\d+", b" cN", mask(peer.ask(text))) for peer in peers]
                self.assertEqual(replies[0], replies[1], text)


if __name__ == "__main__":
    if not MEMCACHED:
        sys.exit(77)
    sample.main()
