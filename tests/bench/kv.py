#!/usr/bin/env python3
"""What a GET and a SET cost: the kv sample beside redis-server without persistence.

Both run on CPU 0 and are loaded in turns from CPU 1, over 64 connections, with 100-byte values under 10,000 keys drawn
at random. Two clients ask: redis-benchmark, and a load of our own that costs so little that the server is what is
measured. `busy` tells which: a server that had its CPU for less than all of the time waited for its client, whose speed
requests/s then are, and CPU time per request is the figure to trust. Figures and ratios of a row are those of one
round, the most typical one; a ratio is greater than 1 where kv is better.

Stalls: one client asks PING without a pause while another one's command touches a large value or many keys. Both servers
serve on CPU 0 and may free memory on either; the longest PING of each round counts, medians are shown.
"""
import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

sys.dont_write_bytecode = True
import measure
from echo import choice_list
from measure import Failure, Program, Server, say

ROOT = Path(__file__).resolve().parents[2]
KINDS = ["throughput", "memory", "stalls"]
CLIENTS = ["redis-benchmark", "load"]
CONNECTIONS = 64
KEYS = 10_000
SIZE = 100  # bytes of a value
DEPTHS = {1: 60_000, 16: 600_000, 64: 1_500_000}  # requests in a batch: requests of a round
ITEMS = 500_000  # whose memory is measured
IDLE = 5_000  # connections whose memory is measured
MANY, LARGE = 1_000_000, 400 << 20  # keys, and bytes of a value, that a command touches while others wait
STALLS = {  # what is there, and the command
    "PING": ("nothing", "PING"),
    "FLUSHALL": ("many", "FLUSHALL"),
    "FLUSHALL ASYNC": ("many", "FLUSHALL ASYNC"),
    "DEL": ("large", "DEL a"),
    "RENAME": ("large", "RENAME a b"),
    "EXPIRE": ("large", "EXPIRE a 1000"),
    "PERSIST": ("mortal", "PERSIST a"),
}


def programs(build):
    kv = [Path(build) / "samples/kv", "--listen", "127.0.0.1:{port}", "--cores", str(measure.SERVER_CPU)]
    redis = [shutil.which("redis-server") or "/usr/bin/redis-server", Path(__file__).parent / "peers/redis.conf",
             "--port", "{port}"]
    return [Program("kv", kv), Program("redis", redis)]


def free_to_free(build):
    """The same, with a second CPU for what they do beside serving."""
    both = (measure.SERVER_CPU, measure.LOAD_CPU)
    kv, redis = programs(build)
    lists = ["--server_cpulist", measure.SERVER_CPU, "--bio_cpulist", f"{both[0]},{both[1]}"]
    return [Program("kv", kv.command, cpus=both), Program("redis", redis.command + lists, cpus=both)]


