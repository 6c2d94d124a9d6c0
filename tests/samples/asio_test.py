#!/usr/bin/env python3
"""Programs written for Asio, served by weir. Usage: asio_test.py --build BUILD"""
import time
import unittest

import sample
from sample import Sample, ask, connect, receive_all, receive_exactly


class AsioPrograms(unittest.TestCase):
    def test_echo_answers_on_every_loop_until_the_end(self):
        with Sample(name="asio_echo") as server:
            clients = [connect(server.address) for _ in range(20)]
            for i in range(100):
                for c in clients:
                    self.assertEqual(ask(c, b"%d" % i * 300), b"%d" % i * 300)
            for c in clients:
                c.close()
            with connect(server.address) as client:
                client.sendall(b"last words")
                client.shutdown(1)
                self.assertEqual(receive_all(client), b"last words")
            self.assertEqual([l for l in server.lines if "error" in l], [])

    def test_echo_is_cancelled_when_the_server_stops(self):
        with Sample(name="asio_echo") as server, connect(server.address) as client:
            ask(client)
            self.assertEqual(server.stop(), 0)
            self.assertEqual(receive_all(client), b"")
            self.assertIn("stopped after 1 connections", server.lines[-1])

    def test_chat_reaches_everybody_and_forgets_who_leaves(self):
        with Sample("--model", "single-loop", name="asio_chat") as server:
            clients = []
            for i in range(5):
                clients.append(connect(server.address))
                clients[i].sendall(b"%d\n" % i)
                # A member is there once it has heard itself.
                self.assertEqual(receive_exactly(clients[i], 2), b"%d\n" % i)
            heard = [receive_exactly(c, 2 * (4 - i)) for i, c in enumerate(clients[:-1])]
            self.assertEqual(heard, [b"".join(b"%d\n" % j for j in range(i + 1, 5)) for i in range(4)])
            clients.pop().close()
            clients[0].sendall(b"still here\n")
            for c in clients:
                self.assertEqual(receive_exactly(c, 11), b"still here\n")
            for c in clients:
                c.close()

    def test_watchdog_cuts_the_silent_and_nobody_else(self):
        with Sample(name="asio_watchdog") as server:
            with connect(server.address) as silent, connect(server.address) as lively:
                start = time.monotonic()
                ask(silent)
                while not sample.answered([silent], 0.01):
                    self.assertEqual(ask(lively, b"x"), b"x")
                took = time.monotonic() - start
                self.assertEqual(receive_all(silent), b"too slow\n")
                self.assertGreater(took, 0.25)
                self.assertEqual(ask(lively, b"y"), b"y")


if __name__ == "__main__":
    sample.main()
