"""How the echo benchmark measures: servers and loads as child processes, each on a CPU of its own."""
import argparse
import contextlib
import json
import os
import re
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "samples"))
from sample import free_port

SERVER_CPU = 0
LOAD_CPU = 1
TICK = os.sysconf("SC_CLK_TCK")


class Failure(Exception):
    pass


def say(text):
    print(text, file=sys.stderr, flush=True)


def run(main):
    """What a benchmark ends with: its exit code, and a line for what went wrong."""
    try:
        sys.exit(main())
    except (Failure, argparse.ArgumentTypeError) as failure:
        say(f"bench: {failure}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def write(options, **figures):
    """The figures as JSON in the file that the options name."""
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"quick": options.quick, "kernel": os.uname().release, **figures}, indent=2) + "\n")
    say(f"written: {options.out}")


def raise_descriptor_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def on_cpus(cpus):
    """What a child does before it becomes its program."""
    usable = os.sched_getaffinity(0)

    def prepare():
        raise_descriptor_limit()
        os.sched_setaffinity(0, usable & set(cpus) or usable)

    return prepare


class Program:
    """One way to write the same echo. `{port}` in a command is replaced."""

    def __init__(self, name, command, instructions_only=False, cpus=(SERVER_CPU,), check=(), only_if_named=False):
        self.name = name
        self.command = [str(part) for part in command]
        self.cpus = cpus
        self.instructions_only = instructions_only
        self.only_if_named = only_if_named
        self.check = [str(part) for part in check]

    def built(self):
        return Path(self.command[0]).exists()

    def refuses(self):
        """Why it cannot run on this machine; empty if it can."""
        if not self.check:
            return ""
        done = subprocess.run(self.command[:1] + self.check, capture_output=True, text=True, timeout=30)
        return done.stderr.strip() if done.returncode != 0 else ""


def programs(build):
    peers = Path(build) / "tests/bench"
    weir = [Path(build) / "samples/echo", "--listen", "127.0.0.1:{port}", "--cores", str(SERVER_CPU)]
    return [
        Program("echo_epoll", [peers / "echo_epoll", "{port}"]),
        Program("echo_uring", [peers / "echo_uring", "{port}"]),
        Program("echo_libuv", [peers / "echo_libuv", "{port}"]),
        Program("echo_asio", [peers / "echo_asio", "{port}"]),
        Program("echo_tokio", [peers / "echo_tokio", "{port}"]),
        Program("weir", weir),
        Program("weir-io_uring", weir + ["--io", "io_uring"], check=["--io", "io_uring", "--check"]),
        Program("weir-recorder", weir + ["--set", "observe.recorder=256KiB"], only_if_named=True),
        Program("weir-no-deadline", weir + ["--set", "limits.idle_timeout=0s"], instructions_only=True),
    ]


def parking_echo(build):
    """weir's echo with a handler that parks after each message."""
    return Program("weir", [Path(build) / "tests/bench/echo_park", "--listen", "127.0.0.1:{port}", "--cores", str(SERVER_CPU)])