def run(command):
    try:
        done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=300, preexec_fn=measure.on_cpus([measure.LOAD_CPU]))
    except subprocess.TimeoutExpired:
        raise Failure(f"{command[0]} did not end within 300 s") from None
    if done.returncode != 0 or "rror" in done.stderr:
        raise Failure(f"{command[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def greet(client):
    client.sendall(b"PING\r\n")
    if client.recv(16) != b"+PONG\r\n":
        raise Failure("a client is not greeted")


class Bench:
    def __init__(self, build, quick):
        self.load = Path(build) / "tests/bench/kv_load"
        self.programs = programs(build)
        self.free_to_free = free_to_free(build)
        self.stall_rows = []
        self.rounds = 2 if quick else 7
        self.share = 4 if quick else 1
        self.rows = []
        self.bytes = {}

    def fill(self, server, keys):
        run([self.load, "--connect", f"127.0.0.1:{server.port}", "--command", "fill", "--depth", 64, "--keys", keys,
             "--size", SIZE])

    def ask(self, client, server, command, depth, requests):
        """Requests per second."""
        if client == "load":
            out = run([self.load, "--connect", f"127.0.0.1:{server.port}", "--command", command, "--depth", depth,
                       "--keys", KEYS, "--size", SIZE, "--connections", CONNECTIONS, "--requests", requests])
            return json.loads(out)["requests_per_second"]
        out = run(["redis-benchmark", "-p", server.port, "-t", command, "-P", depth, "-n", requests, "-c", CONNECTIONS,
                   "-r", KEYS, "-d", SIZE, "--csv"])
        line = next((line for line in out.splitlines() if line.startswith(f'"{command.upper()}"')), None)
        if line is None:
            raise Failure(f"redis-benchmark printed no {command.upper()}: {out}")
        return float(line.split(",")[1].strip('"'))

    def throughput(self):
        with ExitStack() as running:
            servers = [running.enter_context(Server(program)) for program in self.programs]
            for client in CLIENTS:
                for server in servers:  # again: redis-benchmark leaves values of its own
                    self.fill(server, KEYS)
                for depth, requests in DEPTHS.items():
                    for command in ("get", "set"):
                        say(f"{client}: {command}, {depth} at a time")
                        self.compare(servers, client, command, depth, requests // self.share)

    def compare(self, servers, client, command, depth, requests):
        requests -= requests % depth
        rates, spent, busy = ({s.program.name: [] for s in servers} for _ in range(3))
        for k in range(self.rounds):
            for server in servers[k % 2:] + servers[:k % 2]:
                before = server.cpu_seconds()
                rate = self.ask(client, server, command, depth, requests)
                time.sleep(0.02)
                seconds = server.cpu_seconds() - before
                rates[server.program.name].append(rate)
                spent[server.program.name].append(seconds * 1e6 / requests)
                busy[server.program.name].append(min(1, seconds * rate / requests))
        typical = measure.typical_round({name: list(zip(rates[name], spent[name])) for name in rates}, "redis")
        rate, cpu, used = ({name: all[typical] for name, all in of.items()} for of in (rates, spent, busy))
        self.rows.append({
            "client": client, "command": command, "depth": depth, "requests_per_second": rate,
            "requests_per_second_ratio": rate["kv"] / rate["redis"], "busy": used, "cpu_us_per_request": cpu,
            "cpu_ratio": cpu["redis"] / cpu["kv"]})

    def memory(self):
        for program in self.programs:
            say(f"memory: {program.name}, {ITEMS:,} items of {SIZE} bytes")
            with Server(program) as server:
                before = server.private_bytes()
                self.fill(server, ITEMS)
                time.sleep(0.2)
                filled = server.private_bytes()
                with ExitStack() as clients:
                    for _ in range(IDLE):
                        greet(clients.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10)))
                    time.sleep(0.2)
                    idle = server.private_bytes() - filled
                self.bytes[program.name] = {"item": (filled - before) / ITEMS, "idle_connection": idle / IDLE}

    def stalls(self):
        for name, (data, command) in STALLS.items():
            say(f"stalls: {name}")
            longest = {program.name: [] for program in self.free_to_free}
            for k in range(self.rounds):
                for program in self.free_to_free[k % 2:] + self.free_to_free[:k % 2]:
                    with Server(program) as server:
                        longest[program.name].append(self.stall(server, data, command) * 1000)
            self.stall_rows.append({"command": name, "milliseconds": longest,
                                    "median": {of: statistics.median(all) for of, all in longest.items()}})

    def stall(self, server, data, command):
        """The longest PING while another client's command is run and a thousand more, in seconds."""
        connect = lambda: socket.create_connection(("127.0.0.1", server.port), timeout=60)
        with ExitStack() as after:
            after.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
            os.sched_setaffinity(0, {measure.LOAD_CPU})
            acts, waits = (after.enter_context(connect()) for _ in range(2))
            if data == "many":
                self.fill(server, MANY)
            elif data != "nothing":
                acts.sendall(b"SETRANGE a %d x\r\n" % (LARGE - 1))
                if (said := acts.recv(64)) != b":%d\r\n" % LARGE:
                    raise Failure(f"SETRANGE was answered with {said}")
                if data == "mortal":
                    acts.sendall(b"EXPIRE a 1000\r\n")
                    acts.recv(64)
            greet(waits)
            time.sleep(0.3)  # what filling it has left to do
            acts.sendall(command.encode() + b"\r\n")
            acts.setblocking(False)
            longest, left, said = 0, 1000, b""
            while left > 0:
                start = time.perf_counter()
                greet(waits)
                longest = max(longest, time.perf_counter() - start)
                if said:
                    left -= 1
                    continue
                try:
                    said = acts.recv(64)
                except BlockingIOError:
                    continue
                if said[:1] not in (b"+", b":"):
                    raise Failure(f"{command} was answered with {said}")
            return longest

    def table(self):
        lines = []
        if self.rows:
            lines += ["| client | command | at a time | kv req/s | busy | redis req/s | busy | ratio | kv CPU µs "
                      "| redis CPU µs | ratio |", "|---" * 11 + "|"]
        for row in self.rows:
            rate, busy, cpu = row["requests_per_second"], row["busy"], row["cpu_us_per_request"]
            lines.append(f"| {row['client']} | {row['command'].upper()} | {row['depth']} | {rate['kv']:,.0f} | "
                         f"{busy['kv']:.0%} | {rate['redis']:,.0f} | {busy['redis']:.0%} | "
                         f"{row['requests_per_second_ratio']:.2f} | {cpu['kv']:.2f} | {cpu['redis']:.2f} | "
                         f"{row['cpu_ratio']:.2f} |")
        if self.bytes:
            lines += ["", "| bytes | kv | redis | kv/redis |", "|---|---|---|---|"]
        for key, what in (("item", f"per item of {SIZE} bytes"), ("idle_connection", "per idle connection")):
            if self.bytes:
                ours, theirs = self.bytes["kv"][key], self.bytes["redis"][key]
                lines.append(f"| {what} | {ours:,.0f} | {theirs:,.0f} | {ours / theirs:.2f} |")
        if self.stall_rows:
            lines += ["", "| longest PING beside, ms | kv | redis |", "|---|---|---|"]
        for row in self.stall_rows:
            what = "nothing else" if row["command"] == "PING" else row["command"]
            lines.append(f"| {what} | {row['median']['kv']:.2f} | {row['median']['redis']:.2f} |")
        return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build/release", help="tree of the binaries")
    parser.add_argument("--out", type=Path, default=ROOT / "build/bench/kv.json", help="where the JSON goes")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: a look, not a figure")
    parser.add_argument("--only", type=choice_list(KINDS), default=KINDS, help="of " + ",".join(KINDS))
    options = parser.parse_args()

    bench = Bench(options.build, options.quick)
    missing = [p.name for p in bench.programs if not p.built()]
    if not shutil.which("redis-benchmark"):
        missing.append("redis-benchmark")
    if missing or not bench.load.exists():
        raise Failure(f"missing: {', '.join(missing) or bench.load}: ./dev bench kv installs and builds what it needs")
    busy = os.getloadavg()[0]
    if busy > 0.5:
        say(f"the machine is busy (load {busy:.1f}): trust ratios, not times")
    measure.raise_descriptor_limit()
    for kind in options.only:
        getattr(bench, kind)()
    print(bench.table().strip())
    measure.write(options, load_before=busy, rows=bench.rows, bytes=bench.bytes, stalls=bench.stall_rows)


if __name__ == "__main__":
    measure.run(main)
