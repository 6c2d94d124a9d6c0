#!/usr/bin/env python3
"""Which model for which load: every row of the model table under four loads, at 1, 64 and 1,000 connections; those whose
loops do I/O over epoll and over io_uring.

Each figure is a run of a fresh server. Server and load share the machine's CPUs where it has fewer than four; above that
the load has the last one to itself. Prints a table and writes a page with charts, and JSON beside it.
"""
import argparse
import json
import os
import re
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests/samples"))
import measure
import rows
from echo import choice_list
from measure import Failure, Load, Server, say

CHART = Path("/usr/share/javascript/chart.js/chart.min.js")  # of Debian's libjs-chart.js
WORKERS = 32  # for loop-with-workers: as many handlers may block at once

LOADS = {  # key: heading, the handler's options, the load's options
    "echo": ("Tiny echo: 64 bytes", [], []),
    "compute": ("50 µs of computing per request", ["--compute", 50], []),
    "block": ("1 ms of blocking per request", ["--block", 1000], []),
    # Reset by the client once it has its echo: an orderly close would use up the ports.
    "connect": ("Connect, echo, close", [], ["--mode", "connect", "--close", "reset"]),
}
SIZES = [1, 64, 1000]
GRACE = 1.5  # seconds after which a client without any answer counts as not served
EQUAL = 0.10  # figures that lie closer together than this are not told apart


class Bench:
    def __init__(self, build, seconds):
        cpus = sorted(os.sched_getaffinity(0))
        self.server_cpus, load_cpus = (cpus[:-1], cpus[-1:]) if len(cpus) >= 4 else (cpus, cpus)
        self.program = Path(build) / "tests/bench/models"
        self.load = Load(build, load_cpus)
        self.seconds = seconds
        self.rows = over_both(rows.rows(self.program, len(self.server_cpus), WORKERS), self.has_ring)
        self.idle = {}

    def has_ring(self, row):
        return subprocess.run([self.program, "--check", *row.arguments, "--io", "io_uring"], capture_output=True,
                              timeout=30).returncode == 0

    def server(self, row, options=()):
        command = [self.program, "--listen", "127.0.0.1:{port}", *row.arguments, *options]
        return Server(measure.Program(row.name, command, cpus=self.server_cpus))

    def spent_without_load(self, row):
        """What starting and stopping costs: CPU seconds and context switches."""
        if row not in self.idle:
            before = spent()
            with self.server(row):
                pass
            self.idle[row] = minus(spent(), before)
        return self.idle[row]

    def run(self, row, kind, connections):
        _, options, arguments = LOADS[kind]
        idle = self.spent_without_load(row)
        with self.server(row, options) as server:
            sampler = Sampler(server.pid, self.seconds)
            done = self.load.run(server, "--connections", connections, "--seconds", self.seconds, "--grace", GRACE,
                                 *arguments, limit=self.seconds + 20)
            threads, memory = sampler.end()
            before = spent()
        # The server has ended by now and was waited for: its threads and processes, also those that ended early,
        # are in this difference, which no look at /proc while it runs could say.
        cpu, switches = minus(minus(spent(), before), idle)
        requests = max(1, done["requests"])
        return {"requests_per_second": done["requests_per_second"], "p50_us": done["p50_us"], "p99_us": done["p99_us"],
                "cpu_us": max(0, cpu) * 1e6 / requests, "switches": max(0, switches) / requests, "threads": threads,
                "memory_mb": memory / 1e6, "served": done["served"]}


def over_both(found, has_ring):
    """Each row, and behind it the same over io_uring, where it has that."""
    return [each for row in found for each in
            [row] + [rows.Row(f"{row.name}, io_uring", row.model, [*row.arguments, "--io", "io_uring"])] * has_ring(row)]