class Server:
    """A running server; leaves the `with` block stopped, and complains if it did not stop by itself, unless it is to
    be killed."""

    def __init__(self, program, under=(), patience=10, killed=False):
        self.killed = killed
        self.program = program
        self.under = list(under)
        self.patience = patience

    def __enter__(self):
        self.port = free_port()
        self.prepare()
        self.output = tempfile.TemporaryFile()
        command = self.under + [part.format(port=self.port) for part in self.program.command]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.output,
                                        stderr=subprocess.STDOUT, preexec_fn=on_cpus(self.program.cpus))
        self.pid = self.process.pid
        try:
            self._await_listening()
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        return self

    def prepare(self):
        """What a server needs to find when it starts, once its port is known."""

    def _await_listening(self):
        # The kernel's table is read, not the port: a probing connection would be served and counted.
        wanted = f"0100007F:{self.port:04X} 00000000:0000 0A"
        end = time.monotonic() + self.patience
        late = False
        while wanted not in Path("/proc/net/tcp").read_text():
            if self.process.poll() is not None:
                raise Failure(f"{self.program.name} ended at once: {self.said()}")
            if late:
                raise Failure(f"{self.program.name} does not listen after {self.patience} s: {self.said()}")
            late = time.monotonic() > end  # and then one more look: this process may have been held up itself
            time.sleep(0.02)

    def said(self):
        self.output.seek(0)
        return self.output.read()[-2000:].decode(errors="replace").strip() or "(no output)"

    def __exit__(self, kind, *_):
        if self.killed:
            self.process.kill()
            self.process.wait()
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(self.patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            code = "none within %d s" % self.patience
        if kind is None and code != 0:
            raise Failure(f"{self.program.name} answered SIGTERM with exit code {code}: {self.said()}")
        self.output.close()

    def cpu_seconds(self):
        """Time on a CPU of all its threads. Exact while it sleeps, which it does between loads."""
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def user_and_system_ticks(self):
        """In hundredths of a second; only their proportion over a long run means something."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]), int(fields[12])

    def private_bytes(self):
        """Anonymous memory that is resident, counted page by page: RssAnon in `status` is approximate."""
        text = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return int(re.search(r"^Anonymous:\s+(\d+) kB", text, re.M)[1]) * 1024


class Load:
    """Runs the load generator of a build tree and reads its one line of JSON."""

    def __init__(self, build, cpus=(LOAD_CPU,)):
        self.path = Path(build) / "tests/bench/load"
        self.cpus = cpus

    def command(self, server, arguments):
        return [str(self.path), "--connect", f"127.0.0.1:{server.port}"] + [str(a) for a in arguments]

    def run(self, server, *arguments, limit=120):
        try:
            done = subprocess.run(self.command(server, arguments), stdin=subprocess.DEVNULL, capture_output=True,
                                  text=True, timeout=limit, preexec_fn=on_cpus(self.cpus))
        except subprocess.TimeoutExpired:
            raise Failure(f"the load on {server.program.name} did not end within {limit} s") from None
        if done.returncode != 0:
            raise Failure(f"the load on {server.program.name} failed: {done.stderr.strip()}\n{server.said()}")
        return json.loads(done.stdout)

    def hold_idle(self, server, count, then, limit=120):
        """Calls `then` while `count` connections are open that each have spoken once."""
        with subprocess.Popen(self.command(server, ["--idle", count]), stdin=subprocess.PIPE, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=on_cpus(self.cpus)) as held:
            try:
                if held.stdout.readline().strip() != "ready":
                    raise Failure(f"{count} idle connections to {server.program.name}: {held.stderr.read().strip()}")
                result = then()
                _, errors = held.communicate(timeout=limit)
            except BaseException:
                held.kill()
                raise
        if held.returncode != 0:
            raise Failure(f"{count} idle connections to {server.program.name}: {errors.strip()}")
        return result


def processes(pid):
    """A process and those that it has forked."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # the thread, or the child, has ended meanwhile
            for child in (task / "children").read_text().split():
                found += processes(int(child))
    return found


def user_instructions(program, load, counts, connections=64, size=64):
    """For each number of requests in `counts`, the instructions that one and the same server executes in user mode from
    the start of such a load until nothing of it is left to do, as callgrind counts them."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "callgrind.out"
        valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
        # Killed: valgrind 3.19 delivers no signal to a server that waits in io_uring_enter.
        with Server(program, under=valgrind, patience=60, killed=True) as server:
            found = []
            # The first one pays for what a server does once, and is not counted.
            for requests in (counts[0], *counts):
                load.run(server, "--connections", connections, "--size", size, "--requests", requests,
                         "--timeout", 60, limit=300)
                rested(server)
                # A dump counts from the one before.
                subprocess.run(["vgdb", f"--pid={server.pid}", "dump"], check=True, capture_output=True, timeout=60)
                dumps = list(Path(folder).glob("callgrind.out.*"))
                totals = [re.search(r"^(?:summary|totals): (\d+)", dump.read_text(), re.M) for dump in dumps]
                if len(dumps) != len(found) + 1 or not all(totals):
                    raise Failure(f"callgrind wrote no total for {program.name}")
                found.append(sum(int(total[1]) for total in totals) - sum(found))
    return found[1:]


def rested(server, patience=60):
    """Waits until the server has nothing left to do, such as closing."""
    end = time.monotonic() + patience
    before = None
    while (now := server.cpu_seconds()) != before:
        if time.monotonic() > end:
            raise Failure(f"{server.program.name} does not come to rest")
        before = now
        time.sleep(0.2)


def instructions_per_echo(program, load, few=20_000, many=60_000):
    """Two loads that differ only in the number of echoes, so that connections and their ends cancel out."""
    of_few, of_many = user_instructions(program, load, (few, many))
    return (of_many - of_few) / (many - few)


def system_calls(program, load, requests, connections):
    """All that the server's threads make from start to stop, as strace counts them."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "strace.out"
        # -D keeps the server the child, so that it gets the signals.
        with Server(program, under=["strace", "-D", "-f", "-c", "-o", out], patience=60) as server:
            load.run(server, "--connections", connections, "--size", 64, "--requests", requests, "--timeout", 60)
        end = time.monotonic() + 20
        while not (found := re.search(r"^100\.00\s+\S+\s+\S+\s+(\d+)", out.read_text(), re.M)):
            if time.monotonic() > end:
                raise Failure(f"strace wrote no total for {program.name}")
            time.sleep(0.02)
    return int(found[1])


def system_calls_per_echo(program, load, connections, few=1_000, many=3_000):
    """Two runs that differ only in the number of echoes, so that start and stop cancel out."""
    return (system_calls(program, load, many, connections) - system_calls(program, load, few, connections)) / (many - few)


def bytes_per_idle_connection(program, load, count=10_000):
    with Server(program) as server:
        load.run(server, "--connections", 64, "--requests", 20_000)
        time.sleep(0.2)
        before = server.private_bytes()

        def grown():
            time.sleep(0.2)
            return server.private_bytes() - before

        return load.hold_idle(server, count, grown) / count


def ratio(own, its):
    return own / its if its else 1.0


def typical_round(rounds, ruler):
    """The round whose ratios to `ruler` lie nearest to their medians over all rounds. A table shows the figures of one
    round: medians of figures and medians of their ratios would not agree with each other on a machine that others use
    too. `rounds`: name -> [(figure, ...) of each round]."""
    theirs = rounds[ruler]
    ratios = [[[ratio(own, its) for own, its in zip(mine[k], theirs[k])] for mine in rounds.values()]
              for k in range(len(theirs))]
    flat = [[value for row in of for value in row] for of in ratios]
    medians = [statistics.median(column) for column in zip(*flat)]
    return min(range(len(flat)),
               key=lambda k: sum(abs(ratio(value, middle) - 1) for value, middle in zip(flat[k], medians)))
