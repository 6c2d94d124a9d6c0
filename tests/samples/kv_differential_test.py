#!/usr/bin/env python3
"""The kv sample answers as redis-server does. Usage: kv_differential_test.py --build BUILD"""
import contextlib
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import sample
from resp import Client, Error, Typed, request
from sample import Sample, connect

# Another seed, and more rounds, look further: KV_TEST_SEED=$RANDOM KV_TEST_ROUNDS=2000.
SEED = int(os.environ.get("KV_TEST_SEED", 1))
ROUNDS = int(os.environ.get("KV_TEST_ROUNDS", 60))
FAR = 4102444800  # 2100: no deadline in a script passes while it runs

# Every command that is compared, with what a sensible call of it looks like.
CALLS = """
GET k | SET k v | SET k v setoptions | SET k v setoptions setoptions | SETNX k v | SETEX k secs v | PSETEX k msecs v
GETSET k v | GETDEL k | GETEX k | GETEX k getexoptions | GETEX k getexoptions getexoptions
MGET k k k | MSET k v k v | MSETNX k v k v | MSETNX k v | MSET k v k
APPEND k v | STRLEN k | SETRANGE k pos v | GETRANGE k n n | SUBSTR k n n
INCR k | DECR k | INCRBY k n | DECRBY k n | INCRBYFLOAT k f | INCR c | INCRBY c n | DECRBY c n | INCRBYFLOAT c f
SETBIT k bitpos bit | GETBIT k bitpos | BITCOUNT k | BITCOUNT k n n | BITCOUNT k n n unit
BITPOS k bit | BITPOS k bit n | BITPOS k bit n n | BITPOS k bit n n unit
BITOP bitop k k | BITOP bitop k k k | BITOP bitop k k k k
DEL k | DEL k k | UNLINK k k | EXISTS k k k | TOUCH k k | TYPE k
RENAME k k | RENAMENX k k | COPY k k | COPY k k copyoption | COPY k k copyoption copyoption
EXPIRE k secs | EXPIRE k secs condition | EXPIRE k secs condition condition | PEXPIRE k msecs
PEXPIRE k msecs condition | EXPIREAT k when | EXPIREAT k when condition | PEXPIREAT k pwhen
PEXPIREAT k pwhen condition | PEXPIREAT k pwhen condition
TTL k | PTTL k | EXPIRETIME k | PEXPIRETIME k | PERSIST k
KEYS pattern | KEYS * | SCAN 0 COUNT 1000 | SCAN 0 COUNT 1000 MATCH pattern | SCAN 0 COUNT 1000 TYPE string
SCAN 0 TYPE list COUNT 1000 | SCAN n | SCAN 0 COUNT n | SCAN 0 scanoption
MEMORY USAGE none | COMMAND GETKEYS GET k | COMMAND GETKEYS MSET k v k v | COMMAND GETKEYS NOSUCH k | COMMAND GETKEYS BITOP and k k
COMMAND INFO nosuch | ROLE | CLUSTER INFO | CLUSTER SLOTS | READONLY | ASKING | SLOWLOG LEN | SLOWLOG GET
LATENCY LATEST | MODULE LIST | ACL WHOAMI | PUBLISH c v | PUBSUB CHANNELS | PUBSUB NUMSUB c c | PUBSUB NUMPAT
CLIENT GETREDIR | CLIENT NO-EVICT onoff | CLIENT KILL 1.1.1.1:1 | CLIENT KILL ID 999999 | CLIENT KILL TYPE pubsub
CLIENT KILL killoption killoption | CLIENT LIST TYPE pubsub | CLIENT LIST listoption | CLIENT KILL SKIPME v
CONFIG SET maxmemory size | CONFIG GET maxmemory | CONFIG SET maxmemory 0 maxmemory 0 | CONFIG SET timeout 0
CONFIG GET timeout | CONFIG GET requirepass | CONFIG GET databases | CONFIG REWRITE | CONFIG SET maxmemory 0
AUTH v | AUTH default v | AUTH someone v | INFO nosuch
PING | PING v | ECHO v | SELECT 0 | SELECT n | CLIENT GETNAME | CLIENT SETNAME v
OBJECT ENCODING e | SET e v | FLUSHALL x
"""
NAMES = sorted({call.split()[0] for line in CALLS.strip().splitlines() for call in line.split("|")} - {"COMMAND", "INFO", "WAIT"})


