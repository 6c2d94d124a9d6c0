#!/usr/bin/env python3
"""What TLS costs: the http sample beside Debian's nginx, one core each, with one certificate (P-256) and TLS 1.3.

Both servers run on CPU 0 and are loaded in turns from CPU 1. Handshakes are made one after another, so the client limits their
rate: what counts is the CPU time of the server for each. Figures are medians of paired rounds.

In the last part weir has both CPUs, its loop the first: the answers to established connections are timed while 64 clients do
nothing but handshakes, with the keys used on the loop and elsewhere. Clients on other machines would take none of the server's CPU time: under `chrt -r 1` these get only what the server leaves.
"""
import argparse
import contextlib
import os
import re
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

sys.dont_write_bytecode = True
import measure
from measure import Failure, Program, Server, say
from web import Nginx, nginx_version, table

ROOT = Path(__file__).resolve().parents[2]
STORM_COLUMNS = [("case", "{}"), ("quiet, ms", "{:.2f}"), ("64 handshaking, ms", "{:.2f}"), ("ratio", "{:.2f}"), ("handshakes/s", "{:,.0f}")]
COLUMNS = [("case", "{}"), ("nginx", "{:,.1f}"), ("weir", "{:,.1f}"), ("weir/nginx", "{:.2f}")]


class TlsNginx(Nginx):
    def prepare(self):
        super().prepare()
        file = self.work / "nginx.conf"
        listening = f"listen 127.0.0.1:{self.port}"
        text = file.read_text().replace(listening, listening + " ssl", 1)
        keys = (f"ssl_certificate {self.work}/own.crt; ssl_certificate_key {self.work}/own.key; ssl_protocols TLSv1.2 TLSv1.3;"
                " ssl_session_tickets on; ssl_session_cache off; ")
        file.write_text(text.replace(listening, keys + listening, 1))


def weir(build, root, work, *more, cpus=(measure.SERVER_CPU,)):
    return Server(Program("weir", [Path(build) / "samples/http", "--listen", "tls:127.0.0.1:{port}", "--cores",
                                   str(measure.SERVER_CPU), "--root", root, "--set", f"tls.certificate={work}/own.crt", "--set",
                                   f"tls.key={work}/own.key", *more], cpus=cpus))


def context():
    out = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    out.check_hostname = False
    out.verify_mode = ssl.CERT_NONE
    return out


def handshakes(server, count, resumed):
    """CPU µs of the server for each."""
    how = context()
    session = None
    get = b"GET /plain HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    def once():
        nonlocal session
        with socket.create_connection(("127.0.0.1", server.port), 10) as raw, \
                how.wrap_socket(raw, server_hostname="localhost", session=session if resumed else None) as client:
            client.sendall(get)
            while client.recv(65536):
                pass
            if resumed and session is not None and not client.session_reused:
                raise Failure(f"{server.program.name} has not resumed a session")
            session = client.session

    for _ in range(20):
        once()
    before = server.cpu_seconds()
    for _ in range(count):
        once()
    return (server.cpu_seconds() - before) / count * 1e6


def requests(server, path, seconds):
    """Requests/s, and CPU µs of the server for each."""
    before = server.cpu_seconds()
    said = subprocess.run(["taskset", "-c", str(measure.LOAD_CPU), "wrk", "-t1", "-c32", f"-d{seconds}s",
                           f"https://127.0.0.1:{server.port}{path}"], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise Failure(f"{server.program.name}: {said}")
    done = int(re.search(r"(\d+) requests in", said)[1])
    return float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1]), (server.cpu_seconds() - before) / done * 1e6


def idle_bytes(server, count):
    """Of each connection that has asked once. nginx has them in its worker."""
    how = context()
    pid = measure.processes(server.pid)[-1]

    def anonymous():
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return int(re.search(r"^Anonymous:\s+(\d+) kB", text, re.M)[1]) * 1024

    held = []

    def more(n):
        for _ in range(n):
            client = how.wrap_socket(socket.create_connection(("127.0.0.1", server.port), 10))
            client.sendall(b"GET /plain HTTP/1.1\r\nHost: x\r\n\r\n")
            client.recv(65536)
            held.append(client)

    more(200)
    before = anonymous()
    more(count)
    grown = anonymous() - before
    for client in held:
        client.close()
    return grown / count


class Storm:
    """64 clients that make handshakes and nothing else."""

    def __init__(self, server, clients=64):
        self.server, self.clients = server, clients

    def __enter__(self):
        command = ["chrt", "-o", "0", "openssl", "s_time", "-connect", f"127.0.0.1:{self.server.port}", "-new", "-time", "3600"]
        self.running = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=measure.on_cpus((0, 1)))
                        for _ in range(self.clients)]
        time.sleep(1)
        return self

    def __exit__(self, *_):
        for each in self.running:
            each.kill()
        for each in self.running:
            each.wait()


