"""Clients that check every byte, for servers that are being made to fail. A server may end a connection, or say that it
has no memory; what it does say must be right."""
import contextlib
import random
import socket
import time

import resp
import sample

PATTERN = random.Random(5).randbytes(400_000)


class Dropped(Exception):
    """The server has ended this connection, as it may."""


class Client:
    def __init__(self, address, bound=sample.BOUND):
        self.dropped = False
        try:
            self.socket = sample.connect(address)
        except (ConnectionError, BlockingIOError) as e:
            raise Dropped(str(e)) from e
        self.socket.settimeout(bound)
        self.data = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except ConnectionError as e:
            raise Dropped(str(e)) from e

    def _more(self):
        try:
            got = self.socket.recv(1 << 16)
        except ConnectionError as e:
            raise Dropped(str(e)) from e
        if not got:
            raise Dropped("the end")
        self.data += got

    def exactly(self, count):
        while len(self.data) < count:
            self._more()
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def line(self):
        while b"\r\n" not in self.data:
            self._more()
        return self.exactly(self.data.index(b"\r\n") + 2)[:-2]

    def head(self):
        while b"\r\n\r\n" not in self.data:
            self._more()
        return self.exactly(self.data.index(b"\r\n\r\n") + 4).decode()

    def expect(self, wanted, what):
        got = self.exactly(len(wanted))
        if got != wanted:
            raise AssertionError(f"{what}: {got[:80]!r} instead of {wanted[:80]!r}")


# Each makes one connection and uses it to its end.

def echo(address):
    with Client(address) as client:
        for message in b"ping", PATTERN[:40_000], b"pong":
            client.send(message)
            client.expect(message, "echo")
        client.socket.shutdown(socket.SHUT_WR)


def echo_that_leaves_bytes(address):
    """Its end meets a server that sends: with a reset, or with bytes that nobody reads."""
    with Client(address) as client:
        client.send(b"first")
        client.expect(b"first", "echo")
        client.send(PATTERN[:1000])
        sample.reset(client.socket)


def echo_burst(address):
    """More clients at once than there were: the tables and the threads of the server grow."""
    echo_burst.most = min(echo_burst.most + 1, 60)
    dropped = 0
    with contextlib.ExitStack() as held:
        clients = []
        for _ in range(echo_burst.most):
            try:
                clients.append(held.enter_context(Client(address)))
                clients[-1].send(PATTERN[:100])
            except Dropped:
                dropped += 1
        for client in clients:
            try:
                client.expect(PATTERN[:100], "echo beside others")
            except Dropped:
                dropped += 1
            client.socket.close()  # a model may serve one at a time
    if dropped:
        raise Dropped(f"{dropped} of them")


echo_burst.most = 10


def http(address):
    def answer(client, request, status, body=None):
        client.send(request)
        head = client.head()
        if head.startswith("HTTP/1.1 5"):
            raise Dropped(head)
        if not head.startswith(f"HTTP/1.1 {status} "):
            raise AssertionError(f"{request[:40]!r}: {head!r}")
        length = int(head.lower().partition("content-length:")[2].split("\r\n")[0])
        got = client.exactly(length)
        if body is not None and got != body:
            raise AssertionError(f"{request[:40]!r}: {got[:80]!r} instead of {body[:80]!r}")

    with Client(address) as client:
        host = b" HTTP/1.1\r\nHost: a\r\n"
        answer(client, b"GET /plain" + host + b"\r\n", 200, b"Hello, World!\n")
        answer(client, b"POST /echo" + host + b"Content-Length: 3000\r\n\r\n" + PATTERN[:3000], 200, PATTERN[:3000])
        answer(client, b"POST /echo" + host + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 200, b"hello")
        answer(client, b"GET /file" + host + b"\r\n", 200, PATTERN)
        answer(client, b"GET /none" + host + b"\r\n", 404)
        answer(client, b"GET /json" + host + b"Connection: close\r\n\r\n", 200, b'{"message":"Hello, World!"}')


def http_that_uploads_too_much(address):
    """The server answers early and closes with input unread."""
    with Client(address) as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 90000000\r\n\r\n" + PATTERN[:9000])
        head = client.head()
        if not head.startswith(("HTTP/1.1 413", "HTTP/1.1 5")):
            raise AssertionError(head)


def kv(address):
    with Client(address) as client:
        talk = resp.Client(client.socket)

        def ask(wanted, *words):
            try:
                got = talk.ask(*words)
            except ConnectionError as e:
                raise Dropped(str(e)) from e
            except AssertionError as e:
                if "the end came" in str(e):
                    raise Dropped(str(e)) from e
                raise
            if isinstance(got, resp.Error) and "memory" in got:
                raise Dropped(got)
            if got not in (wanted if isinstance(wanted, list) else [wanted]):
                raise AssertionError(f"{words[:2]}: {str(got)[:80]!r} instead of {str(wanted)[:80]!r}")

        name = f"key{random.getrandbits(60)}"
        ask("OK", "SET", name, "1")
        ask(b"1", "GET", name)
        ask(2, "INCR", name)
        ask("OK", "SET", name + "x", PATTERN[:70_000], "EX", "100")
        ask(PATTERN[:70_000], "GET", name + "x")
        ask(70_001, "APPEND", name + "x", "y")
        ask([[b"2", None]], "MGET", name, "none")
        ask(1, "EXPIRE", name, "100")
        ask(2, "DEL", name, name + "x")
        ask(None, "GET", name)


def cache(address):
    with Client(address) as client:
        def ask(request, *lines):
            client.send(request)
            for wanted in lines:
                got = client.line()
                if b"out of memory" in got:
                    raise Dropped(got.decode())
                if got != wanted:
                    raise AssertionError(f"{request[:40]!r}: {got[:80]!r} instead of {wanted[:80]!r}")

        # A value that is being removed for want of memory is not found: that is what a cache may say.
        name = b"key%d" % random.getrandbits(60)
        ask(b"set %s 0 0 1\r\n1\r\n" % name, b"STORED")
        ask(b"get %s\r\n" % name, b"VALUE %s 0 1" % name, b"1", b"END")
        ask(b"incr %s 1\r\n" % name, b"2")
        ask(b"append %s 0 0 3\r\nabc\r\n" % name, b"STORED")
        ask(b"set big 0 0 300000\r\n%s\r\n" % PATTERN[:300_000], b"STORED")
        client.send(b"get big\r\n")
        client.expect(b"VALUE big 0 300000\r\n" + PATTERN[:300_000] + b"\r\nEND\r\n", "get big")
        ask(b"delete %s\r\n" % name, b"DELETED")


PATHS = {"echo": [echo, echo_that_leaves_bytes, echo_burst], "http": [http, http_that_uploads_too_much], "kv": [kv], "cache": [cache]}


def served(path, address):
    """Whether the whole conversation went well; what is wrong is an error, and so is silence."""
    try:
        path(address)
        return True
    except Dropped:
        return False
    except TimeoutError as e:
        raise AssertionError(f"{path.__name__}: no answer and no end within {sample.BOUND} s") from e


def must_be_served(name, server, within=sample.BOUND):
    """New clients get all that they ask for; at once, or within so many seconds."""
    start = time.monotonic()
    for path in PATHS[name]:
        while not served(path, server.address):
            if server.process.poll() is not None:
                raise AssertionError(f"it has ended with {server.process.returncode}")
            if time.monotonic() - start > within:
                raise AssertionError(f"{path.__name__}: still dropped {within} s after the last failure")
            time.sleep(0.01)
