#!/usr/bin/env python3
"""What a client sees of an answer that breaks off, of urgent data, and of a process without standard descriptors, in
every model. Usage: cut_test.py --build BUILD"""
import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import threading
import unittest

import sample
from rows import rows
from sample import Sample, connect, receive_exactly, until

SIZE = 8_000_000  # more than the buffers of the sockets hold


def end_of(client):
    """How many bytes still come, and whether the end is a reset."""
    count = 0
    try:
        while got := client.recv(1 << 20):
            count += len(got)
    except ConnectionResetError:
        return count, True
    return count, False


class EveryModel(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rows = rows(sample.program("equivalence"))

    def serving(self, *arguments, only=lambda row: True, **how):
        """A server for each row."""
        held = contextlib.ExitStack()
        self.addCleanup(held.close)
        return [(row, held.enter_context(Sample(*row.arguments, *arguments, name="equivalence", **how)))
                for row in self.rows if only(row)]


class BrokenAnswers(EveryModel):
    """A part of an answer never looks like the whole: it ends with RST, whatever has cut it."""

    def reading(self, servers):
        """Clients that have asked for much and read a little."""
        out = []
        for row, server in servers:
            client = connect(server.address, receive_buffer=65536)
            self.addCleanup(client.close)
            client.sendall(b"0001line" + b"large %d\n" % SIZE)
            out.append((row, server, client))
        for _, _, client in out:
            receive_exactly(client, 100_000)
        return out

    def are_reset(self, clients):
        for row, _, client in clients:
            with self.subTest(row=row):
                count, is_reset = end_of(client)
                self.assertTrue(is_reset, f"FIN after {count} bytes")
                self.assertLess(count, SIZE - 100_000)

    def test_when_the_client_reads_nothing_for_longer_than_the_idle_timeout(self):
        clients = self.reading(self.serving("--set", "limits.idle_timeout=1500ms"))
        for row, _, client in clients:
            with self.subTest(row=row):
                until(lambda: not is_established(client), "the server has not cut the connection")
        self.are_reset(clients)

    def test_when_the_drain_timeout_passes(self):
        clients = self.reading(self.serving("--set", "limits.drain_timeout=200ms"))
        for row, server, _ in clients:
            server.send(row.drain)
        for row, server, _ in clients:
            with self.subTest(row=row):
                self.assertEqual(server.wait(), sample.CUT, server.lines)
        self.are_reset(clients)

    def test_when_a_second_signal_comes(self):
        clients = self.reading(self.serving())
        for row, server, _ in clients:
            server.send(row.drain)
            server.wait_for_line("stopping" if row.model != "process-pool" else "SIGQUIT")
            server.send(signal.SIGTERM)
        for row, server, _ in clients:
            with self.subTest(row=row):
                self.assertEqual(server.wait(), sample.CUT, server.lines)
        self.are_reset(clients)

    def test_when_a_worker_of_a_pool_is_told_to_stop_at_once(self):
        clients = self.reading(self.serving(only=lambda row: row.model == "process-pool"))
        for _, server, _ in clients:
            self.assertEqual(server.stop(signal.SIGTERM), sample.CUT, server.lines)
        self.are_reset(clients)


def is_established(client):
    """Whether the peer's end of a connection over loopback is open."""
    mine = client.getsockname()[1]
    for line in sample.read("/proc/net/tcp").splitlines()[1:]:
        fields = line.split()
        if (port(fields[2]), fields[3]) == (mine, "01"):
            return True
    return False


def port(text):
    return int(text.rpartition(":")[2], 16)


class Upstream:
    """Sends so many bytes to each that connects, as fast as they are taken, and then nothing."""

    def __init__(self, size):
        self.size = size
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = "%s:%d" % self.listener.getsockname()
        self.taken = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                self.taken.append(self.listener.accept()[0])
                threading.Thread(target=self.send, args=[self.taken[-1]], daemon=True).start()

    def send(self, client):
        with contextlib.suppress(OSError):
            client.sendall(bytes(self.size))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for each in self.taken:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


class BrokenProxy(unittest.TestCase):
    """The same through the proxy sample: the upstream sends 50 MB, and the client pauses in the middle."""
    SIZE = 50_000_000  # more than the buffers of the sockets hold

    def clients(self, size, *arguments, read=1000):
        """Of a proxy for each row, which have read a little."""
        held = contextlib.ExitStack()
        self.addCleanup(held.close)
        upstream = self.upstream = held.enter_context(Upstream(size))
        out = []
        for row in rows(sample.program("proxy")):
            proxy = held.enter_context(Sample("--upstream", upstream.address, *row.arguments, *arguments, name="proxy"))
            client = held.enter_context(connect(proxy.address, receive_buffer=65536))
            receive_exactly(client, read)
            out.append((row, proxy, client))
        return out

    def are_reset(self, clients):
        for row, _, client in clients:
            with self.subTest(row=row):
                count, is_reset = end_of(client)
                self.assertTrue(is_reset, f"FIN after {count} bytes")

    def test_when_the_client_pauses_past_the_idle_timeout(self):
        clients = self.clients(self.SIZE, "--set", "limits.idle_timeout=1500ms")
        for row, _, client in clients:
            with self.subTest(row=row):
                until(lambda: not is_established(client), "the proxy has not cut the connection")
        self.are_reset(clients)

    def test_when_the_upstream_pauses_and_the_proxy_is_stopped(self):
        clients = self.clients(1000, "--set", "limits.drain_timeout=200ms")
        for row, proxy, _ in clients:
            proxy.send(row.drain)
        self.are_cut(clients)

    def test_an_answer_in_progress_is_complete_although_the_proxy_is_stopped(self):
        size = 1_000_000
        clients = self.clients(size)
        for row, proxy, _ in clients:
            proxy.send(row.drain)
            proxy.wait_for_line("stopping" if row.model != "process-pool" else "SIGQUIT")
        for row, proxy, client in clients:
            with self.subTest(row=row):
                receive_exactly(client, size - 1000)
        for upstream in self.upstream.taken:
            upstream.shutdown(socket.SHUT_WR)
        for row, proxy, client in clients:
            with self.subTest(row=row):
                self.assertEqual(end_of(client), (0, False))
                self.assertEqual(proxy.wait(), 0, proxy.lines)

    def test_when_the_drain_timeout_passes(self):
        clients = self.clients(self.SIZE, "--set", "limits.drain_timeout=200ms")
        for row, proxy, _ in clients:
            proxy.send(row.drain)
        self.are_cut(clients)

    def test_when_a_second_signal_comes(self):
        clients = self.clients(self.SIZE)
        for row, proxy, _ in clients:
            proxy.send(row.drain)
            proxy.wait_for_line("stopping" if row.model != "process-pool" else "SIGQUIT")
            proxy.send(signal.SIGTERM)
        self.are_cut(clients)

    def are_cut(self, clients):
        for row, proxy, _ in clients:
            with self.subTest(row=row):
                self.assertEqual(proxy.wait(), sample.CUT, proxy.lines)
        self.are_reset(clients)


class UrgentData(EveryModel):
    def test_what_comes_behind_urgent_data_is_read_at_once(self):
        """A read ends before an urgent byte: a short one does not mean that nothing is left."""
        for row, server in self.serving():
            for protocol in b"echo", b"both":
                with self.subTest(row=row, protocol=protocol), connect(server.address) as client:
                    client.sendall(b"0001" + protocol + b"begin")
                    self.assertEqual(receive_exactly(client, 5), b"begin")
                    with stopped(server):
                        client.sendall(b"abc")
                        client.send(b"!", socket.MSG_OOB)
                        client.sendall(b"def")
                    self.assertEqual(receive_exactly(client, 6), b"abcdef")


@contextlib.contextmanager
def stopped(server):
    """All processes of the server stand still."""
    pids = [server.pid, *map(int, sample.read(f"/proc/{server.pid}/task/{server.pid}/children").split())]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
        until(lambda: sample.read(f"/proc/{pid}/stat").rpartition(") ")[2][0] == "T", "it is not stopped")
    try:
        yield
    finally:
        for pid in reversed(pids):
            os.kill(pid, signal.SIGCONT)


class WithoutStandardDescriptors(EveryModel):
    def test_closed_descriptors_are_opened_on_dev_null(self):
        with tempfile.TemporaryDirectory() as folder:
            servers = []
            try:
                for number, row in enumerate(self.rows):
                    if "kernel" in row.name:
                        continue  # a unix socket has no siblings
                    path = f"{folder}/{number}"
                    servers.append((row, path, subprocess.Popen(
                        ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sample.program("equivalence"), "--listen",
                         f"unix:{path}", *row.arguments], env=sample.clean_environment())))
                for row, path, server in servers:
                    with self.subTest(row=row):
                        until(lambda: os.path.exists(path) and serves(path), "it does not serve")
                        self.serves_in_spite_of_errors(row, path, server.pid)
            finally:
                for _, _, server in servers:
                    server.terminate()
                for _, _, server in servers:
                    server.wait(sample.BOUND)
            for row, _, server in servers:
                self.assertEqual(server.returncode, 0, row)

    def serves_in_spite_of_errors(self, row, path, pid):
        for fd in range(3):
            self.assertEqual(os.readlink(f"/proc/{pid}/fd/{fd}"), "/dev/null")
        for _ in range(3):  # each is an error line
            with connect(f"unix:{path}") as client:
                client.sendall(b"0001line" + b"fail because it is told to\n")
                self.assertEqual(client.recv(1), b"")
        self.assertTrue(serves(path))


def serves(path):
    try:
        with connect(f"unix:{path}") as client:
            client.sendall(b"0001echo" + b"hello")
            return receive_exactly(client, 5) == b"hello"
    except OSError:
        return False


if __name__ == "__main__":
    sample.main()
