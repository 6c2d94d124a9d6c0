#!/usr/bin/env python3
"""What a request costs: the http sample beside Debian's nginx, one core each.

Both servers run on CPU 0 and are loaded in turns from CPU 1, with 64 connections. Figures and
ratios of a row are those of one round, the most typical one. The load may be what limits requests/s, so the CPU time that the server
spends on a request stands beside it, and with --instructions what it executes in user mode.
"""
import argparse
import os
import re
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

sys.dont_write_bytecode = True
import measure
from measure import Failure, say
from web import Nginx, nginx_version, table, weir

ROOT = Path(__file__).resolve().parents[2]
CONNECTIONS = 64
COLUMNS = [("case", "{}"), ("nginx req/s", "{:,.0f}"), ("weir req/s", "{:,.0f}"), ("ratio req/s", "{:.2f}"),
           ("nginx CPU us", "{:.2f}"), ("weir CPU us", "{:.2f}"), ("ratio CPU", "{:.2f}"),
           ("nginx instr", "{:,.0f}"), ("weir instr", "{:,.0f}")]
CASES = [  # name, path, requests per send
    ("fixed answer", "/plain", 1),
    ("fixed answer, 16 pipelined", "/plain", 16),
    ("file of 1 KB", "/kilobyte", 1),
    ("file of 100 KB", "/large", 1),
]


class Bench:
    def __init__(self, options, root, work):
        self.options, self.root, self.work = options, root, work
        self.load = measure.Load(options.build)
        self.load.path = Path(options.build) / "tests/bench/http_load"
        self.rounds = 3 if options.quick else 7
        self.seconds = 0.5 if options.quick else 1.5

    def ask(self, server, path, depth, *how):
        return self.load.run(server, "--path", path, "--connections", CONNECTIONS, "--depth", depth, *how, limit=300)

    def times(self):
        """Per case and server its rounds, each (requests/s, CPU µs per request)."""
        found = {}
        with ExitStack() as running:
            servers = [running.enter_context(Nginx(self.work, self.root)),
                       running.enter_context(weir(self.options.build, self.root))]
            for name, path, depth in CASES:
                for server in servers:
                    self.ask(server, path, depth, "--seconds", 0.2)
                rounds = {server.program.name: [] for server in servers}
                for k in range(self.rounds):
                    say(f"{name}: round {k + 1} of {self.rounds}")
                    for server in servers[k % 2:] + servers[:k % 2]:
                        before = server.cpu_seconds()
                        done = self.ask(server, path, depth, "--seconds", self.seconds)
                        time.sleep(0.02)
                        spent = server.cpu_seconds() - before
                        rounds[server.program.name].append((done["requests_per_second"], spent * 1e6 / done["requests"]))
                found[name] = rounds
        return found

    def logs(self):
        """What an access log costs: per server its rounds, each (requests/s, CPU µs per request), with a log and
        without."""
        with ExitStack() as running:
            logs = [Path(self.work) / f"{name}.log" for name in ("nginx", "weir")]
            servers = [running.enter_context(server) for server in (
                Nginx(Path(self.work) / "off", self.root), Nginx(Path(self.work) / "on", self.root, log=logs[0]),
                weir(self.options.build), weir(self.options.build, log=logs[1]))]
            for server in servers:
                self.ask(server, "/plain", 1, "--seconds", 0.2)
            rounds = {server.program.name: [] for server in servers}
            # The growth is smaller than what two rounds differ by: many short ones, whose median is taken.
            many, seconds = 5 * self.rounds, self.seconds / 3
            for k in range(many):
                if k % 5 == 0:
                    say(f"access log: round {k + 1} of {many}")
                for server in servers[k % 4:] + servers[:k % 4]:
                    before = server.cpu_seconds()
                    done = self.ask(server, "/plain", 1, "--seconds", seconds)
                    time.sleep(0.1)  # the last lines are written
                    spent = server.cpu_seconds() - before
                    rounds[server.program.name].append((done["requests_per_second"], spent * 1e6 / done["requests"]))
                for log in logs:
                    os.truncate(log, 0)
            return rounds

    def instructions(self, make, path, depth, few, many):
        """Per request: two runs that differ only in their number, so that start and stop cancel out."""
        totals = []
        for requests in (few, many):
            out = Path(self.work) / "callgrind.out"
            with make(under=["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"], patience=60) as server:
                self.ask(server, path, depth, "--requests", requests)
            totals.append(int(re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.M)[1]))
            out.unlink()
        return (totals[1] - totals[0]) / (many - few)


