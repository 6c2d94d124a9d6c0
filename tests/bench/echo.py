#!/usr/bin/env python3
"""What an echo costs: weir beside the same server written on epoll, libuv and Asio's coroutines.

The servers run side by side, all on CPU 0, and are loaded in turns from CPU 1, so that whatever else the
machine does hits all of them. A ratio compares two figures of the same round; the table shows medians.
"""
import argparse
import json
import os
import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path

sys.dont_write_bytecode = True
import measure
from measure import Failure, Load, Server

ROOT = Path(__file__).resolve().parents[2]
KINDS = ["instructions", "memory", "throughput", "single", "connect"]
RULER = "echo_epoll"

COLUMNS = [  # key, heading, format
    ("instructions_per_echo", "instr/echo", "{:,.0f}"),
    ("bytes_per_idle_connection", "bytes/idle", "{:,.0f}"),
    ("requests_per_second", "req/s", "{:,.0f}"),
    ("requests_per_second_ratio", "ratio", "{:.3f}"),
    ("user_us_per_request", "user us", "{:.2f}"),
    ("system_us_per_request", "sys us", "{:.2f}"),
    ("cpu_ratio", "cpu ratio", "{:.3f}"),
    ("single_cpu_us_per_echo", "1 conn us", "{:.2f}"),
    ("single_cpu_ratio", "ratio", "{:.3f}"),
    ("connect_cpu_us", "connect us", "{:.2f}"),
    ("connect_cpu_ratio", "ratio", "{:.3f}"),
]


def say(text):
    print(text, file=sys.stderr, flush=True)


class Bench:
    def __init__(self, build, quick):
        self.load = Load(build)
        self.rounds = 2 if quick else 5
        self.seconds = 0.5 if quick else 1.5
        self.cycles = 3_000 if quick else 20_000
        self.few, self.many = (5_000, 15_000) if quick else (20_000, 60_000)
        self.figures = {}

    def note(self, program, **figures):
        self.figures.setdefault(program.name, {}).update(figures)

    def instructions(self, chosen):
        for program in chosen:
            say(f"instructions: {program.name}, {self.few:,} and {self.many:,} echoes under callgrind")
            self.note(program, instructions_per_echo=measure.instructions_per_echo(
                program, self.load, self.few, self.many))

    def memory(self, chosen):
        for program in chosen:
            say(f"memory: {program.name}, 10,000 idle connections")
            self.note(program, bytes_per_idle_connection=measure.bytes_per_idle_connection(program, self.load))

    def in_turns(self, what, chosen, *arguments):
        """Per server its rounds, each (requests/s, CPU µs per request), and its user share of the CPU time."""
        with ExitStack() as running:
            servers = [running.enter_context(Server(program)) for program in chosen]
            for server in servers:
                self.load.run(server, "--connections", 64, "--requests", 2_000)
            ticks = {s: s.user_and_system_ticks() for s in servers}
            rounds = {s: [] for s in servers}
            for k in range(self.rounds):
                say(f"{what}: round {k + 1} of {self.rounds}")
                # Rotated, so that no server always follows the same one.
                for server in servers[k % len(servers):] + servers[:k % len(servers)]:
                    before = server.cpu_seconds()
                    done = self.load.run(server, *arguments)
                    # What is left to do after the last answer, such as closing, belongs to the run.
                    time.sleep(0.05)
                    spent = server.cpu_seconds() - before
                    rounds[server].append((done["requests_per_second"], spent * 1e6 / done["requests"]))
            result = {}
            for server in servers:
                user, system = (now - then for now, then in zip(server.user_and_system_ticks(), ticks[server]))
                result[server.program] = rounds[server], user / max(1, user + system)
            return result

    def ratio(self, results, program, index):
        ruler = next((r for p, (r, _) in results.items() if p.name == RULER), None)
        if ruler is None:
            return None
        return statistics.median(own[index] / its[index] for own, its in zip(results[program][0], ruler))

    def throughput(self, chosen):
        results = self.in_turns("throughput, 64 connections", chosen, "--connections", 64, "--size", 64,
                                "--seconds", self.seconds)
        for program, (rounds, user) in results.items():
            cpu = statistics.median(r[1] for r in rounds)
            self.note(program, requests_per_second=statistics.median(r[0] for r in rounds),
                      requests_per_second_ratio=self.ratio(results, program, 0),
                      user_us_per_request=cpu * user, system_us_per_request=cpu * (1 - user),
                      cpu_ratio=self.ratio(results, program, 1))

    def single(self, chosen):
        results = self.in_turns("one connection", chosen, "--connections", 1, "--size", 64,
                                "--seconds", self.seconds)
        for program, (rounds, _) in results.items():
            self.note(program, single_cpu_us_per_echo=statistics.median(r[1] for r in rounds),
                      single_cpu_ratio=self.ratio(results, program, 1))

    def connect(self, chosen):
        # Reset by the client once it has its echo: an orderly close would leave 20,000 ports in TIME_WAIT.
        results = self.in_turns("connect, echo, close", chosen, "--mode", "connect", "--close", "reset",
                                "--connections", 8, "--size", 64, "--requests", self.cycles)
        for program, (rounds, _) in results.items():
            self.note(program, connect_cpu_us=statistics.median(r[1] for r in rounds),
                      connect_cpu_ratio=self.ratio(results, program, 1))


def table(figures):
    columns = [c for c in COLUMNS if any(row.get(c[0]) is not None for row in figures.values())]
    lines = [["server"] + [heading for _, heading, _ in columns]]
    for name, row in figures.items():
        lines.append([name] + [form.format(row[key]) if row.get(key) is not None else "-"
                               for key, _, form in columns])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(w) if i == 0 else cell.rjust(w)
                               for i, (cell, w) in enumerate(zip(line, widths))) for line in lines)


def choice_list(known):
    def parse(text):
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"'{name}' is none of {', '.join(known)}")
        return names
    return parse


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build/release", help="tree of the binaries")
    parser.add_argument("--out", type=Path, default=ROOT / "build/bench/echo.json", help="where the JSON goes")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: a look, not a figure")
    parser.add_argument("--only", type=choice_list(KINDS), default=KINDS, help="of " + ",".join(KINDS))
    parser.add_argument("--servers", help="a,b,...: only these (echo_epoll is what ratios refer to)")
    options = parser.parse_args()

    known = measure.programs(options.build)
    if options.servers:
        names = choice_list([p.name for p in known])(options.servers)
        known = [p for p in known if p.name in names]
    chosen = [p for p in known if p.built()]
    missing = [p for p in known if not p.built() and not p.instructions_only]
    for program in missing:
        say(f"skipped: {program.name}, {program.command[0]} is not built")
    if not Path(options.build, "tests/bench/load").exists():
        raise Failure(f"the load is not built in {options.build}: cmake --preset bench && cmake --build --preset bench")
    if not chosen:
        raise Failure("nothing to measure")

    busy = os.getloadavg()[0]
    if busy > 0.5:
        say(f"the machine is busy (load {busy:.1f}): trust counts and ratios, not times")
    measure.raise_descriptor_limit()
    bench = Bench(options.build, options.quick)
    for kind in options.only:
        servers = chosen if kind == "instructions" else [p for p in chosen if not p.instructions_only]
        getattr(bench, kind)(servers)

    print(table(bench.figures))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"quick": options.quick, "cpus": os.cpu_count(), "kernel": os.uname().release,
                                       "load_before": busy, "servers": bench.figures}, indent=2) + "\n")
    say(f"written: {options.out}")
    return 1 if missing else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Failure, argparse.ArgumentTypeError) as failure:
        say(f"bench: {failure}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
