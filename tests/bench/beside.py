#!/usr/bin/env python3
"""How long small requests take beside a download of 5 GB: the http sample and Debian's nginx, one core each.

Both servers run on CPU 0 and are loaded in turns from CPU 1. Requests for 1 KB come at a fixed rate over keep-alive
connections; the time of each runs from when it was due to the end of its answer, without the download and beside it. One
connection downloads as fast as the server sends, and again when it is done. A round in which another program had one of the
CPUs is repeated. Figures beside the download come from one round, the most typical one; those alone are medians.
"""
import argparse
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

sys.dont_write_bytecode = True
import measure
from measure import Failure, say
from web import Nginx, nginx_version, table, weir

ROOT = Path(__file__).resolve().parents[2]
CONNECTIONS = 16
RATE = 4000
HUGE = 5 << 30
MOST_HELD_UP = 1000  # µs in a round
COLUMNS = [("server", "{}"), ("p50 alone us", "{:,.0f}"), ("p99 alone us", "{:,.0f}"), ("p50 beside us", "{:,.0f}"),
           ("p99 beside us", "{:,.0f}"), ("longest us", "{:,.0f}"), ("download MB/s", "{:,.0f}")]


def held_up(server):
    """How long the server's processes have waited for their CPU, ever, in µs."""
    return sum(int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[1])
               for pid in measure.processes(server.pid)) / 1e3


def rounds_of(servers, load, count, seconds):
    """Per server its rounds, each in the order of COLUMNS, and whether they are free of other programs. A round in which a
    server or the load had to wait for its CPU is measured again, as long as there is hope."""
    calm, disturbed = [], []
    while len(calm) < count and len(disturbed) < 4 * count:
        say(f"round {len(calm) + 1} of {count}")
        figures, waited = {}, 0
        for server in servers[::(-1) ** len(calm + disturbed)]:
            how = ("--path", "/kilobyte", "--connections", CONNECTIONS, "--rate", RATE, "--seconds", seconds)
            alone = load.run(server, *how)
            before = held_up(server)
            beside = load.run(server, *how, "--beside", "/huge")
            waited = max(waited, held_up(server) - before, beside["held_up_us"])
            figures[server.program.name] = (alone["p50_us"], alone["p99_us"], beside["p50_us"], beside["p99_us"],
                                            beside["max_us"], beside["downloaded_bytes"] / beside["seconds"] / 1e6)
        (calm if waited < MOST_HELD_UP else disturbed).append(figures)
    is_calm = len(calm) == count
    rounds = calm if is_calm else calm + disturbed
    return {server.program.name: [each[server.program.name] for each in rounds] for server in servers}, is_calm


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build/release", help="tree of the binaries")
    parser.add_argument("--out", type=Path, default=ROOT / "build/bench/beside.json", help="where the JSON goes")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: a look, not a figure")
    options = parser.parse_args()

    load = measure.Load(options.build)
    load.path = options.build / "tests/bench/http_load"
    if not load.path.exists():
        raise Failure(f"the load is not built in {options.build}: cmake --preset bench && cmake --build --preset bench")
    version = nginx_version()
    busy = os.getloadavg()[0]

    # Holes of a file in memory cost none, and no disk is measured.
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory() as work, tempfile.TemporaryDirectory(dir=memory) as root, ExitStack() as running:
        for folder in (work, root):
            os.chmod(folder, 0o755)  # nginx's worker is another user
        Path(root, "kilobyte").write_bytes(os.urandom(1024))
        with open(Path(root, "huge"), "wb") as file:
            file.truncate(HUGE)
        servers = [running.enter_context(Nginx(work, root)), running.enter_context(weir(options.build, root))]
        rounds, is_calm = rounds_of(servers, load, *((5, 0.25) if options.quick else (25, 0.25)))
    if not is_calm:
        say("the machine is busy: other programs had the CPUs in most rounds, so these are figures of theirs. Try chrt -r 1")

    typical = measure.typical_round({name: [figures[2:4] for figures in of] for name, of in rounds.items()}, "nginx")
    keys = [key for key, _ in COLUMNS]
    alone = {name: [statistics.median(figures[i] for figures in of) for i in range(2)] for name, of in rounds.items()}
    rows = [dict(zip(keys, (name, *alone[name], *of[typical][2:]))) for name, of in rounds.items()]
    ratios = sorted(own[3] / its[3] for own, its in zip(rounds["weir"], rounds["nginx"]))
    print(f"{version}; {RATE:,} requests/s over {CONNECTIONS} connections, beside a download of {HUGE >> 30} GB")
    print(table(rows, COLUMNS))
    print(f"p99 beside the download, weir's divided by nginx's: median {statistics.median(ratios):.2f} "
          f"({ratios[0]:.2f} to {ratios[-1]:.2f} over {len(ratios)} rounds)")
    measure.write(options, nginx=version, load_before=busy, servers=rows, ratios=ratios)
    return 0


if __name__ == "__main__":
    measure.run(main)