class Writer:
    """Draws requests."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def one_of(self, *choices):
        return self.random.choice(choices)

    def number(self):
        r = self.random
        return self.one_of(0, 1, -1, 7, r.randrange(-20, 60), r.randrange(-20, 60), r.randrange(-(1 << 40), 1 << 40),
                           (1 << 63) - 1, -(1 << 63), 1 << 63, 10 ** 20, "", "x", "01", "+1", " 1", "1 ", "1.5", "-0",
                           "-")

    def value(self):
        r = self.random
        return self.one_of("", "a", "hello world", r.randrange(100), r.randrange(-5, 5), self.number(), self.real(),
                           r.randbytes(r.randrange(24)), r.randbytes(r.randrange(300)), b"\xff" * r.randrange(8),
                           b"\0" * r.randrange(20), "x" * r.randrange(200))

    def real(self):
        r = self.random
        return self.one_of("0", "1.5", "-3.25", "1e3", "5.0e-2", "inf", "-inf", "nan", "abc", " 1", "1 ", "0x10",
                           "1e4932", "1e5000", "", "3.00000000000000000", "1e-300", "-0", f"{r.uniform(-1000, 1000):.6f}",
                           str(r.randrange(-1000, 1000)))

    def time(self, unit, start):
        """No two are equal: which of two deadlines is later must not depend on how fast a server was."""
        r = self.random
        return self.one_of(r.randrange(1000, 10 ** 9) * unit + start, r.randrange(1000, 10 ** 9) * unit + start, 0, -1,
                           "x", (1 << 63) - 1, r.randrange(1 << 61, 1 << 62), -(1 << 62), 1 << 63)

    def timed(self):
        return self.one_of(("EX", self.time(1, 0)), ("PX", self.time(1000, 0)), ("EXAT", self.time(1, FAR)),
                           ("PXAT", self.time(1000, FAR * 1000)), ("EX",))

    def words_for(self, kind):
        r = self.random
        if kind in ("k", "c", "e"):
            return [f"{kind}{r.randrange(8)}"]
        if kind == "v":
            return [self.value()]
        if kind == "n":
            return [self.number()]
        if kind == "f":
            return [self.real()]
        if kind == "pos":
            return [self.one_of(0, 1, 5, 40, 300, -1, 1 << 29, 1 << 62, "x", self.number())]
        if kind == "bitpos":
            return [self.one_of(0, 1, 7, 8, 100, 1000, 5000, -1, 1 << 32, 1 << 62, "x", 999)]
        if kind == "bit":
            return [self.one_of(0, 1, 0, 1, 0, 1, 2, -1, "x")]
        if kind == "unit":
            return [self.one_of("BIT", "BYTE", "bit", "byte", "x")]
        if kind == "bitop":
            return [self.one_of("AND", "OR", "XOR", "NOT", "and", "not", "NAND")]
        if kind == "secs":
            return [self.time(1, 0)]
        if kind == "msecs":
            return [self.time(1000, 0)]
        if kind == "when":
            return [self.time(1, FAR)]
        if kind == "pwhen":
            return [self.time(1000, FAR * 1000)]
        if kind == "setoptions":
            return self.one_of(("NX",), ("XX",), ("GET",), ("KEEPTTL",), ("nx",), ("x",), self.timed(), self.timed())
        if kind == "getexoptions":
            return self.one_of(("PERSIST",), ("NX",), ("persist",), self.timed(), self.timed())
        if kind == "condition":
            return [self.one_of("NX", "XX", "GT", "LT", "gt", "x")]
        if kind == "onoff":
            return [self.one_of("on", "OFF", "x")]
        if kind == "size":  # never less than what the keys take
            return [self.one_of("100mb", "1GB", "64M", "99999k", "200000kb", "999999999b", "0", "x", "-1", "1x", "1.5mb", "1 mb")]
        if kind == "killoption":
            return self.one_of(("ID", "x"), ("ID", 0), ("TYPE", "x"), ("TYPE", "replica"), ("ADDR", "1.1.1.1:1"), ("USER", "x"),
                               ("SKIPME", "yes"), ("SKIPME", "x"), ("x",), ("LADDR", "1.1.1.1:1"))
        if kind == "listoption":
            return self.one_of(("TYPE", "x"), ("ID", 999999), ("ID", "x"), ("x",), ("TYPE", "master"), ("ID",))
        if kind == "copyoption":
            return self.one_of(("REPLACE",), ("replace",), ("DB", 0), ("DB", "x"), ("DB",), ("x",))
        if kind == "scanoption":
            return self.one_of(("COUNT",), ("COUNT", 0), ("COUNT", "x"), ("MATCH",), ("x", "y"), ("TYPE",))
        if kind == "pattern":
            return [self.one_of("*", "k*", "k?", "*1", "[kc]1", "[^k]*", "k[2-5]", "k[5-2]", "\\k1", "k[", "k[1", "",
                                "k\\", "**", "*k*1*", "k[\\]1]", "?[^1-3]")]
        return [kind]

    def sensible(self):
        call = self.random.choice(self.one_of(*CALLS.strip().splitlines()).split("|")).split()
        name = self.one_of(call[0], call[0].lower(), call[0].capitalize())
        return [name] + [word for kind in call[1:] for word in self.words_for(kind)]

    def any(self):
        """Mostly sensible; else a command with any number of words, or an unknown one."""
        dice = self.random.random()
        if dice < 0.9:
            return self.sensible()
        unknown = self.one_of("NOSUCH", "get\r\nset", "x" * 200, "", "no\0such")
        name = self.random.choice(NAMES) if dice < 0.98 else unknown
        return [name] + [self.value() for _ in range(self.random.randrange(7))]


def comparable(words, reply):
    """What of a reply must be the same."""
    name = str(words[0]).upper()
    if isinstance(reply, Error):
        return reply
    if name == "KEYS":  # redis-server has no pattern but * that an empty key matches, not even **
        return sorted(filter(None, reply))
    if name == "SCAN":  # cursors and parts are each server's own; a scan in one step is not
        return [reply[0], sorted(filter(None, reply[1]))] if words[1] == "0" and "1000" in words else type(reply)
    return reply


def same(words, ours, theirs):
    name = str(words[0]).upper()
    if name in ("TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME") and isinstance(ours, int) and isinstance(theirs, int):
        # Both set it at a moment of their own. What is left of it, and what was left out, must not differ.
        return ours == theirs if min(ours, theirs) < 0 else abs(ours - theirs) <= (10_000 if name[0] == "P" else 10)
    return comparable(words, ours) == comparable(words, theirs)


# What changes how a connection goes on, among commands that tell how it does.
STATEFUL = """
MULTI | MULTI | EXEC | EXEC | EXEC | DISCARD | WATCH k | WATCH k k | UNWATCH | RESET | HELLO 2 | HELLO 3 | HELLO 3
HELLO | HELLO 4 | HELLO 3 AUTH default x | HELLO 2 AUTH someone x | HELLO 3 SETNAME me | HELLO 3 x | HELLO x
SUBSCRIBE c | SUBSCRIBE c c | PSUBSCRIBE c* | PSUBSCRIBE * | UNSUBSCRIBE c | UNSUBSCRIBE | PUNSUBSCRIBE | PUNSUBSCRIBE c*
UNSUBSCRIBE | PUNSUBSCRIBE | PUBLISH c v | PUBLISH c v | PUBSUB CHANNELS | PUBSUB NUMSUB c | PUBSUB NUMPAT
CLIENT REPLY x | CLIENT GETNAME | SELECT 1
AUTH x | AUTH default x | AUTH secret | AUTH default other
GET k | GET k | SET k v | SET k v | MGET k k | DEL k | INCR k | EXPIRE k 1000 | EXPIRE k -1 | FLUSHALL | RENAME k k
CONFIG GET maxmemory | CONFIG GET databases | RANDOMKEY x | GET | NOSUCH | SCAN 0 COUNT 1000 | INCRBYFLOAT k f | PING | PING v | ECHO v
INFO keyspacex | COMMAND GETKEYS GET k | SETEX k 1000 v | GETSET k v
"""


class Redis:
    """redis-server without files, on a socket of its own."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        path = os.path.join(self.folder.name, "redis.sock")
        self.process = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", path, "--save", "",
                                         "--databases", "1", "--slowlog-log-slower-than", "-1", "--dir", self.folder.name], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL)
        self.address = "unix:" + path
        sample.until(self._listens, "redis-server does not listen")

    def _listens(self):
        try:
            connect(self.address).close()
            return True
        except (FileNotFoundError, ConnectionRefusedError):
            return False

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()


