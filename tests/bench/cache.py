#!/usr/bin/env python3
"""What a get or a set costs: the cache sample beside memcached, in the same protocol and under the same load.

On one core: both servers on CPU 0, loaded in turns from CPU 1. On two cores: both on both CPUs, which the load
shares. 64 connections, 9 gets to 1 set, values of 100 bytes, 10,000 keys; every byte of every reply is checked.
Figures and ratios of a row are those of one round, the most typical one. Requests per second may be limited by the
load, which costs as much as a server; CPU per request is the server's own.
"""
import argparse
import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

sys.dont_write_bytecode = True
import measure
from measure import Failure, Program, Server, say

ROOT = Path(__file__).resolve().parents[2]
LOADS = {  # name: (loops of the server, CPUs of the load, its arguments)
    "one core": (1, (1,), []),
    "one core, 16 pipelined": (1, (1,), ["--depth", 16]),
    "two cores": (2, (0, 1), ["--threads", 2]),
    "two cores, 16 pipelined": (2, (0, 1), ["--threads", 2, "--depth", 16]),
}
ITEMS = 1_000_000
REAL_TIME = ["chrt", "--rr", "10"]  # before a command: others on this machine wait


def programs(build, loops, memory=64):
    cpus = tuple(range(loops))
    user = ["-u", "root"] if os.geteuid() == 0 else []
    return [
        Program("memcached", ["/usr/bin/memcached", "-l", "127.0.0.1", "-p", "{port}", "-t", loops, "-m", memory, *user],
                cpus=cpus),
        Program("weir", [Path(build) / "samples/cache", "--listen", "127.0.0.1:{port}", "-m", memory, "--cores",
                         ",".join(map(str, cpus))], cpus=cpus),
    ]


class Load:
    """The generator of a build tree."""

    def __init__(self, build, before=()):
        self.command = [*before, Path(build) / "tests/bench/cache_load"]

    def run(self, server, cpus, *arguments, limit=300):
        command = [*self.command, "--connect", f"127.0.0.1:{server.port}", *arguments]
        done = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=limit, preexec_fn=measure.on_cpus(cpus))
        if done.returncode != 0:
            raise Failure(f"the load on {server.program.name} failed: {done.stderr.strip()}\n{server.said()}")
        return json.loads(done.stdout) if done.stdout else None


def side_by_side(build, loops, cpus, arguments, rounds, seconds, before):
    """Per server its rounds, each (requests/s, CPU µs per request)."""
    load = Load(build, before)
    with ExitStack() as running:
        servers = [running.enter_context(Server(program, under=before)) for program in programs(build, loops)]
        result = {server.program.name: [] for server in servers}
        for server in servers:
            load.run(server, cpus, *arguments, "--seconds", 0.2)
        for k in range(rounds):
            for server in servers if k % 2 == 0 else servers[::-1]:
                spent_before = server.cpu_seconds()
                done = load.run(server, cpus, *arguments, "--seconds", seconds)
                time.sleep(0.05)
                spent = server.cpu_seconds() - spent_before
                result[server.program.name].append((done["requests_per_second"], spent * 1e6 / done["requests"]))
        return result


def bytes_per_item(build, items):
    """Resident memory for each of so many items of 100 bytes under keys of 16."""
    load = Load(build)
    result = {}
    for program in programs(build, 1, memory=1024):
        with Server(program) as server:
            load.run(server, (1,), "--seconds", 0.2)
            before = server.private_bytes()
            load.run(server, (1,), "--fill", items)
            result[program.name] = (server.private_bytes() - before) / (items - 10_000)  # those that were there
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build/release", help="tree of the binaries")
    parser.add_argument("--out", type=Path, default=ROOT / "build/bench/cache.json", help="where the JSON goes")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: a look, not a figure")
    parser.add_argument("--realtime", action="store_true",
                        help="servers and load before everybody else on this machine (chrt): for one that is shared")
    options = parser.parse_args()
    before = REAL_TIME if options.realtime else []
    for needed in ("/usr/bin/memcached", options.build / "samples/cache", options.build / "tests/bench/cache_load"):
        if not Path(needed).exists():
            raise Failure(f"{needed} is not there")
    measure.raise_descriptor_limit()
    busy = os.getloadavg()[0]
    if busy > 0.5 and not options.realtime:
        say(f"the machine is busy (load {busy:.1f}): trust ratios, not times")

    figures = {}
    print(f"{'load':<26}{'memcached':>12}{'weir':>12}  {'ratio':>6}{'memcached us':>14}{'weir us':>9}  {'CPU ratio':>9}")
    for name, (loops, cpus, arguments) in LOADS.items():
        if loops > (os.cpu_count() or 1):
            continue
        say(f"{name}: memcached and weir in turns")
        rounds = side_by_side(options.build, loops, cpus, arguments, *((2, 0.4) if options.quick else (7, 1)), before)
        typical = measure.typical_round(rounds, "memcached")
        (rate, cost), (its_rate, its_cost) = rounds["weir"][typical], rounds["memcached"][typical]
        figures[name] = {"requests_per_second": {"memcached": its_rate, "weir": rate}, "ratio": rate / its_rate,
                         "cpu_us_per_request": {"memcached": its_cost, "weir": cost}, "cpu_ratio": cost / its_cost}
        print(f"{name:<26}{its_rate:>12,.0f}{rate:>12,.0f}  {rate / its_rate:>6.2f}"
              f"{its_cost:>14.2f}{cost:>9.2f}  {cost / its_cost:>9.2f}", flush=True)

    items = ITEMS // 10 if options.quick else ITEMS
    say(f"memory: {items:,} items of 100 bytes")
    memory = bytes_per_item(options.build, items)
    figures["bytes_per_item"] = memory
    print(f"{'bytes per 100-byte item':<26}{memory['memcached']:>12,.0f}{memory['weir']:>12,.0f}  "
          f"{memory['weir'] / memory['memcached']:>6.2f}")
    measure.write(options, load_before=busy, **figures)


if __name__ == "__main__":
    measure.run(main)