def rows_of(times, instructions):
    rows = []
    for name, rounds in times.items():
        typical = measure.typical_round(rounds, "nginx")
        row = {"case": name}
        for who in ("nginx", "weir"):
            row[f"{who} req/s"], row[f"{who} CPU us"] = rounds[who][typical]
        row["ratio req/s"] = row["weir req/s"] / row["nginx req/s"]
        row["ratio CPU"] = row["nginx CPU us"] / row["weir CPU us"]
        row.update(instructions.get(name, {}))
        rows.append(row)
    return rows


LOG_COLUMNS = [("server", "{}"), ("CPU us, no log", "{:.2f}"), ("CPU us, log", "{:.2f}"), ("more", "{:+.1%}"),
               ("least", "{:+.1%}"), ("most", "{:+.1%}"), ("instr, no log", "{:,.0f}"), ("instr, log", "{:,.0f}")]


def log_rows(rounds, instructions):
    """The figures of the round whose growth is the median one, and the range of the growths of all."""
    rows = []
    for who in ("nginx", "weir"):
        pairs = sorted(((log[1] / plain[1] - 1, plain[1], log[1])
                        for plain, log in zip(rounds[who], rounds[f"{who}, log"])))
        more, plain, log = pairs[len(pairs) // 2]
        rows.append({"server": who, "CPU us, no log": plain, "CPU us, log": log, "more": more, "least": pairs[0][0],
                     "most": pairs[-1][0], **instructions.get(who, {})})
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build/release", help="tree of the binaries")
    parser.add_argument("--out", type=Path, default=ROOT / "build/bench/http.json", help="where the JSON goes")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: a look, not a figure")
    parser.add_argument("--instructions", action="store_true", help="count user instructions under callgrind as well")
    parser.add_argument("--only", choices=["log"], help="what an access log costs, and nothing else")
    options = parser.parse_args()

    if not (options.build / "tests/bench/http_load").exists():
        raise Failure(f"the load is not built in {options.build}: cmake --preset bench && cmake --build --preset bench")
    version = nginx_version()
    busy = os.getloadavg()[0]
    if busy > 0.5:
        say(f"the machine is busy (load {busy:.1f}): trust CPU times and ratios, not requests/s")

    with tempfile.TemporaryDirectory() as work, tempfile.TemporaryDirectory() as root:
        for folder in (work, root):
            os.chmod(folder, 0o755)  # nginx's worker is another user
        for name, size in (("kilobyte", 1024), ("large", 102400)):
            Path(root, name).write_bytes(os.urandom(size))
        bench = Bench(options, root, work)
        counted, counted_logs = {}, {}
        if options.instructions:
            few, many = (2_000, 6_000) if options.quick else (10_000, 30_000)
            for name, path, depth in CASES:
                if options.only == "log" or path != "/plain":  # Debian's valgrind does not know openat2, by which files are opened
                    continue
                say(f"instructions: {name}")
                counted[name] = {
                    "nginx instr": bench.instructions(lambda **how: Nginx(work, root, True, **how), path, depth, few, many),
                    "weir instr": bench.instructions(lambda **how: weir(options.build, **how), path, depth, few, many)}
            for who, make in (("nginx", lambda log, **how: Nginx(work, root, True, log=log, **how)),
                              ("weir", lambda log, **how: weir(options.build, log=log, **how))):
                say(f"instructions: access log of {who}")
                counted_logs[who] = {
                    key: bench.instructions(lambda **how: make(log, **how), "/plain", 1, few, many)
                    for key, log in (("instr, no log", None), ("instr, log", Path(work) / f"{who}.log"))}
        rows = [] if options.only == "log" else rows_of(bench.times(), counted)
        logs = log_rows(bench.logs(), counted_logs)

    print(f"{version}; {CONNECTIONS} connections; ratios above 1 are in favour of weir")
    if rows:
        print(table(rows, COLUMNS))
    print(table(logs, LOG_COLUMNS))
    measure.write(options, nginx=version, load_before=busy, cases=rows, access_log=logs)
    return 0


if __name__ == "__main__":
    measure.run(main)
