#!/usr/bin/env python3
"""Recordings of what clients send, read as the format is documented. Usage: record_test.py --build BUILD"""
import contextlib
import os
import signal
import ssl
import stat
import statistics
import struct
import subprocess
import tempfile
import unittest

import sample
from sample import Sample, connect, receive_all, receive_exactly, run, until
from tls import TlsSocket, make_certificate

MODELS = "serial", "thread-per-connection", "single-loop", "loop-with-workers", "loop-per-core", "thread-per-event"
MAGIC = b"WEIRREC\n"
BEGIN, RECEIVED, FIN, RESET, SENT, END = range(6)


def crc_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82f63b78 if value & 1 else 0)
        table.append(value)
    return table


TABLE = crc_table()


def crc32c(data):
    value = 0xffffffff
    for byte in data:
        value = value >> 8 ^ TABLE[(value ^ byte) & 0xff]
    return value ^ 0xffffffff


def contents(path):
    with open(path, "rb") as file:
        return file.read()


def events(path):
    """(connection, kind, microseconds, bytes) of a file that is whole."""
    data = contents(path)
    at, out = 0, []
    while at < len(data):
        magic, version, kind, size, session, number, crc, head_crc = struct.unpack_from("<8sHHIQIII", data, at)
        assert (magic, version) == (MAGIC, 1)
        assert head_crc == crc32c(data[at:at + 32])
        payload = data[at + 36:at + 36 + size]
        assert len(payload) == size and crc == crc32c(payload)
        at += 36 + size
        inside = 0
        while kind == 1 and inside < size:
            what, connection, when, length = struct.unpack_from("<BIqI", payload, inside)
            out.append(((session, connection), what, when, payload[inside + 17:inside + 17 + length]))
            inside += 17 + length
    return out


def by_connection(path):
    """In the order of their numbers: in the file only the events of one connection have an order."""
    out = {}
    for connection, what, when, data in events(path):
        out.setdefault(connection, []).append((what, data))
    return [out[each] for each in sorted(out)]


def joined(each, kind):
    return b"".join(data for what, data in each if what == kind)