class Differential(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.redis = Redis()
        cls.kv = Sample(name="kv")

    @classmethod
    def tearDownClass(cls):
        cls.redis.stop()
        cls.kv.__exit__(None)

    def both(self):
        return Client(connect(self.kv.address)), Client(connect(self.redis.address))

    def compare(self, ours, theirs, script, what):
        for i, (words, a, b) in enumerate(zip(script, ours.ask_all(script), theirs.ask_all(script))):
            if not same(words, a, b):
                trail = "\n".join(f"  {w!r}" for w in script[max(0, i - 12):i + 1])
                self.fail(f"{what}, request {i}: {words!r}\nkv:    {a!r}\nredis: {b!r}\nafter\n{trail}")

    def test_random_scripts_have_the_same_answers(self):
        sample.figure(f"seed {SEED}, {ROUNDS} rounds")
        ours, theirs = self.both()
        with ours, theirs:
            for number in range(ROUNDS):
                writer = Writer(SEED + number)
                script = [["FLUSHALL"]] + [writer.any() for _ in range(250)]
                # What is left, all of it.
                script += [["KEYS", "*"]] + [[name, f"{kind}{i}"] for kind in "kce" for i in range(8)
                                             for name in ("GET", "TTL")]
                self.compare(ours, theirs, script, f"round {number} of seed {SEED}")

    def stateful(self, seed):
        """A script that changes how its connection goes on, and puts that back at its end."""
        writer = Writer(seed)
        lines = [call.split() for line in STATEFUL.strip().splitlines() for call in line.split("|")]
        script = [["FLUSHALL"]]
        for _ in range(60):
            call = writer.random.choice(lines)
            script.append([call[0]] + [word for kind in call[1:] for word in writer.words_for(kind)])
        return script + [["RESET"], ["ECHO", "the end"]]

    def replies(self, client, script):
        client.send(b"".join(request(*words) for words in script))
        out = []
        while not out or out[-1] != b"the end":
            out.append(client.reply())
        return out

    def test_random_scripts_of_transactions_and_subscriptions_have_the_same_answers(self):
        def told(reply):
            if isinstance(reply, Typed):
                return Typed(reply[0], told(reply[1]))
            if isinstance(reply, Error):  # redis-server names the subcommand too
                return Error(re.sub(r"execute '(\w+)\|[\w-]+'", r"execute '\1'", reply))
            if not isinstance(reply, list):
                return reply
            if b"proto" in reply:  # of HELLO: the rest is each server's own
                return [b"hello", reply[reply.index(b"proto") + 1]]
            if reply and reply[0] in (b"unsubscribe", b"punsubscribe", b"pmessage"):
                # In which order all are ended, and several patterns match, is each server's own.
                return [reply[0], reply[1] is None, *reply[2:]]
            if all(isinstance(each, bytes) and each[:1] in b"kc" for each in reply):
                return sorted(reply)  # of SCAN and PUBSUB CHANNELS
            return [told(each) for each in reply]

        for number in range(ROUNDS * 4):
            ours, theirs = self.both()
            with ours, theirs:
                script = self.stateful(SEED + number)
                answers = [told(self.replies(client, script)) for client in (ours, theirs)]
                self.assertEqual(answers[0], answers[1], f"round {number} of seed {SEED}: {script}")

    def test_a_transaction_is_of_what_nobody_else_has_changed(self):
        for change in (["SET", "w", 2], ["DEL", "w"], ["EXPIRE", "w", 100], ["PEXPIRE", "w", 1], ["RENAME", "other", "w"], ["FLUSHALL"],
                       ["GET", "w"], ["SET", "other", 1], ["PERSIST", "w"], ["APPEND", "w", ""], ["SETRANGE", "w", 0, ""],
                       ["INCR", "w"], ["COPY", "other", "w"], ["COPY", "other", "w", "REPLACE"], ["GETEX", "w", "PERSIST"],
                       ["MULTI"], ["SETNX", "w", 1], ["SETBIT", "w", 0, 0], ["GETDEL", "w"], ["TOUCH", "w"], ["BITOP", "NOT", "w", "no"]):
            with self.subTest(change):
                answers = []
                for server in (self.kv, self.redis):
                    with Client(connect(server.address)) as one, Client(connect(server.address)) as other:
                        one.ask_all([["FLUSHALL"], ["SET", "w", 1], ["SET", "other", 5], ["WATCH", "w"]])
                        other.ask(*change)
                        if change[0] == "PEXPIRE":  # 5 ms later than the deadline, by the server's clock
                            end = int(other.ask("TIME")[1]) + 5000
                            sample.until(lambda: not 0 <= end - int(other.ask("TIME")[1]) < 500_000, "time stands still")
                        answers.append(one.ask_all([["MULTI"], ["SET", "w", 3], ["EXEC"], ["GET", "w"]]))
                self.assertEqual(answers[0], answers[1])

    def test_passwords_are_asked_for_alike(self):
        script = [["CONFIG", "SET", "requirepass", "secret"], ["PING"], ["RESET"], ["PING"], ["HELLO"], ["HELLO", 3], ["AUTH", "wrong"],
                  ["GET"], ["NOSUCH", "x"], ["MULTI"], ["EXEC"], ["EXEC", "x"], ["SUBSCRIBE", "c"], ["HELLO", 3, "AUTH", "default", "wrong"],
                  ["HELLO", 4], ["AUTH", "default", "secret"], ["CONFIG", "GET", "requirepass"], ["PING"], ["MULTI"], ["RESET"], ["PING"],
                  ["AUTH", "secret", "x"], ["AUTH", "a", "b", "c"], ["AUTH", "secret"], ["MULTI"], ["AUTH", "wrong"], ["EXEC"],
                  ["CONFIG", "SET", "requirepass", ""], ["RESET"], ["PING"]]
        ours, theirs = self.both()
        with ours, theirs:
            for words in script:
                self.assertEqual(ours.ask(*words), theirs.ask(*words), words)

    def test_answers_can_be_switched_off(self):
        ours, theirs = self.both()
        with ours, theirs:
            script = [["CLIENT", "REPLY", "OFF"], ["PING"], ["NOSUCH"], ["CLIENT", "REPLY", "SKIP"], ["GET"], ["SUBSCRIBE", "c"],
                      ["PING"], ["UNSUBSCRIBE"], ["CLIENT", "REPLY", "ON"], ["CLIENT", "REPLY", "SKIP"], ["PING"], ["PING", "x"],
                      ["CLIENT", "REPLY", "OFF"], ["RESET"], ["CLIENT", "REPLY", "x"], ["CLIENT", "REPLY"], ["ECHO", "the end"]]
            answers = [self.replies(client, script) for client in (ours, theirs)]
            self.assertEqual(answers[0], answers[1])

    def test_messages_reach_every_subscriber_in_both_versions_of_the_protocol(self):
        heard = []
        for server in (self.kv, self.redis):
            with contextlib.ExitStack() as stack:
                clients = [stack.enter_context(Client(connect(server.address))) for _ in range(4)]
                says, second, third, by_pattern = clients
                third.ask("HELLO", 3)
                got = [second.ask("SUBSCRIBE", "news"), third.ask("SUBSCRIBE", "news"), by_pattern.ask("PSUBSCRIBE", "n?ws")]
                got += [says.ask("PUBLISH", "news", i) for i in range(3)] + [says.ask("PUBLISH", "olds", "x")]
                got += [client.reply() for client in clients[1:] for _ in range(3)]
                got += [second.ask("UNSUBSCRIBE", "news"), says.ask("PUBLISH", "news", "last"), third.reply(), by_pattern.reply(),
                        second.ask("GET", "x"), third.ask("GET", "x"), by_pattern.ask("GET", "x"), by_pattern.ask("RESET"),
                        says.ask("PUBSUB", "NUMSUB", "news"), says.ask("PUBSUB", "NUMPAT")]
                heard.append(got)
        self.assertEqual(heard[0], heard[1])

    def test_what_client_libraries_parse_has_the_same_fields(self):
        def fields(text):
            return [field.partition("=")[0] for field in text.decode().split()]

        ours, theirs = self.both()
        with ours, theirs:
            for what in (["CLIENT", "INFO"], ["CLIENT", "LIST"]):
                missing = set(fields(theirs.ask(*what))) - set(fields(ours.ask(*what)))
                self.assertEqual(missing, set(), what)
            for name in ("timeout", "maxclients", "bind", "port", "requirepass", "databases", "save", "appendonly"):
                self.assertEqual([client.ask("CONFIG", "GET", name)[0] for client in (ours, theirs)], [name.encode()] * 2)
            info = ours.ask("INFO", "everything").decode()
            for name in ("used_cpu_sys", "used_cpu_user", "tcp_port", "cmdstat_config", "redis_mode", "os", "run_id", "maxclients"):
                self.assertRegex(info, rf"(?m)^{name}:")

    def test_every_command_with_every_number_of_words(self):
        ours, theirs = self.both()
        script = [[name] + ["100000"] * count for name in NAMES for count in range(7)]
        with ours, theirs:
            self.compare(ours, theirs, [["FLUSHALL"]] + script, "words")

    def test_a_full_scan_gives_the_same_keys(self):
        ours, theirs = self.both()
        with ours, theirs:
            for client in (ours, theirs):
                client.ask("FLUSHALL")
                client.ask_all([["SET", f"key:{i}", i] for i in range(3000)])
            for options in ([], ["COUNT", 100], ["MATCH", "key:1*"], ["MATCH", "key:?7", "COUNT", 7]):
                found = []
                for client in (ours, theirs):
                    keys, cursor = [], b"0"
                    while True:
                        cursor, part = client.ask("SCAN", cursor, *options)
                        keys += part
                        if cursor == b"0":
                            break
                    found.append(sorted(set(keys)))
                self.assertEqual(found[0], found[1])

    def test_breaches_of_the_protocol_have_the_same_answers_and_end(self):
        breaches = [b"*1\r\n$4\r\nPING\r\n*1x\r\n", b"*99999999999999\r\n", b"*-5\r\n*1\r\n$4\r\nPING\r\nQUIT\r\n",
                    b"*0\r\n\r\n   \r\nPING\r\nquit\r\n", b"*2\r\n$3\r\nGET\r\n:1\r\n", b"*1\r\n$-1\r\n",
                    b"*1\r\n$x\r\n", b"*1\r\n$536870913\r\n", b"*1\r\n$99999999999999999999\r\n", b"*1\r\n\r\n", b"set a \"b\r\n",
                    b"set a 'b'c\r\n", b"SET q \"\\x41\\n\\\"\\q\"\r\nGET q\r\nSET q 'a\\'b\\n'\r\nget q\r\nQUIT\r\n",
                    b"x" * 70000, b"*" + b"1" * 70000, b"*1\r\n$" + b"1" * 70000, b"*03\r\n", b"*+1\r\n",
                    b"*1\r\n$04\r\nPING\r\n", b"*1\r\n$4\r\nPINGxx*1\r\n$4\r\nQUIT\r\n", b"PING\nECHO  \"\"\nQUIT\n",
                    b"*\r\n", b"*1\r\n$\r\n", b"*1\r\nx\r\n", b"*2147483648\r\n", b"*2147483647\r\n?\r\n"]
        for breach in breaches:
            with self.subTest(breach[:60]):
                answers = []
                for server in (self.kv, self.redis):
                    with connect(server.address) as client:
                        client.sendall(breach)
                        try:
                            answers.append(sample.receive_all(client))
                        except ConnectionResetError:  # it closed before it had read all
                            answers.append(None)
                if answers[1] is not None:
                    self.assertEqual(answers[0], answers[1])


if __name__ == "__main__":
    if shutil.which("redis-server") is None:
        print("skipped: there is no redis-server")
        sys.exit(77)
    sample.main()
