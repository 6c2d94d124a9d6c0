"""Starts a sample as a user would, finds where it listens, looks at its process, and stops it."""
import argparse
import contextlib
import os
import random
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest

BOUND = 20  # seconds that anything on this machine may take before it counts as stuck
CUT = 3  # the exit code of a server that has stopped and cut connections
options = None


def program(name):
    """A binary of the build under test."""
    for folder in ("samples", "tests/samples", "tests/bench"):
        path = os.path.join(options.build, folder, name)
        if os.path.isfile(path):
            return path
    raise FileNotFoundError(f"{name} is not built in {options.build}")


def source(*parts):
    """A file of the source tree."""
    return os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", *parts))


def run(*arguments, name="echo", environment=None, timeout=BOUND):
    """A run that ends by itself."""
    return subprocess.run([program(name), *map(str, arguments)], capture_output=True, text=True, timeout=timeout,
                          stdin=subprocess.DEVNULL, env=clean_environment(environment))


def over_io_uring():
    """TEST_IO=io_uring runs the tests over it, where the model has it."""
    return os.environ.get("TEST_IO") == "io_uring"


def lent_to_kernel(loops=2):
    """Bytes of the buffers that loops lend to their rings when they first receive: resident once they were used."""
    return loops * 128 * 16384 if over_io_uring() else 0


def clean_environment(more=None):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("WEIR_")}
    io = {"WEIR_IO": "auto"} if over_io_uring() else {}
    return {**kept, **io, **(more or {})}


def promised(took, seconds, what):
    """Prints how long something took beside what is promised. A shared machine may be slow, the more so the more
    threads each CPU has: it fails only when it must have waited for something else."""
    figure(f"{what}: {took * 1000:,.0f} ms, promised {seconds * 1000:,.0f}")
    if took > (seconds + 5) * max(1, os.getloadavg()[0] / os.cpu_count()):
        raise AssertionError(f"{what} took {took:.3f} s, promised {seconds} s")


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


def free_port(*more):
    """One that the kernel gives to no client, of other tests for instance, before it is used. Free on 127.0.0.1, and on `more`."""
    while True:
        port = random.randrange(10_000, 32_000)
        with contextlib.suppress(OSError), contextlib.ExitStack() as all_free:
            for host in ("127.0.0.1", *more):
                free = all_free.enter_context(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET))
                free.bind((host, port))
            return port


def until(true, what, seconds=BOUND):
    """Polls; the seconds that it took."""
    start = time.monotonic()
    while not true():
        if time.monotonic() - start > seconds:
            raise AssertionError(f"not within {seconds} s: {what() if callable(what) else what}")
        time.sleep(0.005)
    return time.monotonic() - start


class Sample:
    """A sample that serves. As a context it is stopped at the end, and must then exit with 0, or as it did when the
    test looked."""
    expected = 0  # the exit code, if it is not the one of a stop that cuts no connection

    def __init__(self, *arguments, name="echo", listen=("127.0.0.1:0",), before=(), environment=None):
        where = [word for address in listen for word in ("--listen", address)]
        self.lines = []
        self._said = threading.Condition()
        self.process = subprocess.Popen([*before, program(name), *where, *map(str, arguments)], text=True,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        env=clean_environment(environment))
        self.pid = self.process.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            found = re.search(r"listening on (.*?); ", self.wait_for_line("listening on "))
        except BaseException:
            self.kill()
            raise
        self.addresses = found[1].split(", ")
        self.address = self.addresses[0]

    def _read(self):
        for line in self.process.stderr:
            with self._said:
                self.lines.append(line.rstrip("\n"))
                self._said.notify_all()
        with self._said:
            self._said.notify_all()

    def wait_for_line(self, part, seconds=BOUND):
        def line():
            return next((text for text in self.lines if part in text), None)

        with self._said:
            ended = lambda: line() is not None or self.process.poll() is not None and not self._reader.is_alive()
            end = time.monotonic() + seconds
            while not ended() and time.monotonic() < end:
                self._said.wait(0.05)
            if line() is None:
                raise AssertionError(f"no line with '{part}' in: {self.lines}")
            return line()

    def send(self, number):
        self.process.send_signal(number)

    def wait(self, seconds=BOUND):
        """The exit code, once it has ended by itself."""
        code = self._ended(seconds)
        if code in (0, CUT):
            self.expected = code  # which the test has seen
        return code

    def _ended(self, seconds):
        code = self.process.wait(seconds)
        self._reader.join(seconds)
        return code

    def stop(self, number=signal.SIGTERM, seconds=BOUND):
        self.send(number)
        return self.wait(seconds)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stderr.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                if self.process.poll() is None:
                    self.send(signal.SIGTERM)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        self.process.wait(2)
                cut = self.process.poll() is None  # clients that the test has left
                if cut:
                    self.send(signal.SIGTERM)
                code = self._ended(BOUND)
                self.check(0 if cut and code == CUT else code)
            elif self.process.poll() is not None:
                self._reader.join(BOUND)
                self.check(self.process.returncode)  # of what the test saw, this is the likelier cause
        finally:
            self.kill()

    def check(self, code):
        if code not in (0, self.expected):
            raise AssertionError(f"exit code {code}:\n" + "\n".join(self.lines))

    # What the kernel tells of the process.

    def fds(self):
        return sorted(map(int, os.listdir(f"/proc/{self.pid}/fd")))

    def settled_fds(self):
        """How many there are when nothing is under way: a thread that starts may open something for a moment."""
        seen = []
        until(lambda: seen.append(len(self.fds())) or time.sleep(0.02) or len(seen) > 9 and len(set(seen[-10:])) == 1,
              lambda: f"descriptors come and go: {seen[-10:]}")
        return seen[-1]

    def descriptor_flags(self):
        flags = {}
        for fd in self.fds():
            with contextlib.suppress(FileNotFoundError):
                flags[fd] = int(re.search(r"flags:\s*(\d+)", read(f"/proc/{self.pid}/fdinfo/{fd}"))[1], 8)
        return flags

    def rss(self):
        """Bytes."""
        return int(re.search(r"VmRSS:\s*(\d+) kB", read(f"/proc/{self.pid}/status"))[1]) * 1024

    def cpu_seconds(self):
        fields = read(f"/proc/{self.pid}/stat").rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def threads(self):
        """Of each thread, the CPUs that it may use."""
        task = f"/proc/{self.pid}/task"
        return [cpus(re.search(r"Cpus_allowed_list:\s*(\S+)", read(f"{task}/{t}/status"))[1]) for t in
                sorted(os.listdir(task), key=int)]


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def cpus(text):
    out = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        out |= set(range(int(first), int(last or first) + 1))
    return out


