#!/usr/bin/env python3
"""The proxy sample: bytes, half closes and ends pass through. Usage: proxy_test.py --build BUILD"""
import hashlib
import os
import select
import signal
import socket
import threading
import unittest

import sample
from sample import Sample, connect, receive_all


def pair(test):
    """An echo server and a proxy before it."""
    echo = test.enterContext(Sample())
    return echo, test.enterContext(Sample("--upstream", echo.address, name="proxy"))


class Proxy(unittest.TestCase):
    def test_a_half_closed_client_gets_everything_back_and_then_the_end_100_of_100(self):
        _, proxy = pair(self)
        for size in range(100):
            message = os.urandom(1 + size * 997)
            with connect(proxy.address) as client:
                sender = threading.Thread(target=lambda: (client.sendall(message), client.shutdown(socket.SHUT_WR)))
                sender.start()
                self.assertEqual(receive_all(client), message)
                sender.join(sample.BOUND)

    def test_an_upstream_that_half_closes_first_still_hears_the_client(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            heard = []

            def upstream():
                for _ in range(100):
                    peer, _ = listener.accept()
                    with peer:
                        peer.settimeout(sample.BOUND)
                        peer.sendall(b"welcome")
                        peer.shutdown(socket.SHUT_WR)
                        heard.append(receive_all(peer))

            server = threading.Thread(target=upstream, daemon=True)
            server.start()
            with Sample("--upstream", "127.0.0.1:%d" % listener.getsockname()[1], name="proxy") as proxy:
                for i in range(100):
                    with connect(proxy.address) as client:
                        self.assertEqual(receive_all(client), b"welcome")
                        client.sendall(b"late %d" % i)
                server.join(sample.BOUND)
            self.assertEqual(heard, [b"late %d" % i for i in range(100)])

    def test_a_stop_does_not_end_what_a_client_was_sending(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            upstream = "127.0.0.1:%d" % listener.getsockname()[1]
            with Sample("--upstream", upstream, name="proxy") as proxy, connect(proxy.address) as client:
                peer, _ = listener.accept()
                with peer:
                    peer.settimeout(sample.BOUND)
                    client.sendall(b"half of ")
                    self.assertEqual(sample.receive_exactly(peer, 8), b"half of ")
                    proxy.send(signal.SIGTERM)
                    proxy.wait_for_line("stopping")
                    client.sendall(b"a message")
                    self.assertEqual(sample.receive_exactly(peer, 9), b"a message")
                    peer.sendall(b"and its answer")
                    self.assertEqual(sample.receive_exactly(client, 14), b"and its answer")
                    client.shutdown(socket.SHUT_WR)
                    self.assertEqual(receive_all(peer), b"")
                    peer.close()
                    self.assertEqual(receive_all(client), b"")
                self.assertEqual(proxy.wait(), 0)

    def test_at_a_stop_a_client_that_is_answered_gets_no_further_and_its_upstream_ends(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            upstream = "127.0.0.1:%d" % listener.getsockname()[1]
            with Sample("--upstream", upstream, name="proxy") as proxy, connect(proxy.address) as idle, connect(proxy.address) as client:
                peers = [listener.accept()[0] for _ in range(2)]
                for peer in peers:
                    peer.settimeout(sample.BOUND)
                client.sendall(b"question")
                asked = next(peer for peer in peers if select.select([peer], [], [], 0.2)[0] or peer is peers[1])
                self.assertEqual(sample.receive_exactly(asked, 8), b"question")
                asked.sendall(b"answer")
                self.assertEqual(sample.receive_exactly(client, 6), b"answer")
                proxy.send(signal.SIGTERM)
                for peer in peers:
                    self.assertEqual(receive_all(peer), b"")
                    peer.sendall(b"the rest")
                    peer.close()
                for each in (idle, client):
                    self.assertEqual(receive_all(each), b"the rest")
                self.assertEqual(proxy.wait(), 0)

    def test_a_stream_that_a_stop_cuts_does_not_look_complete(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            upstream = "127.0.0.1:%d" % listener.getsockname()[1]
            with Sample("--upstream", upstream, "--set", "limits.drain_timeout=200ms", name="proxy") as proxy:
                with connect(proxy.address) as client:
                    peer, _ = listener.accept()
                    with peer:
                        peer.settimeout(sample.BOUND)
                        client.sendall(b"half")
                        self.assertEqual(sample.receive_exactly(peer, 4), b"half")
                        proxy.send(signal.SIGTERM)
                        with self.assertRaises(ConnectionResetError):
                            receive_all(peer)
                self.assertEqual(proxy.wait(), sample.CUT)

    def test_an_upstream_that_is_not_there_closes_the_client_and_is_named_in_the_log(self):
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            gone = "127.0.0.1:%d" % nobody.getsockname()[1]
            with Sample("--upstream", gone, name="proxy") as proxy:
                with connect(proxy.address) as client:
                    self.assertEqual(receive_all(client), b"")
                proxy.wait_for_line("connect " + gone)


class SmallWindows(unittest.TestCase):
    """More than all buffers between the client and the server hold."""
    clients = 25

    def test_8_megabytes_pass_through_a_small_window_to_many_clients_in_bounded_memory(self):
        clients, size = (20, 1 << 20) if sample.options.sanitized else (self.clients, 8 << 20)
        message = os.urandom(size)
        wanted = hashlib.sha256(message).digest()
        _, proxy = pair(self)
        before = proxy.rss()
        right = []

        def client():
            with connect(proxy.address, receive_buffer=2048) as one:
                one.settimeout(60)
                sender = threading.Thread(target=lambda: (one.sendall(message), one.shutdown(socket.SHUT_WR)))
                sender.start()
                digest = hashlib.sha256()
                while data := one.recv(65536):
                    digest.update(data)
                sender.join(60)
                right.append(digest.digest() == wanted)

        threads = [threading.Thread(target=client) for _ in range(clients)]
        for t in threads:
            t.start()
        most = 0
        while any(t.is_alive() for t in threads):
            most = max(most, proxy.rss())
            threads[-1].join(0.05)
            for t in threads:
                t.join(0.001)
        self.assertEqual(right, [True] * clients)
        sample.figure(f"{(most - before) / clients / 1024:.0f} KiB of memory per client at most")
        if not sample.options.sanitized:
            self.assertLess((most - before) / clients, 256 * 1024)


class ManySmallWindows(SmallWindows):
    slow = True
    clients = 100


if __name__ == "__main__":
    sample.main()