class Recording(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = f"{folder.name}/recording"

    def test_what_clients_send_and_get_is_in_the_file_in_every_model(self):
        for model in MODELS:
            with self.subTest(model):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.file)
                with Sample("--model", model, "--record", self.file, "--set", "record.answers=true") as server:
                    said = [bytes([65 + i]) * (1000 * i + 1) for i in range(5)]
                    for i, text in enumerate(said):
                        with connect(server.address) as client:
                            client.sendall(text)
                            self.assertEqual(receive_exactly(client, len(text)), text)
                            if i % 2:
                                sample.reset(client)
                            else:
                                client.shutdown(1)
                                self.assertEqual(client.recv(1), b"")
                    with connect(server.address) as open_one:
                        sample.ask(open_one)
                        server.stop()
                self.assertEqual(stat.S_IMODE(os.stat(self.file).st_mode), 0o600)
                found = by_connection(self.file)
                self.assertEqual([joined(each, RECEIVED) for each in found], [*said, b"ping"])
                self.assertEqual([joined(each, SENT) for each in found], [*said, b"ping"])
                for i, each in enumerate(found):
                    self.assertEqual((each[0][0], each[-1][0]), (BEGIN, END))
                    self.assertEqual(FIN in [what for what, _ in each], i < 5 and i % 2 == 0)

    def test_secrets_of_http_are_not_in_the_file(self):
        with Sample("--record", self.file, name="http") as server, connect(server.address) as client:
            client.sendall(b"GET /plain HTTP/1.1\r\nHost: a\r\nAuthorization: Basic c2VjcmV0\r\nCookie: key=secret\r\n\r\n")
            client.sendall(b"GET /plain HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            receive_all(client)
        text = contents(self.file)
        self.assertNotIn(b"secret", text)
        self.assertNotIn(b"c2VjcmV0", text)
        self.assertEqual(joined(by_connection(self.file)[0], RECEIVED), b"GET /plain HTTP/1.1\r\nHost: a\r\nAuthorization:"
                         + b"x" * 15 + b"\r\nCookie:" + b"x" * 11 + b"\r\n\r\nGET /plain HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")

    def test_what_comes_over_tls_is_recorded_only_if_that_is_said_as_well(self):
        with tempfile.TemporaryDirectory() as folder:
            crt, key = make_certificate(folder, "a")
            for keys, expected in ((), []), (("--set", "record.tls_plaintext=true"), [b"GET /plain HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"]):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.file)
                with Sample("--record", self.file, "--set", f"tls.certificate={crt}", "--set", f"tls.key={key}", *keys, name="http",
                            listen=("tls:127.0.0.1:0",)) as server:
                    with TlsSocket(connect(server.address.removeprefix("tls:")), ssl.create_default_context(cafile=crt)) as client:
                        client.sendall(b"GET /plain HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                        self.assertIn(b"200 OK", receive_all(client))
                self.assertEqual([joined(each, RECEIVED) for each in by_connection(self.file)], expected)

    def test_each_worker_of_a_pool_has_a_file_and_goes_on_in_it(self):
        with Sample("--model", "process-pool", "--processes", 2, "--record", self.file, name="pool_worker") as pool:
            workers = set()

            def ask():
                with connect(pool.address) as client:
                    client.sendall(b"who\n")
                    workers.add(client.recv(100))

            until(lambda: ask() or len(workers) == 2, "both answer")
            pool.send(signal.SIGHUP)
            pool.wait_for_line("generation 2 serves")
            until(lambda: ask() or len(workers) == 4, "the new ones answer")
        for index in range(2):
            found = by_connection(f"{self.file}.{index}")
            self.assertGreaterEqual(len(found), 2)
            self.assertEqual({joined(each, RECEIVED) for each in found}, {b"who\n"})

    def test_a_writer_that_is_killed_leaves_what_it_has_written_whole(self):
        with Sample("--record", self.file) as server, connect(server.address) as client:
            sample.ask(client)
            until(lambda: b"ping" in contents(self.file), "the events are written")
            server.process.kill()
            server.process.wait()
            server.expected = -signal.SIGKILL
        self.assertEqual(joined(by_connection(self.file)[0], RECEIVED), b"ping")

    def test_a_file_that_cannot_be_made_is_told_at_start(self):
        ended = run("--record", "/nowhere/recording", "--listen", "127.0.0.1:0")
        self.assertNotEqual(ended.returncode, 0)
        self.assertIn("/nowhere/recording", ended.stderr)


class Cost(unittest.TestCase):
    slow = True

    def cpu_per_request(self, *keys):
        with Sample("--model", "single-loop", *keys, name="http") as server:
            told = subprocess.run(["wrk", "-t1", "-c16", "-d4s", f"http://{server.address}/plain"], capture_output=True,
                                  text=True, timeout=60, check=True).stdout
            return server.cpu_seconds() / int(told.split(" requests in")[0].split()[-1]) * 1e6

    def test_what_recording_http_costs(self):
        costs = []
        for turn in range(7):
            with tempfile.TemporaryDirectory() as folder:
                recorded = ("--record", f"{folder}/recording", "--set", "record.size=4GiB")
                plain, kept = (self.cpu_per_request(*keys) for keys in ((), recorded))
            costs.append(kept / plain - 1)
            sample.figure(f"{plain:.2f} µs of CPU for each request, recorded {kept:.2f}: {costs[-1]:+.1%}")
        sample.figure(f"cost of recording: {statistics.median(costs):+.1%} CPU")
        self.assertLess(statistics.median(costs), 0.25)  # 0.05 is promised on a machine that does nothing else


if __name__ == "__main__":
    sample.main()
