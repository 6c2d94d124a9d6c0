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
KEYS = [b"a", b"bb", b"key", b"k" * 250, b"counter", b"other"]
# Not cmd_set and cmd_flush: memcached counts those that it refuses as well. Not get_flushed: it has its own ideas of
# when it first looks at what is gone.
COUNTERS = ("cmd_get cmd_touch get_hits get_misses delete_misses delete_hits incr_misses "
            "incr_hits decr_misses decr_hits cas_misses cas_hits cas_badval touch_hits touch_misses curr_items").split()


@contextlib.contextmanager
def memcached():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
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
        return b"%d" % rng.choice([0, 1, 9, 10, 99, 1 << 32, (1 << 64) - 1, rng.randrange(1 << 64)])
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
        return b"%s %s %d%s\r\n" % (rng.choice([b"incr", b"decr"]), key, rng.choice([0, 1, 7, 1 << 63]), quiet)
    if what == 12:
        return b"delete %s%s\r\n" % (key, quiet)
    if what == 13:
        return b"touch %s %s%s\r\n" % (key, rng.choice([b"0", b"50", b"-1"]), quiet)
    if what == 14:
        return rng.choice([b"flush_all%s\r\n" % quiet, b"verbosity 1\r\n", b"get %s\n" % key])
    return rng.choice([b"\r\n", b"foo\r\n", b"get\r\n", b"get %s\r\n" % (b"x" * 251), b"set a 0 0\r\n", b"set a b 0 1\r\n",
                       b"set a 0 0 -1\r\n", b"incr a\r\n", b"incr a b\r\n", b"delete a 5\r\n", b"delete a 0\r\n",
                       b"touch a\r\n", b"touch a b\r\n", b"gat x a\r\n", b"flush_all x\r\n", b"shutdown\r\n",
                       b"verbosity\r\n", b"stats nonsense\r\n", b"set %s 0 0 1\r\n" % (b"x" * 251), b"  get  a  \r\n",
                       b"decr counter 1 2 3\r\n", b"cas a 0 0 1 x\r\n", b"GET a\r\n"])


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
            for seed in range(40):
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
            counts = [dict(re.findall(r"STAT (\S+) (\S+)", peer.ask(b"stats\r\n").decode())) for peer in peers]
            self.assertEqual([], [(name, counts[0][name], counts[1][name]) for name in COUNTERS
                                  if counts[0][name] != counts[1][name]])


if __name__ == "__main__":
    if not MEMCACHED:
        sys.exit(77)
    sample.main()
