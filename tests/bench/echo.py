#!/usr/bin/env python3
"""What an echo costs: weir beside the same server written on epoll, io_uring, libuv, Asio's coroutines and
tokio.

The servers run side by side, all on CPU 0, and are loaded in turns from CPU 1, so that whatever else the
machine does hits all of them. Times are those of one round, the most typical one, so that the figures of a column
divide to the ratios beside them; the range of the ratio over all rounds says how far to trust it.
"""
import argparse
import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path

sys.dont_write_bytecode = True
import measure
from measure import Failure, Load, Server, say

ROOT = Path(__file__).resolve().parents[2]
KINDS = ["instructions", "calls", "memory", "throughput", "single", "many", "connect"]
RULER = "echo_epoll"

COLUMNS = [  # key, heading, how it is printed
    ("instructions_per_echo", "instr/echo", "{:,.0f}".format),
    ("calls_at_1", "calls at 1", "{:.2f}".format),
    ("calls_at_64", "at 64", "{:.2f}".format),
    ("bytes_per_idle_connection", "bytes/idle", "{:,.0f}".format),
    ("bytes_per_parked_connection", "parked", "{:,.0f}".format),
    ("requests_per_second", "req/s", "{:,.0f}".format),
    ("requests_ratio", "ratio", "{:.2f}".format),
    ("requests_range", "range", lambda range: "{:.2f}-{:.2f}".format(*range)),
    ("p99_us", "p99 us", "{:,.0f}".format),
    ("p99_9_us", "p99.9 us", "{:,.0f}".format),
    ("user_us", "user us", "{:.2f}".format),
    ("system_us", "sys us", "{:.2f}".format),
    ("cpu_us", "cpu us", "{:.2f}".format),
    ("cpu_ratio", "ratio", "{:.2f}".format),
    ("cpu_range", "range", lambda range: "{:.2f}-{:.2f}".format(*range)),
    ("single_cpu_us", "1 conn us", "{:.2f}".format),
    ("single_cpu_ratio", "ratio", "{:.2f}".format),
    ("single_cpu_range", "range", lambda range: "{:.2f}-{:.2f}".format(*range)),
    ("many_cpu_us", "1,000 us", "{:.2f}".format),
    ("many_cpu_ratio", "ratio", "{:.2f}".format),
    ("many_cpu_range", "range", lambda range: "{:.2f}-{:.2f}".format(*range)),
    ("connect_cpu_us", "connect us", "{:.2f}".format),
    ("connect_cpu_ratio", "ratio", "{:.2f}".format),
    ("connect_cpu_range", "range", lambda range: "{:.2f}-{:.2f}".format(*range)),
]


def rows_of(rounds):
    """The figures of each program in the most typical round, its ratios to the ruler there, and their range over all
    rounds. `rounds`: name -> [(requests/s, CPU µs per request, ...)]."""
    theirs = rounds.get(RULER)
    typical = measure.typical_round({name: [figures[:2] for figures in of] for name, of in rounds.items()},
                                    RULER if theirs else next(iter(rounds)))
    rows = {}
    for name, figures in rounds.items():
        row = dict(zip(("requests_per_second", "cpu_us", "p99_us", "p99_9_us"), figures[typical]))
        for index, what in enumerate(("requests", "cpu")):
            ratios = [measure.ratio(own[index], its[index]) for own, its in zip(figures, theirs)] if theirs else None
            row[f"{what}_ratio"] = ratios[typical] if theirs else None
            row[f"{what}_range"] = (min(ratios), max(ratios)) if theirs else None
        rows[name] = row
    return rows


