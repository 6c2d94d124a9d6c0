#!/usr/bin/env python3
"""Who accepts, who does the I/O and who runs the handler, per row of the model table, and what a handler that blocks
holds up. Usage: who_test.py --build BUILD
"""
import collections
import os
import random
import re
import socket
import subprocess
import tempfile
import threading
import unittest

import sample
from rows import rows
from sample import Sample, answered, connect, read

COUNT = 2  # loops, workers, processes
QUIET = 0.3  # seconds in which a client that is held up gets no answer
TRACING = []  # why system calls cannot be traced, once it was tried


class Client:
    """A connection, and who serves it."""

    def __init__(self, server):
        self.socket = connect(server.address)
        self.lines = self.socket.makefile("rb")

    def fileno(self):
        return self.socket.fileno()

    def say(self, *words):
        self.socket.sendall(" ".join(words).encode() + b"\n")

    def answer(self):
        """Process and thread of the handler."""
        process, thread = self.lines.readline().split()[-2:]
        return int(process), int(thread)

    def who(self, name="x"):
        self.say("who", name)
        return self.answer()

    def close(self):
        self.lines.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Who(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rows = rows(sample.program("who"), COUNT)

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.held = 0

    def server(self, row, **more):
        return Sample(*row.arguments, name="who", **more)


class HoldsUp(Who):
    """A handler that blocks or computes, until it is let go, holds up what its row says and nothing else."""

    EXPECTED = {"serial": "everybody", "thread-per-connection": "nobody", "single-loop": "everybody_on_the_loop",
                "loop-with-workers": "nobody_while_a_worker_is_free", "loop-per-core": "its_thread",
                "process-pool": "its_process", "thread-per-event": "nobody"}

    def test_what_a_handler_that_blocks_holds_up(self):
        self.each_row("block")

    def test_what_a_handler_that_computes_holds_up(self):
        self.each_row("spin")

    def each_row(self, how):
        self.how = how
        for row in self.rows:
            with self.subTest(row=row), self.server(row) as server:
                self.released = []
                try:
                    getattr(self, self.EXPECTED[row.model])(server)
                finally:
                    for path in self.released:
                        self.let_go(path)

    def hold(self, client):
        """The client's handler is held up from now on, until the path that is returned exists."""
        self.held += 1
        path = os.path.join(self.folder, str(self.held))
        self.released.append(path)
        client.say(self.how, path)
        sample.until(lambda: os.path.exists(path + ".held"), f"the handler that shall {self.how} has not begun")
        return path

    def let_go(self, path):
        with open(path, "w", encoding="utf-8"):
            pass

    def ask(self, *clients):
        for c in clients:
            c.say("who", "x")

    def answer(self, *clients):
        for c in clients:
            c.answer()

    def wait(self, *clients):
        self.assertEqual(answered(clients, QUIET), [], "an answer came from who should be held up")

    def everybody(self, server):
        with Client(server) as first:
            first.who()
            path = self.hold(first)
            with Client(server) as second:
                self.ask(second)
                self.wait(second)
                self.let_go(path)
                first.answer()
                first.who()
                self.wait(second)
                first.close()
                self.answer(second)

    def nobody(self, server):
        before, *held = [Client(server) for _ in range(9)]
        paths = [self.hold(c) for c in held]
        after = Client(server)
        for _ in range(3):
            self.ask(before, after)
            self.answer(before, after)
        self.wait(*held)
        for path in paths:
            self.let_go(path)
        self.answer(*held)
        for c in (before, after, *held):
            c.close()

    def everybody_on_the_loop(self, server):
        with Client(server) as first, Client(server) as second:
            second.who()
            path = self.hold(first)
            with Client(server) as third:
                self.ask(second, third)
                self.wait(second, third)
                self.let_go(path)
                self.answer(first, second, third)

    def nobody_while_a_worker_is_free(self, server):
        clients = [Client(server) for _ in range(COUNT + 2)]
        held, others = clients[:COUNT], clients[COUNT:]
        paths = []
        for c in held:
            self.ask(*others)
            self.answer(*others)
            paths.append(self.hold(c))
        with Client(server) as late:
            self.ask(*others, late)
            self.wait(*others, late)
            self.let_go(paths[0])
            self.answer(held[0], *others, late)  # by the one worker that is free again
            self.wait(held[1])
        for path in paths:
            self.let_go(path)
        self.answer(*held[1:])
        for c in clients:
            c.close()

    def its_thread(self, server):
        self.its_own(server, lambda process, thread: thread)

    def its_process(self, server):
        self.its_own(server, lambda process, thread: process)

    def its_own(self, server, part):
        by = collections.defaultdict(list)

        def enough():
            client = Client(server)
            mine = by[part(*client.who())]
            mine.append(client) if len(mine) < 3 else client.close()
            return len(by) == COUNT and all(len(each) == 3 for each in by.values())

        sample.until(enough, "one serves them all")
        (first, *same), others = list(by.values())[:2]
        path = self.hold(first)
        for _ in range(3):
            self.ask(*others)
            self.answer(*others)
        self.ask(*same)
        self.wait(*same)
        self.let_go(path)
        self.answer(first, *same)
        for c in (first, *same, *others):
            c.close()


class Alone(Who):
    LINES = 300

    def test_no_connection_is_ever_in_two_threads(self):
        for row in self.rows:
            with self.subTest(row=row), self.server(row) as server:
                failures = []
                clients = 2 if row.one_at_a_time else 30
                threads = [threading.Thread(target=self.play, args=[server, i, failures]) for i in range(clients)]
                for t in threads:
                    t.start()
                for t in threads:
                    t.join()
                self.assertEqual(failures, [])

    def play(self, server, seed, failures):
        chance = random.Random(seed)
        try:
            with connect(server.address) as client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                client.sendall(b"alone\n")
                text = b"line\n" * self.LINES
                sender = threading.Thread(target=self.send, args=[client, text, chance])
                sender.start()
                answers = sample.receive_all(client).split(b"\n")
                sender.join()
            # Each line is a turn of the child that takes it and of the one that answers.
            wanted = b"turns %d" % (2 * self.LINES)
            if len(answers) != self.LINES + 2 or answers[-2] != wanted:
                failures.append((len(answers), answers[-2:]))
        except (OSError, AssertionError) as e:
            failures.append(repr(e))

    def send(self, client, text, chance):
        at = 0
        while at < len(text):
            size = chance.choice([1, 7, 50, 500])
            client.sendall(text[at:at + size])
            at += size
        client.shutdown(socket.SHUT_WR)


Message = collections.namedtuple("Message", "client received sent process handler")


class Story:
    """What happened: each connection's accepting thread, each message's threads, and the processes meanwhile."""

    def __init__(self, main):
        self.main = main
        self.accepted = []
        self.messages = []
        self.process_of = {}

    def of(self, client):
        return [m for m in self.messages if m.client == client]


def tasks(pid):
    """The threads of a process and of those that it has forked, each with its process."""
    found = {}
    for thread in os.listdir(f"/proc/{pid}/task"):
        found[int(thread)] = pid
        for child in read(f"/proc/{pid}/task/{thread}/children").split():
            found |= tasks(int(child))
    return found


class Does(Who):
    """Told by the kernel: strace shows which thread calls accept4, recv and send."""

    CLIENTS = 6
    ROUNDS = 3
    CALLS = "accept,accept4,recvfrom,recvmsg,read,readv,sendto,sendmsg,write,writev,io_uring_enter"

    def test_who_accepts_who_does_io_and_who_runs_the_handler(self):
        for row in self.rows:
            with self.subTest(row=row):
                story = self.watch(row)
                getattr(self, row.model.replace("-", "_"))(row, story)
                self.tell(row, story)

    def watch(self, row):
        trace = os.path.join(self.folder, "trace")
        # -D: the tracer is a grandchild, so that the process started is the server itself.
        strace = ["strace", "-D", "-f", "-s", "100", "-o", trace, "-e", "trace=" + self.CALLS]
        leaks = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"  # would trace as well
        answers = {}
        with self.server(row, before=strace, environment={"ASAN_OPTIONS": leaks}) as server:
            story = Story(server.pid)
            if row.one_at_a_time:
                for i in range(self.CLIENTS):
                    with Client(server) as c:
                        answers |= {(i, k): c.who(f"m{i}.{k}") for k in range(self.ROUNDS)}
            else:
                clients = []
                for i in range(self.CLIENTS):
                    clients.append(Client(server))
                    answers[i, 0] = clients[i].who(f"m{i}.0")  # so that they are accepted in order
                for k in range(1, self.ROUNDS):
                    answers |= {(i, k): c.who(f"m{i}.{k}") for i, c in enumerate(clients)}
                story.process_of = tasks(server.pid)
                for c in clients:
                    c.close()
        text = read(trace)
        story.accepted = [int(t) for t in re.findall(r"^(\d+) +(?:<\.\.\. )?accept4?[( ].*= \d+$", text, re.MULTILINE)]
        self.assertEqual(len(story.accepted), self.CLIENTS, text)
        rings = {int(t) for t in re.findall(r"^(\d+) +io_uring_enter", text, re.MULTILINE)}
        for (client, k), (process, handler) in answers.items():
            received, sent = (self.caller(text, part, handler if handler in rings else None)
                              for part in (rf'"who m{client}\.{k}\\n', rf'"m{client}\.{k} '))
            story.messages.append(Message(client, received, sent, process, handler))
        return story

    def caller(self, trace, part, by_ring):
        """`by_ring`: the thread of the handler, if it has a ring: then the bytes need no call of their own."""
        found = re.findall(rf"^(\d+) .*{part}", trace, re.MULTILINE)
        if not found and by_ring:
            return by_ring
        self.assertEqual(len(found), 1, f"{part} in {trace}")
        return int(found[0])

    def tell(self, row, story):
        def name(thread):
            return names.setdefault(thread, chr(ord("a") + len(names) - 1))

        names = {story.main: "main"}
        threads = len(story.process_of)
        sample.figure(f"{row}: accepted by {' '.join(map(name, story.accepted))}; received, handled, sent by",
                      " ".join(f"{name(m.received)},{name(m.handler)},{name(m.sent)}" for m in story.messages[:4]),
                      f"...; {threads} threads" if threads else "")

    def all_by(self, story, thread):
        self.assertEqual({*story.accepted}, {thread})
        for m in story.messages:
            self.assertEqual((m.received, m.handler, m.sent), (thread,) * 3)

    def only_threads(self, story, count):
        if not sample.options.sanitized:  # a sanitizer may have threads of its own
            self.assertEqual(len(story.process_of), count)

    def serial(self, _, story):
        self.all_by(story, story.main)

    def single_loop(self, _, story):
        self.all_by(story, story.main)
        self.only_threads(story, 1)

    def thread_per_connection(self, _, story):
        self.assertEqual({*story.accepted}, {story.main})
        own = []
        for i in range(self.CLIENTS):
            threads = {t for m in story.of(i) for t in (m.received, m.handler, m.sent)}
            self.assertEqual(len(threads), 1)
            own += threads
        self.assertEqual(len({*own}), self.CLIENTS, "a thread has served two connections that were open at once")
        self.assertNotIn(story.main, own)

    def loop_with_workers(self, row, story):
        self.assertEqual({*story.accepted}, {story.main})
        workers = {m.handler for m in story.messages}
        self.assertNotIn(story.main, workers)
        self.assertLessEqual(len(workers), COUNT)
        self.only_threads(story, 1 + COUNT)
        by_loop = "workers.io=loop" in row.arguments
        for m in story.messages:
            self.assertEqual((m.received, m.sent), (story.main,) * 2 if by_loop else (m.handler,) * 2)

    def loop_per_core(self, row, story):
        loops = {*story.process_of}
        self.only_threads(story, COUNT)
        for i in range(self.CLIENTS):
            threads = {t for m in story.of(i) for t in (m.received, m.handler, m.sent)}
            self.assertEqual(len(threads), 1)
            self.assertLessEqual(threads, loops)
        if "kernel" in row.arguments:
            # The kernel's hash chooses who accepts; a loop with more than two above the other, the one that it has just
            # accepted included, hands the connection on.
            self.assertLessEqual({*story.accepted}, loops)
            served = [{m.handler for m in story.of(i)}.pop() for i in range(self.CLIENTS)]
            handed_on = [i for i in range(self.CLIENTS) if served[i] != story.accepted[i]]
            if max(story.accepted.count(loop) for loop in loops) <= 2:
                self.assertEqual(handed_on, [])
            self.assertLessEqual(max(served.count(loop) for loop in loops), self.CLIENTS - 1)
        else:
            self.assertEqual({*story.accepted}, {story.main})
            self.assertEqual(len({m.handler for m in story.messages}), COUNT)

    def process_pool(self, _, story):
        self.assertEqual(len({*story.process_of.values()} - {story.main}), COUNT)
        for i, accepted in enumerate(story.accepted):
            process = story.process_of[accepted]
            self.assertNotEqual(process, story.main)
            for m in story.of(i):
                self.assertEqual(m.process, process)
                self.assertEqual((m.received, m.sent), (m.handler,) * 2)
        self.assertEqual([t for t, p in story.process_of.items() if p == story.main], [story.main])

    def thread_per_event(self, _, story):
        self.assertEqual(len({*story.accepted}), 1)
        for m in story.messages:
            self.assertEqual((m.received, m.sent), (m.handler,) * 2)
            self.assertNotIn(m.handler, (story.main, *story.accepted))

    def setUp(self):
        super().setUp()
        if not TRACING:
            try:
                tried = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, text=True, check=False)
                TRACING.append(tried.stderr.strip() if tried.returncode != 0 else "")
            except FileNotFoundError:
                TRACING.append("strace is not installed")
        if TRACING[0]:
            self.skipTest("system calls cannot be traced here: " + TRACING[0])


if __name__ == "__main__":
    sample.main()
