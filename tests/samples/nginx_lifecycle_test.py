#!/usr/bin/env python3
"""What clients lose while their server is reloaded, upgraded and short of descriptors: the http sample, a pool of two
workers, beside Debian's nginx with two. Usage: nginx_lifecycle_test.py --build BUILD [--slow]"""
import collections
import contextlib
import ctypes
import os
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

import sample
from lifecycle_clients import HttpLong, HttpOnce, HttpSlowReader, Record, Site, Stalls
from lifecycle_pool import PATIENCE, ConfiguredPool
from pool import cpu_seconds, living, state_of
from sample import connect, until

PR_SET_CHILD_SUBREAPER = 36
NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
FILES = {path: random.Random(path).randbytes(size)
         for path, size in (("/kilobyte", 1024), ("/some", 100_000), ("/large", 4_000_000))}
CONFIGURATION = """
user root;
worker_processes 2;
pid {work}/pid;
error_log {work}/error.log;
events {{ worker_connections 512; }}
http {{
  access_log off;
  sendfile on;
  keepalive_requests 1000000;
  client_body_temp_path {work}/body;
  proxy_temp_path {work}/proxy;
  fastcgi_temp_path {work}/fastcgi;
  uwsgi_temp_path {work}/uwsgi;
  scgi_temp_path {work}/scgi;
  server {{
    listen 127.0.0.1:{port} backlog=512;
    root {root};
    location = /pid {{ return 200 "$pid\\n"; }}
  }}
}}
"""


class Weir(ConfiguredPool):
    site = Site(FILES, None, "/stats", rb'"pid":(\d+)')

    def __init__(self, work, root, before=()):
        super().__init__("http", "shared", work, "--root", root, before=before)
        self.wait_for_workers(2, self.masters[0])

    def reload(self, master):
        first = self.workers(master)
        super().reload(master)
        return first

    def close(self):
        self.kill()


class Nginx:
    """Told by its pid file, as an operator does it; USR2 needs it to be a daemon."""
    site = Site(FILES, None, "/pid", rb"(\d+)")

    def __init__(self, work, root, before=()):
        self.pid_file = f"{work}/pid"
        self.tcp = f"127.0.0.1:{sample.free_port()}"
        with open(f"{work}/nginx.conf", "w", encoding="utf-8") as file:
            file.write(CONFIGURATION.format(work=work, root=root, port=self.tcp.rpartition(":")[2]))
        subprocess.run([*before, NGINX, "-c", f"{work}/nginx.conf"], check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addresses = [self.tcp]
        until(lambda: self.written(), "nginx's pid file")
        self.masters = [self.written()]
        until(lambda: len(self.workers(self.masters[0])) == 2, "nginx's workers")

    def written(self):
        with contextlib.suppress(FileNotFoundError, ValueError):
            return int(sample.read(self.pid_file))

    def workers(self, master=None):
        return {w for m in ([master] if master else self.masters) for w in living(m)} - set(self.masters)

    def reload(self, master):
        first = self.workers(master)
        os.kill(master, signal.SIGHUP)
        until(lambda: len(self.workers(master) - first) == 2, "new workers of nginx", PATIENCE)
        return first

    def start_successor(self, master):
        os.kill(master, signal.SIGUSR2)
        until(lambda: self.written() not in (None, master), "a new nginx", PATIENCE)
        successor = self.written()
        self.masters.append(successor)
        until(lambda: len(self.workers(successor)) == 2, "workers of the new nginx", PATIENCE)
        return successor

    def end_of_two(self, leaving):
        code = self.end(leaving)
        until(lambda: self.written() == self.masters[0], "the pid file of the nginx that stays", PATIENCE)
        return code

    def end(self, master, number=signal.SIGQUIT):
        os.kill(master, number)
        self.masters.remove(master)
        def has_ended():
            with contextlib.suppress(ChildProcessError):
                os.waitpid(master, os.WNOHANG)
            return state_of(master) == "X"
        until(has_ended, "nginx has ended", PATIENCE)
        return 0

    def close(self):
        for master in self.masters:  # or it replaces a worker that is killed before it, and nobody kills that one
            with contextlib.suppress(ProcessLookupError):
                os.kill(master, signal.SIGSTOP)
        for pid in self.workers() | set(self.masters):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for master in list(self.masters):
            with contextlib.suppress(ChildProcessError):
                os.waitpid(master, 0)


def request(path):
    return f"GET {path} HTTP/1.1\r\nHost: lifecycle\r\n\r\n".encode()


def whole_answer(data):
    """Its status, once all of it is there."""
    head, found, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.I)
    if found and length and len(body) >= int(length[1]):
        return int(head[9:12])


