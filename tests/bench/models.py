#!/usr/bin/env python3
"""Which model for which load: `--compare` of a small program under four loads, at 1, 64 and 1,000 connections.

Prints a table and writes a page with charts, and JSON beside it. Says of what is claimed of the models in general whether
it is so here.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parents[2]
import measure
from echo import choice_list
from measure import Failure, say

STYLE = ROOT / "runtime/compare/page/page.css"  # that of the page of --compare
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
        self.program = Path(build) / "tests/bench/models"
        self.load = Path(build) / "tests/bench/load"
        self.seconds = seconds

    def compare(self, kind, connections):
        """Every model under that load: the facts, and the figures by name. The program measures itself."""
        _, options, arguments = LOADS[kind]
        load = [self.load, "--connect", "{address}", "--connections", connections, "--seconds", "{seconds}", "--grace", GRACE, *arguments]
        with tempfile.TemporaryDirectory() as folder:
            command = [self.program, *options, "--set", f"workers.count={WORKERS}", "--compare", " ".join(map(str, load)), "--set",
                       "compare.rounds=1", "--set", "compare.most=1h", "--set", f"compare.time={self.seconds}s", "--set", f"compare.output={folder}"]
            done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True, timeout=3600, stdin=subprocess.DEVNULL)
            if not os.path.exists(f"{folder}/compare.json"):
                raise Failure(f"{kind}, {connections} connections: {done.stdout}")
            found = json.loads(Path(f"{folder}/compare.json").read_text())
        return found, {c["name"]: figures_of(c) for c in found["candidates"] if c["refused"] is None}


def figures_of(candidate):
    run = candidate["runs"][-1]
    if run["failed"]:
        return {"failed": run["failed"]}
    return {key: run[key] or 0 for key in ("requests_per_second", "p50_us", "p99_us", "cpu_us", "switches", "threads", "memory_mb", "served")}


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


# By the model, over epoll.
LOOPS = ["single-loop", "loop-per-core", "process-pool"]
THREADS = ["thread-per-connection", "loop-with-workers", "thread-per-event"]


def is_of(name, group):
    return name.partition(",")[0] in group and not name.endswith("io_uring")


def predictions(figures):
    """What is said of the models in general, and whether it is so here: (claim, verdict, the figures)."""
    def rate(name, f):
        return f"{name} {f['requests_per_second']:,.0f}/s"

    def check(claim, kind, size, right, wrong):
        every = figures.get(kind, {}).get(str(size), {})
        rated = {n: f for n, f in every.items() if "failed" not in f}
        mine, theirs = ({n: f for n, f in rated.items() if is_of(n, group)} for group in (right, wrong))
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
    parts = {"/* the style */\n": STYLE.read_text(), "/* the library */": CHART.read_text().replace("</script", "<\\/script"),
             "/* the data */": json.dumps(data).replace("</", "<\\/")}
    for mark, part in parts.items():
        text = text.replace(mark, part)
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build/release", help="tree of the binaries")
    parser.add_argument("--out", type=Path, help="the page; BUILD/models.html unless told; the JSON lies beside it")
    parser.add_argument("--quick", action="store_true", help="shorter runs: a look, not a figure")
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
    bench = Bench(options.build, 1 if options.quick else 2)
    busy = os.getloadavg()[0]
    if busy > 0.5:
        say(f"the machine is busy (load {busy:.1f}): trust counts and ratios, not times")
    began = time.monotonic()
    figures = {kind: {str(size): {} for size in SIZES} for kind in options.only}
    for kind in options.only:
        for size in SIZES:
            say(f"{LOADS[kind][0]}, {size:,} connection{'s' * (size != 1)}")
            facts, figures[kind][str(size)] = bench.compare(kind, size)
    return {"quick": options.quick, "seconds": bench.seconds, "cpus": facts["cpus"], "server_cpus": facts["server_cpus"],
            "workers": WORKERS, "kernel": facts["kernel"], "load_before": busy, "took": time.monotonic() - began, "figures": figures}


if __name__ == "__main__":
    measure.run(main)