def spent():
    """By the children that have been waited for, and by theirs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime, usage.ru_nvcsw + usage.ru_nivcsw


def minus(a, b):
    return tuple(x - y for x, y in zip(a, b))


class Sampler:
    """The most threads, and the most bytes in memory, that a server has while it is loaded."""

    def __init__(self, pid, seconds):
        self.pid = pid
        self.most = 0, 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.work, args=[seconds])
        self.thread.start()

    def work(self, seconds):
        while not self.over.wait(seconds / 4):
            try:
                pids = measure.processes(self.pid)
                threads = sum(len(os.listdir(f"/proc/{p}/task")) for p in pids)
                self.most = max(self.most[0], threads), max(self.most[1], sum(map(memory, pids)))
            except OSError:  # one of them has ended meanwhile
                pass

    def end(self):
        self.over.set()
        self.thread.join()
        return self.most


def memory(pid):
    """Resident bytes, those shared with other processes divided among them."""
    return int(re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1]) * 1024


# What the figures say. A row that leaves clients unserved does not compete.

def serves_everybody(row, size):
    return row is not None and "failed" not in row and row["served"] >= size


def competitors(figures, kind, size):
    every = figures[kind][str(size)]
    return {name: f for name, f in every.items() if serves_everybody(f, size)}


def near_the_best(rated):
    """Names by requests/s, the best first, as far as they are within EQUAL of it."""
    order = sorted(rated, key=lambda name: -rated[name]["requests_per_second"])
    return [n for n in order if rated[n]["requests_per_second"] >= (1 - EQUAL) * rated[order[0]]["requests_per_second"]]


def listed(names):
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def duration(us):
    return f"{us:.0f} µs" if us < 1000 else f"{us / 1000:.1f} ms" if us < 1e6 else f"{us / 1e6:.1f} s"


def advice(figures, kind):
    """One sentence: whom to take where there is a choice, that is with the most connections."""
    size = max(map(int, figures[kind]))
    rated = competitors(figures, kind, size)
    if not rated:
        return "No model served every client."
    equals = near_the_best(rated)
    # Among equals the one that leaves the most of the machine to others.
    best = min(equals, key=lambda n: rated[n]["cpu_us"])
    f = rated[best]
    text = (f"Take {best}: {f['requests_per_second']:,.0f} requests/s with {size:,} connections, 99 of 100 answered within "
            f"{duration(f['p99_us'])}, {f['cpu_us']:.1f} µs of CPU each")
    if others := [n for n in equals if n != best]:
        text += f"; {listed(others)} {'is' if len(others) == 1 else 'are'} as fast within {EQUAL:.0%} but cost more CPU"
    slow = min(rated, key=lambda n: rated[n]["requests_per_second"])
    if slow not in equals:
        text += f"; {slow} is {f['requests_per_second'] / rated[slow]['requests_per_second']:.1f} times slower"
    starved = [f"{n} ({row['served']:,})" for n, row in figures[kind][str(size)].items() if n not in rated and
               "failed" not in row]
    if starved:
        text += f"; not all {size:,} clients were answered by {listed(starved)}"
    return text + "."


LOOPS = ["single-loop", "loop-per-core", "loop-per-core, kernel", "process-pool"]
THREADS = ["thread-per-connection", "loop-with-workers, io by the loop", "loop-with-workers, io by workers",
           "thread-per-event"]


def predictions(figures):
    """What is said of the models in general, and whether it is so here: (claim, verdict, the figures)."""
    def rate(name, f):
        return f"{name} {f['requests_per_second']:,.0f}/s"

    def check(claim, kind, size, right, wrong):
        every = figures.get(kind, {}).get(str(size), {})
        rated = {n: f for n, f in every.items() if "failed" not in f}
        mine, theirs = ({n: f for n, f in rated.items() if n in group} for group in (right, wrong))
        if not mine or not theirs:
            return None
        mine, theirs = ({n: f for n, f in group.items() if serves_everybody(f, size)} for group in (mine, theirs))
        if not mine:
            return claim, "contradicted", f"none of {listed(right)} served all {size:,} clients"
        if not theirs:
            return claim, "confirmed", f"none of {listed(wrong)} served all {size:,} clients"
        best, rest = ((n := max(g, key=lambda n: g[n]["requests_per_second"]), g[n]) for g in (mine, theirs))
        ratio = best[1]["requests_per_second"] / rest[1]["requests_per_second"]
        verdict = "confirmed" if ratio > 1 + EQUAL else "contradicted" if ratio < 1 - EQUAL else "undecided"
        return claim, verdict, f"{LOADS[kind][0]}, {size:,} connections: {rate(*best)}, {rate(*rest)}"

    all_others = LOOPS + THREADS
    claims = [check("serial is the worst under concurrency", "block", 64, all_others, ["serial"]),
              check("loops are best with many connections", "echo", 1000, LOOPS, THREADS),
              check("workers and threads are best when handlers block", "block", 64, THREADS, LOOPS),
              check("more than one loop is best when handlers compute", "compute", 64, LOOPS[1:], LOOPS[:1])]
    return [c for c in claims if c]


COLUMNS = [("requests_per_second", "req/s", "{:,.0f}"), ("p50_us", "p50 us", "{:,.0f}"), ("p99_us", "p99 us", "{:,.0f}"),
           ("cpu_us", "CPU us/req", "{:,.1f}"), ("switches", "switches/req", "{:,.2f}"), ("threads", "threads", "{:,.0f}"),
           ("memory_mb", "MB", "{:,.1f}"), ("served", "served", "{:,.0f}")]


def table(figures):
    lines = []
    for kind, by_size in figures.items():
        for size, by_row in by_size.items():
            lines += ["", f"{LOADS[kind][0]}, {int(size):,} connection{'s' * (size != '1')}",
                      f"  {'model':<34}" + "".join(f"{heading:>14}" for _, heading, _ in COLUMNS)]
            for name, f in by_row.items():
                cells = "".join(f"{form.format(f[key]):>14}" for key, _, form in COLUMNS) if "failed" not in f else \
                    "  failed: " + f["failed"]
                lines.append(f"  {name:<34}{cells}")
    return "\n".join(lines)


def page(data):
    if not CHART.exists():
        raise Failure(f"no {CHART}: install libjs-chart.js")
    text = Path(__file__).with_suffix(".html").read_text()
    # A script ends at the first "</", wherever it stands.
    return text.replace("/* the library */", CHART.read_text().replace("</script", "<\\/script")).replace(
        "/* the data */", json.dumps(data).replace("</", "<\\/"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build/release", help="tree of the binaries")
    parser.add_argument("--out", type=Path, help="the page; BUILD/models.html unless told; the JSON lies beside it")
    parser.add_argument("--quick", action="store_true", help="shorter runs: a look, not a figure")
    parser.add_argument("--models", help="a,b,...: only these")
    parser.add_argument("--only", type=choice_list(list(LOADS)), default=list(LOADS), help="of " + ",".join(LOADS))
    parser.add_argument("--page-only", action="store_true", help="the page from the JSON of an earlier run")
    options = parser.parse_args()
    out = options.out or options.build / "models.html"
    json_out = out.with_suffix(".json")

    if options.page_only:
        data = json.loads(json_out.read_text())
        figures = data["figures"]
    else:
        data = measure_all(options)
        figures = data["figures"]
    data["advice"] = {kind: advice(figures, kind) for kind in figures}
    data["predictions"] = predictions(figures)
    data["headings"] = {kind: heading for kind, (heading, _, _) in LOADS.items()}

    print(table(figures) + "\n")
    for kind, text in data["advice"].items():
        print(f"{LOADS[kind][0]}: {text}")
    for claim, verdict, why in data["predictions"]:
        print(f"\"{claim}\" is {verdict}: {why}")
    json_out.write_text(json.dumps(data, indent=1) + "\n")
    out.write_text(page(data))
    say(f"written: {out} and {json_out}")
    failed = [f for by_size in figures.values() for by_row in by_size.values() for f in by_row.values() if "failed" in f]
    return 1 if failed else 0


def measure_all(options):
    measure.raise_descriptor_limit()
    bench = Bench(options.build, 0.4 if options.quick else 2.0)
    if options.models:
        names = choice_list([r.model for r in bench.rows])(options.models)
        bench.rows = [r for r in bench.rows if r.model in names]
    busy = os.getloadavg()[0]
    if busy > 0.5:
        say(f"the machine is busy (load {busy:.1f}): trust counts and ratios, not times")
    began = time.monotonic()
    figures = {kind: {str(size): {} for size in SIZES} for kind in options.only}
    for kind in options.only:
        for size in SIZES:
            say(f"{LOADS[kind][0]}, {size:,} connection{'s' * (size != 1)}")
            for row in bench.rows:
                try:
                    figures[kind][str(size)][row.name] = bench.run(row, kind, size)
                except Failure as failure:
                    say(f"  {row}: {failure}")
                    figures[kind][str(size)][row.name] = {"failed": str(failure).splitlines()[0]}
    return {"quick": options.quick, "seconds": bench.seconds, "cpus": len(os.sched_getaffinity(0)),
            "server_cpus": len(bench.server_cpus), "workers": WORKERS, "kernel": os.uname().release, "load_before": busy,
            "took": time.monotonic() - began, "figures": figures}


if __name__ == "__main__":
    measure.run(main)
