#!/usr/bin/env python3
"""The load generator against servers that are right and wrong in known ways. Usage: load_test.py LOAD"""
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

LOAD = None


def echo(client):
    while data := client.recv(65536):
        client.sendall(data)


def byte_by_byte(client):
    while data := client.recv(65536):
        for byte in data:
            client.sendall(bytes([byte]))


def corrupting(client):
    client.sendall(client.recv(65536))
    data = client.recv(65536)
    client.sendall(data[:-1] + bytes([data[-1] ^ 1]))


def closing_early(client):
    client.sendall(client.recv(65536)[:10])


def talking_too_much(client):
    client.sendall(client.recv(65536) * 2)
    client.recv(1)


def silent(client):
    while client.recv(65536):
        pass


def swapping(client):
    """Answers two messages in the wrong order."""
    data = b""
    while len(data) < 128:
        data += client.recv(128 - len(data))
    client.sendall(data[64:] + data[:64])


class Server:
    def __init__(self, behaviour, family=socket.AF_INET, address=("127.0.0.1", 0)):
        self.behaviour = behaviour
        self.listener = socket.socket(family)
        self.listener.bind(address)
        self.listener.listen(512)
        self.accepting = threading.Thread(target=self._accept, daemon=True)
        self.accepting.start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client):
        try:
            with client:
                self.behaviour(client)
        except OSError:
            pass

    def __enter__(self):
        name = self.listener.getsockname()
        return f"unix:{name}" if isinstance(name, str) else f"127.0.0.1:{name[1]}"

    def __exit__(self, *_):
        # A thread that is about to accept would do so for the next server, whose socket may get the same number.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.accepting.join()
        self.listener.close()


def load(address, *arguments):
    return subprocess.run([LOAD, "--connect", address, *map(str, arguments)], capture_output=True, text=True,
                          timeout=30, stdin=subprocess.DEVNULL)


class Loads(unittest.TestCase):
    def right(self, behaviour, *arguments):
        with Server(behaviour) as address:
            done = load(address, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def wrong(self, behaviour, said, *arguments):
        with Server(behaviour) as address:
            done = load(address, "--connections", 1, "--requests", 10, *arguments)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn(said, done.stderr)

    def test_counts_exactly_what_was_asked_for(self):
        done = self.right(echo, "--requests", 1003, "--connections", 10)
        self.assertEqual((done["requests"], done["errors"]), (1003, 0))
        self.assertLessEqual(done["p50_us"], done["p99_us"])
        self.assertLessEqual(done["p99_us"], done["max_us"])

    def test_more_connections_than_requests(self):
        self.assertEqual(self.right(echo, "--requests", 3, "--connections", 10)["requests"], 3)

    def test_ends_by_time(self):
        done = self.right(echo, "--seconds", 0.3, "--connections", 4)
        self.assertGreater(done["requests"], 0)
        self.assertLess(done["seconds"], 5)

    def test_who_is_never_answered_is_counted_and_cut(self):
        served = threading.Lock()
        done = self.right(lambda client: served.acquire() and echo(client), "--seconds", 0.3, "--connections", 4,
                          "--grace", 0.1)
        self.assertGreater(done["requests"], 0)
        self.assertEqual((done["served"], done["errors"]), (1, 0))

    def test_answers_may_come_byte_by_byte(self):
        self.assertEqual(self.right(byte_by_byte, "--requests", 50, "--depth", 5, "--connections", 2)["requests"], 50)

    def test_large_messages_in_flight_fill_the_socket(self):
        done = self.right(echo, "--requests", 300, "--size", 100_000, "--depth", 100, "--connections", 2)
        self.assertEqual(done["requests"], 300)

    def test_each_way_to_close(self):
        for how in ("orderly", "reset", "half"):
            with self.subTest(how):
                done = self.right(echo, "--mode", "connect", "--close", how, "--requests", 200, "--connections", 4,
                                  "--sources", 3)
                self.assertEqual(done["requests"], 200)

    def test_speaks_to_a_unix_socket(self):
        with tempfile.TemporaryDirectory() as folder:
            with Server(echo, socket.AF_UNIX, os.path.join(folder, "s")) as address:
                done = load(address, "--requests", 500)
        self.assertEqual(json.loads(done.stdout)["requests"], 500, done.stderr)

    def test_idle_connections_are_held_until_input_ends(self):
        with Server(echo) as address:
            held = subprocess.Popen([LOAD, "--connect", address, "--idle", "20"], stdin=subprocess.PIPE, text=True,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.assertEqual(held.stdout.readline(), "ready\n")
            self.assertIsNone(held.poll())
            out, errors = held.communicate(timeout=10)
        self.assertEqual(held.returncode, 0, errors)
        self.assertEqual(json.loads(out)["requests"], 20)

    def test_an_idle_connection_that_is_lost_is_an_error(self):
        def once(client):
            client.sendall(client.recv(64))
        with Server(once) as address:
            done = load(address, "--idle", 5)
        self.assertEqual(done.returncode, 1)

    def test_a_changed_byte_is_an_error(self):
        self.wrong(corrupting, "came back changed")

    def test_swapped_messages_are_an_error(self):
        self.wrong(swapping, "came back changed", "--depth", 2)

    def test_an_early_end_is_an_error(self):
        self.wrong(closing_early, "closed a connection too early")

    def test_too_many_bytes_are_an_error(self):
        self.wrong(talking_too_much, "more bytes came back")

    def test_silence_is_an_error(self):
        self.wrong(silent, "no answer", "--timeout", 0.5)

    def test_nobody_there_is_an_error(self):
        with socket.socket() as bound:  # and not listening
            bound.bind(("127.0.0.1", 0))
            done = load("127.0.0.1:%d" % bound.getsockname()[1], "--requests", 1)
        self.assertEqual(done.returncode, 1)
        self.assertIn("refused", done.stderr)

    def test_only_this_machine_is_loaded(self):
        self.assertEqual(load("192.0.2.1:80", "--requests", 1).returncode, 1)


if __name__ == "__main__":
    LOAD = sys.argv.pop(1)
    unittest.main()
