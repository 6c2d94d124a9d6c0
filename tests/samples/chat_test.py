#!/usr/bin/env python3
"""The chat sample: rooms across loops, and a client that never reads. Usage: chat_test.py --build BUILD"""
import contextlib
import os
import sys
import threading
import unittest

import sample
from sample import Sample, connect

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "faults"))
import faults


def lines(client, count):
    """The next `count` lines, and not a byte more."""
    file = client.makefile("rb", buffering=0)
    return [file.readline() for _ in range(count)]


def two_cores():
    """As far apart as there are; one, if there is no other."""
    first, *_, last = sorted(sample.cpus(sample.read("/proc/self/status").split("Cpus_allowed_list:")[1].split()[0])) * 2
    return f"{first},{last}" if first != last else str(first)


class Chat(unittest.TestCase):
    def chat(self, *arguments):
        return self.enterContext(Sample(*arguments, name="chat"))

    def chat_of_one_loop(self):
        """Lines reach every member at once. Over several loops one that joins may still hear what was said before."""
        return self.chat("--model", "single-loop")

    def client(self, chat, **how):
        return self.enterContext(connect(chat.address, **how))

    def test_a_line_reaches_everybody_in_the_room_on_every_loop_and_nobody_else(self):
        chat = self.chat("--cores", two_cores(), "--policy", "round-robin")
        room = [self.client(chat) for _ in range(6)]
        for i, each in enumerate(room):
            each.sendall(b"/join tea\n/nick n%d\nhere\n" % i)
            while (heard := lines(each, 1)) != [b"n%d: here\n" % i]:  # it is in the room once it hears itself
                self.assertRegex(heard[0], rb"^n\d: here\n$")  # what was said before may come late from another loop
        elsewhere = self.client(chat)
        elsewhere.sendall(b"/nick x\nalone\n")
        self.assertEqual(lines(elsewhere, 1), [b"x: alone\n"])
        room[0].sendall(b"to all\n")
        for each in room:
            while (heard := lines(each, 1)[0]).endswith(b": here\n"):  # of later members
                pass
            self.assertEqual(heard, b"n0: to all\n")

    def test_lines_end_as_telnet_ends_them_too(self):
        chat = self.chat_of_one_loop()
        one, other = self.client(chat), self.client(chat)
        one.sendall(b"/nick a\r\n/join tea\r\nhere\r\n")
        self.assertEqual(lines(one, 1), [b"a: here\n"])
        other.sendall(b"/nick b\n/join tea\nhello\n")
        self.assertEqual(lines(other, 1), [b"b: hello\n"])
        self.assertEqual(lines(one, 1), [b"b: hello\n"])
        one.sendall(b"/quit\r\n")
        self.assertEqual(sample.receive_all(one), b"")

    def test_no_client_makes_another_s_terminal_do_anything(self):
        chat = self.chat_of_one_loop()
        one, other = self.client(chat), self.client(chat)
        for each in (one, other):
            each.sendall(b"/nick me\n/join tea\nhere\n")
            self.assertEqual(lines(each, 1), [b"me: here\n"])
        one.sendall(b"/nick \x1b[31mred\x07\n\x1b]0;title\x07 \xc2\x9b2J\xff caf\xc3\xa9\r\x08\n")
        self.assertEqual(lines(other, 1), ["?[31mred?: ?]0;title? ??2J? caf\xe9??\n".encode()])

    def publish(self, total):
        """Publishes `total` bytes to three clients that read and one that never does."""
        limit, block = 1 << 20, (b"x" * 1020 + b"\n") * 200
        chat = self.chat()
        readers = [self.client(chat) for _ in range(3)]
        silent = self.client(chat, receive_buffer=2048)
        publisher = self.client(chat)
        for i, each in enumerate((*readers, silent, publisher)):
            each.sendall(b"/nick p\n/join tea\nready\n")
            if each is not silent:
                self.assertEqual(lines(each, 1), [b"p: ready\n"])
        for each in (*readers, publisher):  # the lines of later members
            each.settimeout(0.2)
            try:
                while each.recv(1000):
                    pass
            except TimeoutError:
                each.settimeout(60)
        before = most = chat.rss()
        wanted = len(block) + 3 * 200  # each line comes back with "p: " before it
        for _ in range(total // len(block)):
            publisher.sendall(block)
            for each in (*readers, publisher):
                left = wanted
                while left > 0:
                    data = each.recv(min(left, 1 << 18))
                    self.assertTrue(data, "a reader was cut")
                    left -= len(data)
            most = max(most, chat.rss())
        chat.wait_for_line("did not read and was cut")
        self.assertEqual(sum("was cut" in line for line in chat.lines), 1)
        sample.figure(f"{total / 1e6:.0f} MB published, memory grew by {(most - before) / 2**20:.1f} MiB at most")
        if not sample.options.sanitized:
            self.assertLess(most - before, limit + 10 * 2**20)

    def test_a_client_that_never_reads_is_cut_alone_and_at_its_limit(self):
        self.publish(20_000_000)


class WithoutMemory(unittest.TestCase):
    def test_no_member_misses_a_line_and_hears_the_next(self):
        if not os.path.exists(faults.library()) or not faults.works():
            self.skipTest("allocations of this build cannot be made to fail")
        with faults.Faults() as control, Sample("--cores", two_cores(), "--policy", "round-robin", name="chat",
                                                environment=control.environment) as chat:
            failed = 0
            for seed in range(30):
                room = b"/join r%d\n" % seed
                with contextlib.ExitStack() as stack:
                    hears = [stack.enter_context(connect(chat.address)) for _ in range(4)]
                    # The first and the last on one core: what they say comes everywhere in the order in which it is said.
                    says, _, ends = [stack.enter_context(connect(chat.address)) for _ in range(3)]
                    for each in (*hears, says, ends):
                        each.sendall(b"/nick n\n%shere\n" % room)
                        while b"n: here\n" not in each.recv(1000):
                            pass
                    control.arm(faults.ALLOCATION, count=0, per_million=40_000, seed=seed)
                    with contextlib.suppress(ConnectionResetError, BrokenPipeError):  # it may be the one that is cut
                        for i in range(101):  # once the last is back, the others are on their way to everybody
                            says.sendall(b"%03d\n" % i)
                            back = b""
                            while b"n: %03d\n" % i not in back:
                                more = says.recv(1000)
                                if not more:
                                    raise ConnectionResetError
                                back += more
                    failed += control.hits()
                    control.disarm()
                    back = b""
                    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                        ends.sendall(b"end\n")
                        while b"n: end\n" not in back and (more := ends.recv(1000)):
                            back += more
                    if b"n: end\n" not in back:  # it has been cut itself
                        continue
                    heard = []
                    for each in hears:
                        got = b""
                        with contextlib.suppress(ConnectionResetError):
                            while b"n: end\n" not in got and (more := each.recv(1000)):
                                got += more
                        if b"n: end\n" in got:
                            heard.append([line for line in got.partition(b"n: end\n")[0].splitlines() if line[-3:].isdigit() and line != b"n: 100"])
                    self.assertLessEqual(len({tuple(lines) for lines in heard}), 1, f"with seed {seed}")
            self.assertGreater(failed, 20)


class Gigabyte(Chat):
    slow = True

    def test_a_client_that_never_reads_is_cut_alone_and_at_its_limit(self):
        self.publish(1_000_000_000)


if __name__ == "__main__":
    sample.main()
