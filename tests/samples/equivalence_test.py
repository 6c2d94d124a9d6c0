#!/usr/bin/env python3
"""One handler and the same clients under every model: what each client gets must not depend on it.

Usage: equivalence_test.py --build BUILD
"""
import os
import random
import socket
import ssl
import tempfile
import threading
import time
import unittest

import sample
from rows import rows
from sample import Sample, connect, reset
from tls import TlsSocket, make_certificate

NUMBERS = b"".join(b"%d " % i for i in range(200_000))


def digest(data):
    """FNV-1a."""
    value = 2166136261
    for byte in data:
        value = (value ^ byte) * 16777619 & 0xffffffff
    return value


class Script:
    """What one client does, and what it and the handler's notes must then say."""

    def __init__(self, protocol, end="closed by the peer", **options):
        self.protocol = protocol
        self.steps = []
        self.expected = b""
        self.notes = [end] if end else []
        self.last = "end"
        self.options = options

    def step(self, kind, *arguments):
        self.steps.append((kind, *arguments))
        return self

    def send(self, data, answer=b"", note=None):
        self.expected += answer
        if note:
            self.notes.insert(-1, note)
        return self.step("send", data)

    def split(self, data, at, answer=b"", pause=0.001):
        """The same bytes in pieces, which pauses keep apart."""
        edges = [0, *sorted(at), len(data)]
        for first, last in zip(edges, edges[1:]):
            self.send(data[first:last]).step("pause", pause)
        self.expected += answer
        return self

    def read(self):
        """Until every answer so far is there."""
        return self.step("read", len(self.expected))

    def pause(self, seconds):
        return self.step("pause", seconds)

    def half(self):
        return self.step("half")

    def end(self):
        return self.step("end")

    def half_and_end(self):
        return self.half().end()

    def leave(self):
        self.last = "left"
        return self.step("leave")

    def reset(self):
        self.last = "has reset"
        return self.step("reset")


class Client:
    """Plays a script and writes down what comes."""

    def __init__(self, name, script):
        self.name = b"%04d" % name
        self.script = script
        self.received = bytearray()
        self.last = "nothing"

    def play(self, address):
        try:
            with self.connected(connect(address, receive_buffer=self.script.options.get("receive_buffer"))) as self.socket:
                # A piece is a segment, so that a split reaches the server as one.
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self.script.protocol:
                    self.socket.sendall(self.name + self.script.protocol)
                for kind, *arguments in self.script.steps:
                    getattr(self, kind)(*arguments)
        except ConnectionResetError:
            self.last = "was reset"
        except (OSError, AssertionError) as e:
            self.last = repr(e)

    @staticmethod
    def connected(plain):
        return plain

    def send(self, data):
        if len(data) < 100_000:
            self.socket.sendall(data)
        else:
            # Whoever sends much without reading may wait for himself.
            self.sender = threading.Thread(target=self.socket.sendall, args=[data], daemon=True)
            self.sender.start()

    def read(self, count):
        self.take(lambda: count - len(self.received))

    def take(self, wanted, slowly=None):
        while (count := wanted()) > 0:
            got = self.socket.recv(min(count, slowly or 65536))
            if not got:
                raise AssertionError(f"the end came after {len(self.received)} bytes")
            self.received += got
            if slowly and random.random() < 0.05:
                time.sleep(0.001)

    def read_slowly(self, count, size):
        self.take(lambda: count - len(self.received), size)

    def pause(self, seconds):
        time.sleep(seconds)

    def half(self):
        if hasattr(self, "sender"):
            self.read(len(self.script.expected))
            self.sender.join(sample.BOUND)
        self.socket.shutdown(socket.SHUT_WR)

    def end(self):
        while got := self.socket.recv(65536):
            self.received += got
        self.last = "end"

    def leave(self):
        self.last = "left"

    def reset(self):
        reset(self.socket)
        self.last = "has reset"


class ClientOverTls(Client):
    context = ssl._create_unverified_context()

    @classmethod
    def connected(cls, plain):
        return TlsSocket(plain, cls.context)