# Clients.

def connect(address, receive_buffer=None, from_address=None):
    """A connected socket: `127.0.0.1:7000`, `[::1]:7000` or `unix:/path`."""
    if address.startswith("unix:"):
        family, to = socket.AF_UNIX, address[5:]
    else:
        host, _, port = address.rpartition(":")
        family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
        to = (host.strip("[]"), int(port))
    client = socket.socket(family)
    try:
        client.settimeout(BOUND)
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if from_address:
            client.bind((from_address, 0))
        client.connect(to)
    except BaseException:
        client.close()
        raise
    return client


@contextlib.contextmanager
def at_once(address, count):
    """So many clients whose connects are all under way before any is awaited."""
    host, _, port = address.rpartition(":")
    with contextlib.ExitStack() as held:
        clients = [held.enter_context(socket.socket()) for _ in range(count)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex((host, int(port)))
        for client in clients:
            client.settimeout(BOUND)
        yield clients


@contextlib.contextmanager
def busy_machine(count=2):
    """Other processes that compute all the time."""
    hogs = []
    try:
        for _ in range(count):
            hogs.append(subprocess.Popen(["sh", "-c", "while :; do :; done"], stdin=subprocess.DEVNULL))
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


def receive_exactly(client, count):
    data = b""
    while len(data) < count:
        got = client.recv(count - len(data))
        if not got:
            raise AssertionError(f"the end came after {len(data)} of {count} bytes")
        data += got
    return data


def receive_all(client):
    data = bytearray()
    while got := client.recv(65536):
        data += got
    return bytes(data)


def ask(client, message=b"ping"):
    client.sendall(message)
    return receive_exactly(client, len(message))


def reset(client):
    """Closes with RST."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def answered(clients, seconds, enough=None):
    """Those of `clients` that become readable within so many seconds, or the first `enough` of them."""
    poller = select.poll()
    by_fd = {c.fileno(): c for c in clients}
    for fd in by_fd:
        poller.register(fd, select.POLLIN)
    found = []
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and (enough is None or len(found) < enough):
        for fd, _ in poller.poll(left * 1000):
            poller.unregister(fd)
            found.append(by_fd[fd])
    return found


def load(address, *arguments, timeout=120):
    """The load generator to its end. It checks every byte itself."""
    done = subprocess.run([program("load"), "--connect", address, *map(str, arguments)], capture_output=True, text=True,
                          timeout=timeout, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise AssertionError(f"load {' '.join(map(str, arguments))}: exit code {done.returncode}: {done.stderr}")
    return done.stdout


def figure(*words):
    """A measurement, for the log of the test."""
    print("   ", *words, flush=True)


def main():
    """Tests of classes with `slow = True` run with --slow, those of classes with `alone = True` with --alone."""
    global options
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True, help="the build tree whose samples are tested")
    parser.add_argument("--slow", action="store_true", help="the long tests instead of the quick ones")
    parser.add_argument("--alone", action="store_true", help="the tests that bear no load beside them instead of the others")
    parser.add_argument("--part", type=part, help="k/n: every n-th test, from the k-th on")
    parser.add_argument("--sanitized", default="", help="the sanitizers of the build, whose memory and time count")
    parser.add_argument("names", nargs="*", help="Class or Class.test")
    # The tests import this file as a module of its own.
    options = sys.modules["sample"].options = parser.parse_args()
    module = sys.modules["__main__"]
    names = options.names or [n for n, c in vars(module).items() if is_asked_for(c)]
    suite = unittest.defaultTestLoader.loadTestsFromNames(names, module)
    if options.part:
        first, step = options.part
        suite = unittest.TestSuite(list(tests_of(suite))[first - 1::step])
    sys.exit(not unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful())


def is_asked_for(kind):
    return (isinstance(kind, type) and issubclass(kind, unittest.TestCase) and
            getattr(kind, "slow", False) == options.slow and
            (options.slow or getattr(kind, "alone", False) == options.alone))


def part(text):
    which, _, of = text.partition("/")
    return int(which), int(of)


def tests_of(suite):
    for each in suite:
        if isinstance(each, unittest.TestSuite):
            yield from tests_of(each)
        else:
            yield each
