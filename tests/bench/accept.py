#!/usr/bin/env python3
"""What it costs to take a connection: the five ways in which a process pool accepts, beside loops in one process.

Two workers, or two loops, on two CPUs that they share with the load (connect, 64 bytes and their echo, reset). The servers
are loaded in turns, round after round; the figures are those of the most typical round. Balance is counted over 2,000
connections one after the other; fruitless accepts, which found no connection, by strace over 1,000 of them with eight
workers.
"""
import argparse
import collections
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

sys.dont_write_bytecode = True
import measure
from measure import Failure, Load, Program, Server, say

ROOT = Path(__file__).resolve().parents[2]
PLAIN = "loop-per-core"
MODES = ["shared", "mutex", "reuseport", "notify", "dispatch"]
COLUMNS = [("per_second", "connections/s", "{:,.0f}"), ("ratio", "ratio", "{:.2f}"), ("cpu_us", "CPU us each", "{:.1f}"),
           ("smaller", "smaller share", "{:.1%}"), ("fruitless", "fruitless each", "{:.2f}")]


def server(build, name, workers=2):
    """Tells each client who serves it."""
    plain = name == PLAIN
    command = [build / "tests/samples" / ("which_loop" if plain else "pool_worker"), "--listen", "127.0.0.1:{port}"]
    command += ["--cores", ",".join(map(str, sorted(os.sched_getaffinity(0))[:workers]))] if plain else \
        ["--model", "process-pool", "--processes", workers, "--set", f"processes.accept={name}"]
    return Server(Program(name, command, cpus=os.sched_getaffinity(0)))


def echoes(build, name):
    command = [build / "samples/echo", "--listen", "127.0.0.1:{port}"]
    command += ["--cores", "0,1"] if name == PLAIN else ["--model", "process-pool", "--processes", 2, "--set",
                                                        f"processes.accept={name}"]
    return Server(Program(name, command, cpus=os.sched_getaffinity(0)))


def cpu_seconds(pid):
    return sum(int((task / "schedstat").read_text().split()[0]) / 1e9 for each in measure.processes(pid)
               for task in Path(f"/proc/{each}/task").iterdir())


def who_serves(port, command):
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(command)
        return client.recv(100)


def one_after_the_other(running, count, plain):
    command = b"" if plain else b"who\n"
    return collections.Counter(who_serves(running.port, command) for _ in range(count))


def wait_until_all_serve(running, workers, plain):
    end = time.monotonic() + 30
    seen = set()
    while len(seen) < workers:
        seen |= set(one_after_the_other(running, 1, plain))
        if time.monotonic() > end:
            raise Failure(f"only {len(seen)} of {workers} of {running.program.name} serve")


def smaller_share(build, name):
    with server(build, name) as running:
        wait_until_all_serve(running, 2, name == PLAIN)
        shares = one_after_the_other(running, 2000, name == PLAIN)
    return min(shares.values()) / shares.total()


def fruitless(build, name, workers=8, connections=1000):
    """accept4 calls that found nobody, for each connection."""
    plain = name == PLAIN
    if plain:
        workers = min(2, len(os.sched_getaffinity(0)))
    with server(build, name, workers) as running:
        wait_until_all_serve(running, workers, plain)
        with tempfile.NamedTemporaryFile() as log:
            watching = [word for pid in measure.processes(running.pid) for word in ("-p", str(pid))]
            with subprocess.Popen(["strace", "-f", "-qq", "-e", "trace=accept4", "-o", log.name, *watching],
                                  stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as strace:
                wait_until_traced(running)
                one_after_the_other(running, connections, plain)
                strace.send_signal(signal.SIGINT)
            text = Path(log.name).read_text()
    return len(re.findall(r"= -1 EAGAIN", text)) / connections


def wait_until_traced(running):
    end = time.monotonic() + 30
    tasks = [task for pid in measure.processes(running.pid) for task in Path(f"/proc/{pid}/task").iterdir()]
    while any("TracerPid:\t0" in (task / "status").read_text() for task in tasks):
        if time.monotonic() > end:
            raise Failure("strace does not attach")
        time.sleep(0.05)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build/release", help="tree of the binaries")
    parser.add_argument("--quick", action="store_true", help="shorter runs: a look, not a figure")
    options = parser.parse_args()
    rounds, seconds = (2, 0.5) if options.quick else (5, 2)
    names = [PLAIN, *MODES]
    load = Load(options.build, os.sched_getaffinity(0))
    figures = collections.defaultdict(lambda: collections.defaultdict(list))
    with ExitStack() as stack:
        running = {name: stack.enter_context(echoes(options.build, name)) for name in names}
        for i in range(rounds):
            say(f"round {i + 1} of {rounds}: {len(names)} servers, {seconds} s each")
            for name, each in running.items():
                before = cpu_seconds(each.pid)
                done = load.run(each, "--mode", "connect", "--close", "reset", "--connections", 64, "--seconds", seconds)
                figures[name]["per_second"].append(done["requests_per_second"])
                figures[name]["cpu_us"].append((cpu_seconds(each.pid) - before) * 1e6 / done["requests"])
    rounds_of = {name: list(zip(figures[name]["per_second"], figures[name]["cpu_us"])) for name in names}
    typical = measure.typical_round(rounds_of, PLAIN)
    for name in names:
        rate, cpu = rounds_of[name][typical]
        figures[name].update(per_second=rate, cpu_us=cpu, ratio=rate / rounds_of[PLAIN][typical][0])
        say(f"balance and fruitless accepts of {name}")
        figures[name]["smaller"] = smaller_share(options.build, name)
        figures[name]["fruitless"] = fruitless(options.build, name)
    print(f"{'':<16}" + "".join(f"{heading:>16}" for _, heading, _ in COLUMNS))
    for name in names:
        print(f"{name:<16}" + "".join(f"{form.format(figures[name][key]):>16}" for key, _, form in COLUMNS))


if __name__ == "__main__":
    measure.run(main)