class Bench:
    def __init__(self, build, quick):
        self.build = build
        self.load = Load(build)
        self.rounds = 2 if quick else 5
        self.seconds = 0.5 if quick else 1.5
        self.cycles = 3_000 if quick else 20_000
        self.echoes = (5_000, 15_000) if quick else (20_000, 60_000)
        self.figures = {}

    def note(self, name, **figures):
        self.figures.setdefault(name, {}).update(figures)

    def instructions(self, chosen):
        for program in chosen:
            say(f"instructions: {program.name}, {self.echoes[0]:,} and {self.echoes[1]:,} echoes under callgrind")
            self.note(program.name, instructions_per_echo=measure.instructions_per_echo(
                program, self.load, *self.echoes))

    def calls(self, chosen):
        for program in chosen:
            say(f"system calls: {program.name}, at 1 and at 64 connections under strace")
            for name, connections in (("calls_at_1", 1), ("calls_at_64", 64)):
                self.note(program.name, **{name: measure.system_calls_per_echo(program, self.load, connections)})

    def memory(self, chosen):
        for program in chosen:
            say(f"memory: {program.name}, 10,000 idle connections")
            self.note(program.name, bytes_per_idle_connection=measure.bytes_per_idle_connection(program, self.load))
        parking = measure.parking_echo(self.build)
        if any(program.name == parking.name for program in chosen) and parking.built():
            say("memory: 10,000 parked connections")
            self.note(parking.name, bytes_per_parked_connection=measure.bytes_per_idle_connection(parking, self.load))

    def in_turns(self, what, chosen, *arguments):
        """Per program's name its rounds, each (requests/s, CPU µs per request, p99 and p99.9 in µs), and its user share
        of the CPU time."""
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
                    rounds[server].append((done["requests_per_second"], spent * 1e6 / done["requests"],
                                           done["p99_us"], done["p99_9_us"]))
            shares = {}
            for server in servers:
                user, system = (now - then for now, then in zip(server.user_and_system_ticks(), ticks[server]))
                shares[server.program.name] = user / max(1, user + system)
            return {server.program.name: rounds[server] for server in servers}, shares

    def throughput(self, chosen):
        rounds, user = self.in_turns("throughput, 64 connections", chosen, "--connections", 64, "--size", 64,
                                     "--seconds", self.seconds)
        for name, row in rows_of(rounds).items():
            self.note(name, **row, user_us=row["cpu_us"] * user[name], system_us=row["cpu_us"] * (1 - user[name]))

    def single(self, chosen):
        rounds, _ = self.in_turns("one connection", chosen, "--connections", 1, "--size", 64,
                                  "--seconds", self.seconds)
        self.note_cpu("single", rounds)

    def many(self, chosen):
        rounds, _ = self.in_turns("1,000 connections", chosen, "--connections", 1_000, "--size", 64,
                                  "--seconds", self.seconds)
        self.note_cpu("many", rounds)

    def connect(self, chosen):
        # Reset by the client once it has its echo: an orderly close would leave 20,000 ports in TIME_WAIT.
        rounds, _ = self.in_turns("connect, echo, close", chosen, "--mode", "connect", "--close", "reset",
                                  "--connections", 8, "--size", 64, "--requests", self.cycles)
        self.note_cpu("connect", rounds)

    def note_cpu(self, what, rounds):
        for name, row in rows_of(rounds).items():
            self.note(name, **{f"{what}_{key}": row[key] for key in ("cpu_us", "cpu_ratio", "cpu_range")})


def table(figures):
    columns = [c for c in COLUMNS if any(row.get(c[0]) is not None for row in figures.values())]
    lines = [["server"] + [heading for _, heading, _ in columns]]
    for name, row in figures.items():
        lines.append([name] + [form(row[key]) if row.get(key) is not None else "-"
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
    else:
        known = [p for p in known if not p.only_if_named]
    chosen = [p for p in known if p.built()]
    missing = [p for p in known if not p.built() and not p.instructions_only]
    for program in missing:
        say(f"skipped: {program.name}, {program.command[0]} is not built")
    for program in chosen:
        if program.refuses():
            say(f"skipped: {program.name}: {program.refuses()}")
    chosen = [p for p in chosen if not p.refuses()]
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
    measure.write(options, cpus=os.cpu_count(), load_before=busy, servers=bench.figures)
    return 1 if missing else 0


if __name__ == "__main__":
    measure.run(main)
