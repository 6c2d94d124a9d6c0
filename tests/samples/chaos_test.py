#!/usr/bin/env python3
"""Clients that misbehave, among others that do not. Usage: chaos_test.py --build BUILD"""
import random
import threading
import time
import unittest

import sample
from sample import Sample, ask, connect, receive_all, reset


def at_once(*tasks):
    """Runs each in a thread of its own; the first failure of any is the failure of all."""
    failures = []

    def guarded(task):
        try:
            task()
        except BaseException as e:
            failures.append(e)

    threads = [threading.Thread(target=guarded, args=[t]) for t in tasks]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    if failures:
        raise failures[0]
    if any(t.is_alive() for t in threads):
        raise AssertionError("a client is stuck")


class Chaos(unittest.TestCase):
    def test_pieces_of_random_size_come_back_whole_beside_clients_that_break_off(self):
        def in_pieces(echo, seed):
            rng = random.Random(seed)
            message = rng.randbytes(100_000)
            with connect(echo.address, receive_buffer=rng.choice([None, 4096])) as client:
                def send():
                    at = 0
                    while at < len(message):
                        size = rng.choice([1, 2, 7, 64, 1000, 16384, 16385])
                        client.sendall(message[at:at + size])
                        at += size
                    client.shutdown(1)
                def take():
                    self.assertEqual(receive_all(client), message)
                at_once(send, take)

        def breaking_off(echo, seed):
            rng = random.Random(seed)
            for _ in range(30):
                client = connect(echo.address)
                client.sendall(rng.randbytes(rng.choice([1, 100, 20_000, 60_000])))
                if rng.random() < 0.5:
                    client.recv(rng.randrange(1, 1000))
                rng.choice([reset, lambda c: c.close(), lambda c: (c.shutdown(1), c.close())])(client)

        def saying_nothing(echo):
            for _ in range(100):
                connect(echo.address).close()

        with Sample() as echo:
            fds = echo.settled_fds()
            at_once(*[lambda s=s: in_pieces(echo, s) for s in range(10)],
                    *[lambda s=s: breaking_off(echo, s) for s in range(10)], lambda: saying_nothing(echo))
            sample.until(lambda: len(echo.fds()) == fds, lambda: f"{len(echo.fds())} descriptors, {fds} at first")
            self.assertEqual([line for line in echo.lines if "error" in line], [])

    def test_who_says_nothing_is_cut_and_who_says_little_is_not(self):
        with Sample("--set", "limits.idle_timeout=300ms") as echo:
            def talkative():
                with connect(echo.address) as client:
                    for byte in b"byte by byte":  # each within the timeout, all together well beyond it
                        self.assertEqual(ask(client, bytes([byte])), bytes([byte]))
                        time.sleep(0.1)
                    started = time.monotonic()
                    self.assertEqual(client.recv(1), b"")
                    cuts.append(time.monotonic() - started + 0.1)

            def silent():
                with connect(echo.address) as client:
                    started = time.monotonic()
                    self.assertEqual(client.recv(1), b"")
                    cuts.append(time.monotonic() - started)

            def never_reading():
                with connect(echo.address, receive_buffer=4096) as client:
                    client.settimeout(0.1)
                    try:
                        while True:
                            client.send(b"x" * 65536)
                    except TimeoutError:
                        pass
                    sample.until(lambda: len(echo.fds()) <= fds, lambda: f"{len(echo.fds())} descriptors, {fds} at first")

            fds = echo.settled_fds()
            for clients in ([silent], [silent] * 20 + [talkative], [never_reading]):
                cuts = []
                at_once(*clients)
                if cuts:
                    sample.figure(f"{len(cuts)} cut after {min(cuts) * 1000:.0f} to {max(cuts) * 1000:.0f} ms")
                    self.assertGreater(min(cuts), 0.28)
                    sample.promised(max(cuts), 1.3, "the last was cut")

    def test_a_loop_with_only_silent_clients_sleeps(self):
        with Sample("--set", "limits.idle_timeout=20s") as echo:
            clients = [connect(echo.address) for _ in range(200)]
            for c in clients:
                ask(c)
            cpu = echo.cpu_seconds()
            self.assertEqual(sample.answered(clients, 1), [])
            cpu = echo.cpu_seconds() - cpu
            sample.figure(f"200 silent clients cost {cpu:.1%} CPU")
            self.assertLessEqual(cpu, 0.05)
            for c in clients:
                c.close()

    def test_one_byte_at_a_time_comes_back(self):
        message = random.Random(3).randbytes(3000)
        with Sample() as echo, connect(echo.address) as client:
            client.setsockopt(6, 1, 1)  # TCP_NODELAY
            self.assertEqual(b"".join(ask(client, bytes([b])) for b in message), message)


if __name__ == "__main__":
    sample.main()
