#!/usr/bin/env python3
"""The load of the HTTP benchmark counts what was answered, and notices a server that is wrong.

Usage: http_load_test.py LOAD SAMPLE
"""
import json
import re
import socket
import subprocess
import sys
import threading
import unittest

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def load(port, *arguments):
    return subprocess.run([sys.argv[1], "--connect", f"127.0.0.1:{port}", *map(str, arguments)], capture_output=True,
                          text=True, timeout=60, stdin=subprocess.DEVNULL)


class Scripted:
    """A server that gives each request of a connection the next of its answers, the last one again and again."""

    def __init__(self, *answers):
        self.answers = answers
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.accepting = threading.Thread(target=self.accept, daemon=True)
        self.accepting.start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with client:
            asked, unread = 0, b""
            while got := client.recv(65536):
                unread += got
                *whole, unread = unread.split(b"\r\n\r\n")
                for _ in whole:
                    answer = self.answers[min(asked, len(self.answers) - 1)]
                    if not answer:
                        return
                    client.sendall(answer)
                    asked += 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # A thread that is about to accept would do so for the next server, whose socket may get the same number.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.accepting.join()
        self.listener.close()


class Wrong(unittest.TestCase):
    def check(self, what, *answers, depth=1):
        with Scripted(*answers) as server:
            done = load(server.port, "--connections", 1, "--requests", 50, "--depth", depth)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn(what, done.stderr)

    def test_a_server_that_is_wrong_is_noticed(self):
        bad = GOOD.replace(b"200 OK", b"500 NO")
        self.check("the first answer", bad)
        self.check("not good", GOOD, GOOD, bad)
        self.check("not good", *[GOOD] * 4, bad, depth=4)
        self.check("not as long", GOOD, GOOD.replace(b"hello", b"hello?"), depth=2)
        self.check("without a length", b"HTTP/1.1 200 OK\r\n\r\n")
        self.check("the end came", GOOD, GOOD, b"")

    def test_a_server_that_is_right_is_counted(self):
        with Scripted(GOOD) as server:
            done = load(server.port, "--connections", 3, "--requests", 50, "--depth", 4)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(json.loads(done.stdout)["answer_bytes"], len(GOOD))

    def test_requests_come_at_their_times_beside_a_download(self):
        with Scripted(GOOD) as server:
            done = load(server.port, "--connections", 3, "--requests", 100, "--rate", 1000, "--beside", "/huge")
            self.assertEqual(done.returncode, 0, done.stderr)
            told = json.loads(done.stdout)
            self.assertIn(told["requests"], range(100, 103))  # those that are late leave together, one per connection
            self.assertGreater(told["seconds"], 0.098)
            self.assertGreater(told["downloaded_bytes"], 0)
            self.assertLessEqual(told["p50_us"], told["p99_us"])
            self.assertLessEqual(told["p99_us"], told["max_us"])

    def test_what_it_counts_is_what_the_server_counts(self):
        server = subprocess.Popen([sys.argv[2], "--listen", "127.0.0.1:0"], stderr=subprocess.PIPE, text=True)
        try:
            port = re.search(r"listening on 127.0.0.1:(\d+)", server.stderr.readline())[1]
            done = json.loads(load(port, "--path", "/plain", "--requests", 5000, "--depth", 16).stdout)
            with socket.create_connection(("127.0.0.1", int(port))) as client:
                client.sendall(b"GET /stats HTTP/1.0\r\n\r\n")
                text = b"".join(iter(lambda: client.recv(65536), b""))
            figures = json.loads(text.partition(b"\r\n\r\n")[2])
            self.assertEqual(sum(core["requests"] for core in figures["cores"]), done["requests"] + 1)  # the first one
        finally:
            server.terminate()
            self.assertEqual(server.wait(10), 0)
            server.stderr.close()


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