class Crowd:
    """Clients that ask once, all at the same time, and keep their connections."""

    def __init__(self, address, path, count):
        self.waiting, self.held, self.results = {}, [], collections.Counter()
        for _ in range(count):
            client = connect(address)
            client.sendall(request(path))
            self.waiting[client] = b""

    def listen(self, seconds):
        """Takes what comes in that time."""
        end = time.monotonic() + seconds
        poller = select.poll()
        by_fd = {c.fileno(): c for c in self.waiting}
        for fd in by_fd:
            poller.register(fd, select.POLLIN)
        while self.waiting and (left := end - time.monotonic()) > 0:
            for fd, _ in poller.poll(left * 1000):
                client = by_fd[fd]
                try:
                    data = client.recv(65536)
                except ConnectionError:
                    data = b""
                self.waiting[client] += data
                status = whole_answer(self.waiting[client])
                if data and not status:
                    continue
                self.results[status if data else "cut"] += 1
                del self.waiting[client]
                poller.unregister(fd)
                self.held.append(client)

    def leave(self):
        """Those that have been answered."""
        for client in self.held:
            client.close()
        self.held.clear()


class SideBySide(unittest.TestCase):
    slow = False
    reloads = 2
    upgrades = 1  # in each order
    crowd = 150

    @classmethod
    def setUpClass(cls):
        if not os.path.exists(NGINX):
            raise unittest.SkipTest("nginx is not installed")
        if os.geteuid() != 0:
            raise unittest.SkipTest("nginx is started by root here")
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)  # masters whose parent has ended are this process's

    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.root = f"{self.folder}/root"
        os.mkdir(self.root)
        for path, content in FILES.items():
            with open(self.root + path, "wb") as file:
                file.write(content)

    def compare(self, title, measure, **how):
        """Measures both at the same time. weir loses nothing that nginx does not. A machine on which clients of nginx wait
        for so long tells nothing about how long those of weir do."""
        def of(kind):
            with tempfile.TemporaryDirectory(dir=self.folder) as work, contextlib.closing(kind(work, self.root, **how)) as server:
                return measure(server)

        with ThreadPoolExecutor() as threads:
            nginx, weir = threads.map(of, (Nginx, Weir))
        for name, figures in ("nginx", nginx), ("weir", weir):
            sample.figure(f"{title}: {name:5}  " + ", ".join(f"{key} {value}" for key, value in figures.items()))
        self.assertLessEqual(weir["lost"], nginx["lost"])
        if not nginx.get("waits over 2 s"):
            self.assertEqual(weir.get("waits over 2 s", 0), 0)

    def lost_by_clients(self, server, script):
        """What clients of all kinds lose while `script` runs."""
        record, stalls = Record(), Stalls()
        kinds = [HttpOnce, HttpOnce, HttpLong, HttpLong, HttpSlowReader]
        clients = [kind(record, server.addresses, i, server.site) for i, kind in enumerate(kinds)]
        try:
            for client in clients:
                client.start()
            until(lambda: len(record.answers) == 3, "all kinds of clients are served", PATIENCE)
            script(server)
        finally:
            for client in clients:
                client.stopping.set()
            for client in clients:
                client.join()
            stalls.stop()
        self.assertEqual([client.broken for client in clients if client.broken], [])
        faults = [text for _, text in record.faults(stalls)]
        waits = sum("waited" in text for text in faults)
        return {"answers": record.answers.total(), "lost": len(faults) - waits, "waits over 2 s": waits,
                "ended between messages": record.closed.total(), "faults": faults[:3]}

    def test_reloads(self):
        def script(server):
            for _ in range(self.reloads):
                first = server.reload(server.masters[0])
                until(lambda: not first & server.workers(), "the first workers have left", PATIENCE)

        self.compare(f"{self.reloads} reloads", lambda server: self.lost_by_clients(server, script))

    def test_upgrades_that_stay(self):
        def script(server):
            for _ in range(self.upgrades):
                server.start_successor(server.masters[0])
                server.end_of_two(server.masters[0])

        self.compare(f"{self.upgrades} upgrades that stay", lambda server: self.lost_by_clients(server, script))

    def test_upgrades_that_are_taken_back(self):
        def script(server):
            for _ in range(self.upgrades):
                server.end_of_two(server.start_successor(server.masters[0]))

        self.compare(f"{self.upgrades} upgrades that are taken back", lambda server: self.lost_by_clients(server, script))

    def test_shortage_of_descriptors(self):
        """Two workers with 64 descriptors each, and more clients than these, who all want a file."""
        self.compare("shortage", self.lost_in_shortage, before=("prlimit", "--nofile=64:64"))

    def lost_in_shortage(self, server):
        crowd = Crowd(server.tcp, "/some", self.crowd)
        crowd.listen(0.3)
        at_once = crowd.results[200]
        cpu = sum(map(cpu_seconds, server.workers()))
        crowd.listen(0.5)
        cpu = sum(map(cpu_seconds, server.workers())) - cpu
        # Those that have been answered make room for others.
        end = time.monotonic() + PATIENCE
        while crowd.waiting and time.monotonic() < end:
            crowd.leave()
            crowd.listen(0.1)
        crowd.leave()
        with connect(server.tcp) as client:
            client.sendall(request("/kilobyte"))
            afterwards = client.recv(100)[:12] == b"HTTP/1.1 200"
        return {"clients": self.crowd, "answered at once": at_once, "CPU meanwhile": f"{cpu / 0.5:.0%}",
                "lost": self.crowd - crowd.results[200] + (not afterwards), "answers": dict(crowd.results)}


class ForLonger(SideBySide):
    slow = True
    reloads = 20
    upgrades = 8
    crowd = 400


if __name__ == "__main__":
    sample.main()
