"""Clients that check every byte while their server is reloaded, upgraded, stopped and killed, and the judgement on what
they met."""
import bisect
import collections
import contextlib
import random
import re
import socket
import subprocess
import threading
import time

from sample import connect, reset

LONGEST_WAIT = 2  # seconds for an answer, on a machine that is not busy
UNIX = "unix"  # instead of a port
NEVER = 40  # seconds after which an answer is not waited for any more


class Wrong(Exception):
    """Other bytes than those that were asked for."""


class Ended(Exception):
    """The connection has ended."""


class Stalls:
    """How long this machine lets processes wait that have nothing to do with the server: all the time a byte goes to
    another process and back, and every few times a program is started. What clients wait for is judged without that."""
    SLOW = 0.05
    STARTS = 20  # round trips for each start of a program

    def __init__(self):
        self._starts, self._ends = [], []
        self._process = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self._stopping = threading.Event()
        self._since = time.monotonic()  # of the round trip that goes on
        self._thread = threading.Thread(target=self._measure, daemon=True)
        self._thread.start()

    def _measure(self):
        turn = 0
        while not self._stopping.is_set():
            self._since = start = time.monotonic()
            time.sleep(0.01)
            self._process.stdin.write(b"x")
            self._process.stdout.read(1)
            turn += 1
            if turn % self.STARTS == 0:
                subprocess.run(["true"], check=True)
            end = time.monotonic()
            if end - start > self.SLOW:
                self._starts.append(start)
                self._ends.append(end)

    def longest(self):
        return max((end - start for start, end in zip(self._starts, self._ends)), default=0)

    def within(self, start, end):
        """Seconds of that time, those of a stall that has not ended yet included."""
        at = bisect.bisect_left(self._ends, start)
        since, now = self._since, time.monotonic()
        spans = [*zip(self._starts[at:], self._ends[at:]), *([(since, now)] if now - since > self.SLOW else [])]
        return sum(max(0, min(last, end) - max(first, start)) for first, last in spans)

    def stop(self):
        self._stopping.set()
        self._thread.join()
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


class Record:
    """What the clients of a server met, and what was done to its workers meanwhile. Thread: any."""

    def __init__(self):
        self.answers = collections.Counter()  # by kind of client
        self.closed = collections.Counter()  # connections that ended between two messages, by worker
        self.kills = []  # (from, to, worker): it is killed, and has ended
        self.held = collections.defaultdict(list)  # port -> (from, to): the worker that has it was stopped
        self.failures = []  # (time, connected, worker, excusable, text)
        self.waits = []  # (from, to, port, text): for more than LONGEST_WAIT
        self.longest_wait = 0

    def waited(self, client, since):
        now = time.monotonic()
        self.longest_wait = max(self.longest_wait, now - since)
        if now - since > LONGEST_WAIT:
            self.waits.append((since, now, client.port, client.kind))

    def failed(self, client, text, excusable=False):
        self.failures.append((time.monotonic(), client.began, client.worker, excusable,
                              f"{client.kind}, port {client.port}: {text}"))

    def faults(self, stalls, slack=0):
        """What must not happen, as (time, text). A connection may fail if its worker was killed, or any worker while it was
        there if the client does not know its own. A client may wait as long as its worker is stopped."""
        killed = {worker for _, _, worker in self.kills}
        out = []
        for at, began, worker, excusable, text in self.failures:
            excused = worker in killed if worker else any(began <= to and since <= at for since, to, _ in self.kills)
            if not (excusable and excused):
                out.append((at, f"{text} (worker {worker or 'unknown'}, {at - began:.2f} s after its connect began)"))
        for since, to, port, kind in self.waits:
            stopped = sum(max(0, min(last, to) - max(first, since)) for first, last in self.held[port])
            stalled = stalls.within(since, to)
            if to - since > LONGEST_WAIT + slack + stopped + stalled:
                out.append((to, f"{kind}, port {port}: waited for {to - since:.2f} s ({stopped:.2f} s of it for a stopped "
                                f"worker, {stalled:.2f} s for the machine)"))
        return sorted(out)


class Client(threading.Thread):
    """One connection after the other until it is told to stop. `converse` is what happens on one."""
    kind = "?"
    may_end_inside_a_message = False

    def __init__(self, record, addresses, seed):
        super().__init__(daemon=True)
        self.record, self.addresses = record, addresses
        self.rng = random.Random(seed)
        self.stopping = threading.Event()
        self.broken = None

    def run(self):
        try:
            while not self.stopping.is_set():
                self.visit()
                self.pause()
        except BaseException as e:
            self.broken = e  # an error of the test itself
            raise

    def pause(self):
        time.sleep(self.rng.uniform(0.002, 0.03))

    def visit(self):
        self.worker = None  # the process id, once the client knows it
        self.port = UNIX
        self.late = False  # itself, with its first bytes
        self.answered = 0  # messages
        self.begun = False  # the answer to the present one
        self.began = time.monotonic()
        try:
            self.socket = connect(self.rng.choice(self.addresses))
        except OSError as e:
            return self.record.failed(self, f"connect: {e!r}")
        with self.socket:
            self.socket.settimeout(NEVER)
            if self.socket.family == socket.AF_INET:
                self.port = self.socket.getsockname()[1]
            try:
                self.converse()
            except Wrong as e:
                self.record.failed(self, f"wrong bytes: {e}")
            except TimeoutError:
                self.record.failed(self, f"no answer in {NEVER} s")
            except (Ended, ConnectionError) as e:
                self.has_ended(e)
            else:
                if self.rng.random() < 0.8:
                    reset(self.socket)  # leaves no port in TIME_WAIT

    def has_ended(self, e):
        if self.answered and (not self.begun or self.may_end_inside_a_message):
            self.record.closed[self.worker] += 1
        elif not self.late:
            where = "inside an answer" if self.begun else "before the first answer"
            self.record.failed(self, f"{e!r} {where}", excusable=True)

    @contextlib.contextmanager
    def message(self):
        self.begun = False
        yield
        self.begun = False
        self.answered += 1
        self.record.answers[self.kind] += 1

    def send(self, data):
        since = time.monotonic()
        self.socket.sendall(data)
        self.record.waited(self, since)
        # A server that leaves waits a second for a client's first bytes. A client that was held up has no complaint.
        if not self.answered and not self.begun and time.monotonic() - self.began > 0.7:
            self.late = True

    def receive(self, most=65536):
        since = time.monotonic() if self.answered or self.begun else self.began
        data = self.socket.recv(most)
        self.record.waited(self, since)
        if not data:
            raise Ended("the end")
        self.begun = True
        return data