def answer_times(server, seconds):
    """Milliseconds, in order: a request each millisecond, on four connections in turns, by a client that never waits for its CPU."""
    how = context()
    clients = [how.wrap_socket(socket.create_connection(("127.0.0.1", server.port), 10)) for _ in range(4)]
    usable, policy, priority = os.sched_getaffinity(0), os.sched_getscheduler(0), os.sched_getparam(0)
    os.sched_setaffinity(0, {measure.LOAD_CPU})
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(2))  # above a server under `chrt -r 1`, its threads for keys among them
    out = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        client = clients[len(out) % len(clients)]
        start = time.monotonic()
        client.sendall(b"GET /plain HTTP/1.1\r\nHost: x\r\n\r\n")
        client.recv(65536)
        out.append((time.monotonic() - start) * 1e3)
        time.sleep(0.001)
    os.sched_setscheduler(0, policy, priority)
    os.sched_setaffinity(0, usable)
    for client in clients:
        client.close()
    return sorted(out)


def handshakes_seen(admin):
    """Those that the server has gone through; most clients of Storm reset the connection then, which it calls failed."""
    with socket.create_connection(("127.0.0.1", admin), 10) as client, client.makefile("rb") as answer:
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        text = answer.read().decode()
    counts = re.findall(r'^weir_tls_handshakes_total\S*result="(?:full|failed)"\S* (\d+)', text, re.M)
    if not counts:
        raise Failure(f"the server tells no number of handshakes: {text[:200]}")
    return sum(map(int, counts))


def storm(build, root, work, rounds, seconds):
    """Rows of p99 in quiet and in the storm, with the keys on the loop and elsewhere."""
    rows = []
    for name, value in (("on the loop", "false"), ("offloaded", "true")):
        admin = measure.free_port()
        how = ["--set", f"tls.offload_keys={value}", "--set", f"admin=127.0.0.1:{admin}"]
        with weir(build, root, work, *how, cpus=(0, 1)) as server:
            quiet, loaded, rates = [], [], []
            for k in range(rounds):
                say(f"p99 in a storm of handshakes, keys {name}: round {k + 1} of {rounds}")
                quiet.append(p99(answer_times(server, seconds)))
                with Storm(server):
                    before = handshakes_seen(admin)
                    loaded.append(p99(answer_times(server, seconds)))
                    rates.append((handshakes_seen(admin) - before) / seconds)
            rows.append({"case": f"p99 of an answer, keys {name}", "quiet, ms": statistics.median(quiet),
                         "64 handshaking, ms": statistics.median(loaded),
                         "ratio": statistics.median(b / a for a, b in zip(quiet, loaded)), "handshakes/s": statistics.median(rates)})
    return rows


def p99(times):
    return times[len(times) * 99 // 100]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build/release", help="tree of the binaries")
    parser.add_argument("--out", type=Path, default=ROOT / "build/bench/tls.json", help="where the JSON goes")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: a look, not a figure")
    options = parser.parse_args()
    version = nginx_version()
    measure.raise_descriptor_limit()
    rounds, count, seconds = (3, 200, 1) if options.quick else (7, 1000, 2)
    with tempfile.TemporaryDirectory() as work, tempfile.TemporaryDirectory() as root, ExitStack() as running:
        for folder in (work, root):
            os.chmod(folder, 0o755)  # nginx's worker is another user
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", "/CN=localhost", "-keyout", f"{work}/own.key", "-out", f"{work}/own.crt"], check=True,
                       capture_output=True)
        Path(root, "kilobyte").write_bytes(os.urandom(1024))
        Path(root, "large").write_bytes(os.urandom(100 * 1024))
        storms = storm(options.build, root, work, 1 if options.quick else 5, 2 if options.quick else 5)
        servers = [running.enter_context(TlsNginx(work, root)), running.enter_context(weir(options.build, root, work))]
        os.sched_setaffinity(0, {measure.LOAD_CPU})  # not before: it would be the servers' as well
        cases = {
            "full handshake and a small answer, CPU us": lambda s: (handshakes(s, count, False),),
            "resumed handshake and a small answer, CPU us": lambda s: (handshakes(s, count, True),),
            "GET 1 KB, requests/s | CPU us": lambda s: requests(s, "/kilobyte", seconds),
            "GET 100 KB, requests/s | CPU us": lambda s: requests(s, "/large", seconds),
        }
        rows = []
        for name, ask in cases.items():
            found = {s.program.name: [] for s in servers}
            for k in range(rounds):
                say(f"{name}: round {k + 1} of {rounds}")
                for s in servers[k % 2:] + servers[:k % 2]:
                    found[s.program.name].append(ask(s))
            for i, what in enumerate(name.rpartition(", ")[2].split(" | ")):
                its, own = ([each[i] for each in found[n]] for n in ("nginx", "weir"))
                rows.append({"case": name.rpartition(", ")[0] + ", " + what, "nginx": statistics.median(its),
                             "weir": statistics.median(own),
                             "weir/nginx": statistics.median(a / b for a, b in zip(own, its))})
        its, own = (idle_bytes(s, 500) for s in servers)
        rows.append({"case": "bytes of an idle connection", "nginx": its, "weir": own, "weir/nginx": own / its})
    print(f"{version}; TLS 1.3, P-256; 32 connections")
    print(table(rows, COLUMNS))
    print(table(storms, STORM_COLUMNS))
    measure.write(options, nginx=version, rows=rows, storms=storms)
    return 0


if __name__ == "__main__":
    measure.run(main)