class Answering:
    """Another server, which answers each client's line with a line."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.serving = threading.Thread(target=self.serve, daemon=True)
        self.serving.start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with client:
                client.settimeout(sample.BOUND)
                client.sendall(b"you " + client.recv(100))

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.serving.join(sample.BOUND)  # before another socket may get the same number
        self.listener.close()


def mixture(chance):
    """Commands that may stand in any order, with their answers."""
    body = chance.randbytes(chance.randrange(1, 5000))
    word = b"%x" % chance.getrandbits(64)
    return chance.choice([
        (b"say %s\n" % word, word + b"\n"),
        (b"take %d\n%s" % (len(body), body), b"took %d %d\n" % (len(body), digest(body))),
        (b"peek %d\n%s" % (len(word), word), b"peeked %s\n" % word),
        (b"nap 2\n", b"napped\n", "naps"),
        (b"turn 70\n", b"turned\n"),
        (b"asio 2\n", b"asio's timer\n"),
        (b"within 5000\n%s\n" % word, b"in time: %s\n" % word),
        (b"pair 300\n", b"sum 45150\n"),
        (b"told 1\n", b"before after\n"),
        (b"first 1\n", b"first 1\n"),
        (b"all 2\n", b"all 23\n"),
        (b"offload 21\n", b"offloaded 42\n"),
        (b"large 3000\n", NUMBERS[:3000]),
        (b"file 3000\n", NUMBERS[:3000]),
    ])


def scripts(upstream):
    chance = random.Random(7)
    block = chance.randbytes(300_000)
    line, echo, both = b"line", b"echo", b"both"
    all_scripts = {
        "a message": Script(echo).send(b"hello", b"hello").read().half_and_end(),
        "messages in turns": Script(echo),
        "byte by byte": Script(echo).split(block[:60], range(1, 60), block[:60]).half_and_end(),
        "much at once": Script(echo).send(block, block).half_and_end(),
        "much at once, a child for each way": Script(both).send(block, block).half_and_end(),
        "byte by byte, a child for each way": Script(both).split(block[:60], range(1, 60), block[:60]).half_and_end(),
        "in turns, a child for each way": Script(both),
        "half close at once": Script(echo).half_and_end(),
        "half close at once, a child for each way": Script(both).half_and_end(),
        "pipelining": Script(line).send(b"".join(b"say %d\n" % i for i in range(1000)),
                                        b"".join(b"%d\n" % i for i in range(1000))).half_and_end(),
        "a line byte by byte": Script(line).split(b"say something\n", range(1, 14), b"something\n").half_and_end(),
        "a slow reader": Script(line, receive_buffer=4096).send(b"large 1000000\nsay after\n",
                                                                NUMBERS[:1_000_000] + b"after\n")
                         .step("read_slowly", 1_000_006, 2000).half_and_end(),
        "a file for a slow reader": Script(line, receive_buffer=4096).send(b"file 500000\n", NUMBERS[:500_000])
                                    .step("read_slowly", 500_000, 2000).half_and_end(),
        "a message as long as it may be": Script(line).send(b"take 1000000\n", b"").send(
            b"x" * 1_000_000, b"took 1000000 %d\n" % digest(b"x" * 1_000_000)).half_and_end(),
        "a message that is too long": Script(line, end="error: message longer than its limit").send(b"take 2000001\n").end(),
        "timers": Script(line).send(b"nap 20\n", b"napped\n", "naps").send(b"asio 20\nnap 1\n", b"asio's timer\nnapped\n",
                                                                          "naps").read().half_and_end(),
        "a deadline that passes, and one that does not":
            Script(line).send(b"within 20\n", b"too late\n").read().send(b"within 5000\n").pause(0.01)
            .send(b"a line\n", b"in time: a line\n").read().half_and_end(),
        "a deadline inside a line": Script(line).send(b"within 20\nsay half", b"too late\n").read()
                                    .send(b" a line\n", b"half a line\n").read().half_and_end(),
        "a wait for input that is cancelled": Script(line).send(b"cancel 10\n", b"cancelled\n").read()
                                              .send(b"say on\n", b"on\n").read().half_and_end(),
        "children": Script(line).send(b"pair 1000\ntold 5\nfirst 3\nall 3\n",
                                      b"sum 500500\nbefore after\nfirst 1\nall 23\n").half_and_end(),
        "another thread": Script(line).send(b"offload 4\noffload 5\n", b"offloaded 8\noffloaded 10\n").half_and_end(),
        "another server": Script(line).send(b"call %s\n" % upstream, b"answered you called\n").read().send(
            b"call %s\n" % upstream, b"answered you called\n").half_and_end(),
        "the server's half close": Script(line).send(b"say last\nhalf\n", b"last\n").send(
            b"y" * 50_000, note="after half close 50000").half_and_end(),
        "the server leaves with input unread": Script(line, end="none").send(b"say last\nleave\n" + b"z" * 50_000,
                                                                            b"last\n").end(),
        "the server resets": Script(line, end="closed").send(b"say first\n", b"first\n").read().send(b"reset\n").end(),
        "the handler fails": Script(line, end="error: as asked").send(b"say last\nfail as asked\n", b"last\n").end(),
        "a command that is none": Script(line, end="error: no command nonsense").send(b"nonsense\n").end(),
        "the end inside a message": Script(line, end="error: the stream ended inside a message").send(
            b"take 100\n" + b"x" * 50).half_and_end(),
        "the end inside a line": Script(line, end="error: the stream ended inside a message").send(
            b"say first\nsay half a li", b"first\n").half_and_end(),
        "a client that leaves": Script(line).send(b"say hello\n", b"hello\n").read().leave(),
        "a client that resets": Script(line, end="reset by the peer").send(b"say hello\n", b"hello\n").read().reset(),
        "a client that resets inside an answer": Script(line, end="reset by the peer", receive_buffer=4096).send(
            b"large 9000000\n", NUMBERS[:1000], "the peer is gone").read().reset(),
        "a client without a word": Script(b"", end=None).half_and_end(),
        "a client that stops inside its greeting": Script(b"", end=None).send(b"abc").half_and_end(),
    }
    all_scripts["the server resets"].last = "was reset"
    for name in ("messages in turns", "in turns, a child for each way"):
        for i in range(100):
            all_scripts[name].send(block[i:i * 50 + 1], block[i:i * 50 + 1]).read()
        all_scripts[name].half_and_end()
    # The same commands in one piece, cut anywhere, and one by one.
    for i in range(4):
        parts = [mixture(chance) for _ in range(12)]
        whole, answers = (b"".join(p[k] for p in parts) for k in (0, 1))
        notes = [p[2] for p in parts if len(p) > 2]
        one, cut, turns = (all_scripts.setdefault(f"mixture {i}, {how}", Script(line))
                           for how in ("in one piece", "cut anywhere", "in turns"))
        one.send(whole, answers).half_and_end()
        cut.split(whole, [chance.randrange(len(whole)) for _ in range(20)], answers).half_and_end()
        for p in parts:
            turns.send(p[0], p[1]).read()
        turns.half_and_end()
        for script in (one, cut, turns):
            script.notes[:0] = notes
    return all_scripts


class Equivalence(unittest.TestCase):
    client = Client
    listen = "127.0.0.1:0"
    keys = ()
    repeats = 3

    @classmethod
    def setUpClass(cls):
        cls.rows = rows(sample.program("equivalence"))

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.notes = os.path.join(folder.name, "notes")
        self.upstream = Answering()
        self.addCleanup(self.upstream.close)
        self.scripts = scripts(self.upstream.address.encode())

    def server(self, row, *arguments):
        with open(self.notes, "w", encoding="utf-8"):
            pass
        return Sample(*row.arguments, *self.keys, "--notes", self.notes, *arguments, name="equivalence",
                      listen=[self.listen])

    def noted(self, name):
        return [line[5:].rstrip("\n") for line in open(self.notes, encoding="utf-8") if line.startswith(name)]

    def transcripts(self, row, at_once):
        """Of each script what the client received, how it ended, and what the handler noted."""
        clients = {what: self.client(i, script) for i, (what, script) in enumerate(self.scripts.items())}
        with self.server(row) as server:
            if at_once:
                threads = [threading.Thread(target=c.play, args=[server.address.removeprefix("tls:")]) for c in clients.values()]
                for t in threads:
                    t.start()
                for t in threads:
                    t.join()
            else:
                for c in clients.values():
                    c.play(server.address.removeprefix("tls:"))
                    if [c.last for c in clients.values()].count(repr(TimeoutError("timed out"))) > 2:
                        break  # the others would wait as long for nothing
        return {what: (bytes(c.received), c.last, self.noted(c.name.decode())) for what, c in clients.items()}

    def expected(self):
        return {what: (s.expected, s.last, s.notes) for what, s in self.scripts.items()}

    def compare(self, row, got, wanted):
        for what in wanted:
            with self.subTest(row=row, client=what):
                # Not assertEqual, which would explain a megabyte.
                for part, mine, theirs in zip(("bytes", "last", "notes"), got[what], wanted[what]):
                    if mine != theirs:
                        same = len(os.path.commonprefix([mine, theirs]))
                        self.fail(f"{part}: {mine[same:][:100]!r} and not {theirs[same:][:100]!r}, after {same} alike "
                                  f"of {len(mine)} and {len(theirs)}; {got[what][1:]}")

    def test_one_client_after_the_other_gets_the_same_from_every_model(self):
        wanted = self.expected()
        for row in self.rows:
            self.compare(row, self.transcripts(row, at_once=False), wanted)

    def test_clients_at_once_get_the_same_from_every_model(self):
        wanted = self.expected()
        for row in self.rows:
            if not row.one_at_a_time:
                for _ in range(self.repeats):
                    self.compare(row, self.transcripts(row, at_once=True), wanted)

class EquivalenceOverTls(Equivalence):
    """The same scripts, and what each client gets must not depend on TLS either."""
    slow = True
    client = ClientOverTls
    listen = "tls:127.0.0.1:0"
    repeats = 1

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        crt, key = make_certificate(cls.enterClassContext(tempfile.TemporaryDirectory()), "localhost")
        cls.keys = ["--set", f"tls.certificate={crt}", "--set", f"tls.key={key}"]


class Stops(Equivalence):
    test_one_client_after_the_other_gets_the_same_from_every_model = None
    test_clients_at_once_get_the_same_from_every_model = None

    def test_a_stop_ends_the_idle_and_answers_who_has_asked_in_every_model(self):
        for row in self.rows:
            with self.subTest(row=row), self.server(row) as server:
                idle = [] if row.one_at_a_time else [connect(server.address) for _ in range(8)]
                for i, c in enumerate(idle):
                    c.sendall(b"%04decho?" % i)
                    self.assertEqual(c.recv(1), b"?")
                with connect(server.address) as asking:
                    asking.sendall(b"0099linenap 300\nsay too\n")
                    sample.until(lambda: self.noted("0099") == ["naps"], "the handler has begun")
                    server.send(row.drain)
                    self.assertEqual(sample.receive_all(asking), b"napped\ntoo\n")
                for c in idle:
                    self.assertEqual(c.recv(1), b"")  # a reset would throw
                    c.close()
                self.assertEqual(server.wait(), 0)
                self.assertEqual(self.noted("0099"), ["naps", "stopping"])

    def test_an_idle_client_is_cut_in_every_model(self):
        for row in self.rows:
            with self.subTest(row=row), self.server(row, "--set", "limits.idle_timeout=200ms") as server:
                with connect(server.address) as client:
                    client.sendall(b"0001linesay hello\n")
                    self.assertEqual(sample.receive_exactly(client, 6), b"hello\n")
                    try:
                        self.assertEqual(client.recv(1), b"")
                    except ConnectionResetError:
                        pass
                sample.until(lambda: self.noted("0001") == ["idle"], lambda: self.noted("0001"))

    def test_a_slot_is_reused_in_every_model(self):
        for row in self.rows:
            with self.subTest(row=row), self.server(row, "--set", "limits.connections=1") as server:
                for i in range(20):
                    with connect(server.address) as client:
                        client.sendall(b"%04decho" % i + b"hello")
                        self.assertEqual(sample.receive_exactly(client, 5), b"hello")


if __name__ == "__main__":
    sample.main()