# Echo.

class EchoClient(Client):
    def ask(self, size):
        message = self.rng.randbytes(size)
        with self.message():
            self.send(message)
            at = 0
            while at < size:
                got = self.receive()
                if got != message[at:at + len(got)]:
                    raise Wrong(f"at {at} of {size}")
                at += len(got)


class EchoOnce(EchoClient):
    kind = "one echo"

    def converse(self):
        self.ask(self.rng.choice([1, 64, 1000, 8192]))


class EchoLong(EchoClient):
    kind = "many echoes"

    def converse(self):
        for _ in range(self.rng.randrange(1, 200)):
            self.ask(self.rng.choice([1, 100, 4096]))
            self.pause()
            if self.stopping.is_set():
                return


class EchoStream(EchoClient):
    """For the server, what is longer than one of its reads may have ended with each of them."""
    kind = "echoed stream"
    may_end_inside_a_message = True

    def converse(self):
        self.ask(8)
        for _ in range(20):
            self.ask(60_000)
            self.pause()


# HTTP.

class Site:
    """What a server of HTTP has: files, bytes by path; where a body comes back, if it does; and where it tells which
    process serves, with a pattern for it."""

    def __init__(self, files, echo, who, pattern):
        self.files, self.echo, self.who, self.pattern = files, echo, who, pattern
        self.small = [path for path, content in files.items() if len(content) <= 100_000]
        self.large = max(files, key=lambda path: len(files[path]))


class HttpClient(Client):
    def __init__(self, record, addresses, seed, site):
        super().__init__(record, addresses, seed)
        self.site = site

    def head(self, path, method="GET", *lines):
        return "\r\n".join((f"{method} {path} HTTP/1.1", "Host: lifecycle", *lines, "", "")).encode()

    def receive_head(self, status):
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.receive()
        head, _, rest = data.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 " + status):
            raise Wrong(f"an answer that starts with {head[:60]!r}")
        return head, rest

    def receive_answer(self, most=65536, pace=0):
        head, rest = self.receive_head(b"200 ")
        self.is_last = re.search(rb"\r\nconnection: *close", head, re.I) is not None
        length = int(re.search(rb"\r\ncontent-length: *(\d+)", head, re.I)[1])
        body = bytearray(rest)
        while len(body) < length:
            time.sleep(pace)
            body += self.receive(min(most, length - len(body)))
        return bytes(body)

    def get(self, path, **how):
        with self.message():
            self.send(self.head(path))
            if self.receive_answer(**how) != self.site.files[path]:
                raise Wrong(f"the file {path}")

    def learn(self):
        with self.message():
            self.send(self.head(self.site.who))
            self.worker = int(re.search(self.site.pattern, self.receive_answer())[1])

    def post(self, size, pieces=1, pause=0, waits_for_leave=False):
        body = self.rng.randbytes(size)
        lines = [f"Content-Length: {size}"] + ["Expect: 100-continue"] * waits_for_leave
        with self.message():
            self.send(self.head(self.site.echo, "POST", *lines))
            if waits_for_leave:
                self.receive_head(b"100 ")
            for at in range(0, size, -(-size // pieces)):
                time.sleep(pause)
                self.send(body[at:at - (-size // pieces)])
            if self.receive_answer() != body:
                raise Wrong(f"a body of {size}")


class HttpOnce(HttpClient):
    kind = "one request"

    def converse(self):
        self.get(self.rng.choice(self.site.small))


class HttpLong(HttpClient):
    kind = "keep-alive"

    def converse(self):
        self.learn()
        for _ in range(self.rng.randrange(200)):
            if self.stopping.is_set() or self.is_last:
                return
            self.pause()
            if self.site.echo and self.rng.random() < 0.4:
                self.post(self.rng.choice([1, 5000, 60_000]), waits_for_leave=self.rng.random() < 0.3)
            else:
                self.get(self.rng.choice(self.site.small))


class HttpSlowBody(HttpClient):
    """Reloads fall into it."""
    kind = "slow body"

    def converse(self):
        self.post(100_000, pieces=20, pause=self.rng.uniform(0.001, 0.05), waits_for_leave=self.rng.random() < 0.5)


class HttpSlowReader(HttpClient):
    kind = "slow reader"

    def converse(self):
        self.get(self.site.large, most=200_000, pace=self.rng.uniform(0.001, 0.05))
