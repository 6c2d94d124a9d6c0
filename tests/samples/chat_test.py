#!/usr/bin/env python3
"""The chat sample: rooms across loops, and a client that never reads. Usage: chat_test.py --build BUILD"""
import threading
import unittest

import sample
from sample import Sample, connect


def lines(client, count):
    """The next `count` lines."""
    file = client.makefile("rb")
    return [file.readline() for _ in range(count)]


def said_to(clients, text):
    """Everybody has joined once each has heard itself."""
    for i, client in enumerate(clients):
        client.sendall(b"%s %d\n" % (text, i))


class Chat(unittest.TestCase):
    def chat(self, *arguments):
        return self.enterContext(Sample(*arguments, name="chat"))

    def client(self, chat, **how):
        return self.enterContext(connect(chat.address, **how))

    def test_a_line_reaches_everybody_in_the_room_on_every_loop_and_nobody_else(self):
        first, *_, last = sorted(sample.cpus(sample.read("/proc/self/status").split("Cpus_allowed_list:")[1].split()[0]))
        chat = self.chat("--cores", f"{first},{last}" if first != last else str(first), "--policy", "round-robin")
        room = [self.client(chat) for _ in range(6)]
        for i, each in enumerate(room):
            each.sendall(b"/join tea\n/nick n%d\nhere\n" % i)
            self.assertEqual(lines(each, 1), [b"n%d: here\n" % i])  # it is in the room from here on
        elsewhere = self.client(chat)
        elsewhere.sendall(b"/nick x\nalone\n")
        self.assertEqual(lines(elsewhere, 1), [b"x: alone\n"])
        room[0].sendall(b"to all\n")
        for i, each in enumerate(room):
            file = each.makefile("rb")
            heard = file.readline()
            while heard.endswith(b": here\n"):  # of later members
                heard = file.readline()
            self.assertEqual(heard, b"n0: to all\n")

    def test_lines_end_as_telnet_ends_them_too(self):
        chat = self.chat()
        one, other = self.client(chat), self.client(chat)
        one.sendall(b"/nick a\r\n/join tea\r\nhere\r\n")
        self.assertEqual(lines(one, 1), [b"a: here\n"])
        other.sendall(b"/nick b\n/join tea\nhello\n")
        self.assertEqual(lines(other, 1), [b"b: hello\n"])
        self.assertEqual(lines(one, 1), [b"b: hello\n"])
        one.sendall(b"/quit\r\n")
        self.assertEqual(sample.receive_all(one), b"")

    def test_no_client_makes_another_s_terminal_do_anything(self):
        chat = self.chat()
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


class Gigabyte(Chat):
    slow = True

    def test_a_client_that_never_reads_is_cut_alone_and_at_its_limit(self):
        self.publish(1_000_000_000)


if __name__ == "__main__":
    sample.main()
