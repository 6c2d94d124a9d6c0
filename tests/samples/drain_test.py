#!/usr/bin/env python3
"""What a stop promises to those who are connected. Usage: drain_test.py --build BUILD"""
import signal
import threading
import time
import unittest

import sample
from rows import rows
from sample import Sample, connect, receive_all


class Drain(unittest.TestCase):
    def slow_server(self, *arguments):
        """A server that answers a line after 300 ms."""
        return Sample(*arguments, name="slow_answer")

    def test_50_requests_that_are_being_handled_are_answered_whole(self):
        answers = []
        with self.slow_server() as server:
            def client():
                with connect(server.address) as one:
                    one.sendall(b"question\n")
                    begun.release()
                    answers.append(receive_all(one))

            begun = threading.Semaphore(0)
            threads = [threading.Thread(target=client) for _ in range(50)]
            for t in threads:
                t.start()
            for _ in threads:
                begun.acquire(timeout=sample.BOUND)
            sample.until(lambda: len(server.fds()) >= 50, "not all connections are there")
            start = time.monotonic()
            self.assertEqual(server.stop(), 0)
            took = time.monotonic() - start
            for t in threads:
                t.join(sample.BOUND)
        self.assertEqual(answers, [b"answer\n" * 1000] * 50)
        sample.promised(took, 0.3 + 0.5, "50 answers, exit after the signal")

    def test_those_who_never_finish_are_cut_at_the_drain_timeout(self):
        with self.slow_server("--set", "limits.drain_timeout=1s") as server:
            clients = [connect(server.address) for _ in range(20)]
            for c in clients:
                c.sendall(b"half a li")
            sample.until(lambda: len(server.fds()) >= 20, "not all connections are there")
            start = time.monotonic()
            self.assertEqual(server.stop(), sample.CUT)
            took = time.monotonic() - start
            for c in clients:
                c.close()
        self.assertGreater(took, 0.9)
        sample.promised(took, 1.5, "exit after the signal")

    def test_a_second_signal_ends_2000_connections_at_once(self):
        count = 200 if sample.options.sanitized else 2000
        with self.slow_server() as server:
            clients = [connect(server.address) for _ in range(count)]
            for c in clients:
                c.sendall(b"half a li")
            sample.until(lambda: len(server.fds()) >= count, "not all connections are there")
            server.send(signal.SIGTERM)
            server.wait_for_line("stopping")
            start = time.monotonic()
            self.assertEqual(server.stop(), sample.CUT)
            took = time.monotonic() - start
            for c in clients:
                c.close()
        sample.promised(took, 0.5, f"{count} connections, exit after the second signal")

    def test_half_a_post_is_answered_whole_although_two_orders_to_drain_come_in_every_model(self):
        for row in rows(sample.program("http")):
            if row.model == "process-pool":
                continue  # pool_test has more of them
            with self.subTest(row=row), Sample(*row.arguments, name="http") as server, connect(server.address) as client:
                client.sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n")
                self.assertTrue(sample.receive_exactly(client, 25).startswith(b"HTTP/1.1 100 "))  # the handler reads
                client.sendall(b"12345")
                for times in range(1, 3):
                    server.send(signal.SIGQUIT)
                    sample.until(lambda: sum("QUIT: stopping" in line for line in server.lines) == times,
                                 "the order is not obeyed")
                client.sendall(b"67890")
                answer = receive_all(client)
                self.assertTrue(answer.startswith(b"HTTP/1.1 200 "), answer)
                self.assertIn(b"Connection: close\r\n", answer)
                self.assertTrue(answer.endswith(b"\r\n\r\n1234567890"), answer)
                self.assertEqual(server.wait(), 0)

    def test_an_early_answer_survives_the_input_that_nobody_reads_100_of_100(self):
        with self.slow_server() as server:
            for _ in range(100):
                with connect(server.address) as client:
                    sender = threading.Thread(target=self.send_much, args=[client])
                    sender.start()
                    self.assertEqual(receive_all(client), b"refused\n")
                    sender.join(sample.BOUND)

    @staticmethod
    def send_much(client):
        try:
            client.sendall(b"refuse\n" + b"x" * (2 << 20))
        except OSError:
            pass  # the server may be done with it


class Limits(unittest.TestCase):
    def test_beyond_the_limit_clients_are_refused_if_asked_for(self):
        with Sample("--set", "limits.connections=100", "--set", "limits.excess=refuse") as echo:
            inside = [connect(echo.address) for _ in range(100)]
            for c in inside:
                c.sendall(b"x")
                self.assertEqual(c.recv(1), b"x")
            for _ in range(50):
                with connect(echo.address) as late:
                    self.assertTrue(self.is_cut(late))
            for c in inside:
                c.sendall(b"y")
                self.assertEqual(c.recv(1), b"y")
            inside.pop().close()
            sample.until(lambda: self.is_served(echo), "the place is not given again")
            for c in inside:
                c.close()

    def test_one_address_has_no_more_than_its_share(self):
        with Sample("--set", "limits.connections_per_ip=3") as echo:
            mine = [connect(echo.address, from_address="127.0.0.9") for _ in range(3)]
            for c in mine:
                c.sendall(b"x")
                self.assertEqual(c.recv(1), b"x")
            with connect(echo.address, from_address="127.0.0.9") as fourth:
                self.assertTrue(self.is_cut(fourth))
            self.assertTrue(self.is_served(echo, from_address="127.0.0.10"))
            mine.pop().close()
            sample.until(lambda: self.is_served(echo, from_address="127.0.0.9"), "the place is not given again")
            for c in mine:
                c.close()

    def is_cut(self, client):
        try:
            return client.recv(1) == b""
        except ConnectionError:
            return True

    def is_served(self, echo, **how):
        try:
            with connect(echo.address, **how) as client:
                client.sendall(b"z")
                return client.recv(1) == b"z"
        except ConnectionError:
            return False

    def test_a_handler_that_spins_is_named_and_others_are_not(self):
        with Sample("--set", "limits.stall=100ms", name="slow_answer") as server:
            with connect(server.address) as good, connect(server.address) as bad:
                good.sendall(b"question\n")
                self.assertTrue(good.recv(1))
                bad.sendall(b"spin\n")
                line = server.wait_for_line("held up for")
                self.assertIn("%s:%d" % bad.getsockname(), line)
                self.assertNotIn("%s:%d" % good.getsockname(), "\n".join(server.lines))
                sample.figure(line.split("] ", 1)[1][:160])


if __name__ == "__main__":
    sample.main()
