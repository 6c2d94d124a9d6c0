"""Load balancers in front of weir's nodes, as operators run them: HAProxy with health checks, nginx with passive ones."""
import contextlib
import os
import re
import shutil
import socket
import subprocess
import tempfile

import sample
from sample import free_port, until

HAPROXY = shutil.which("haproxy") or "/usr/sbin/haproxy"
NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
PATIENCE = 30  # seconds for any one effect


class Balancer:
    """A process in front of `nodes`, a list of addresses. `address` is what clients connect to."""

    def __init__(self, nodes, before=(), address=None, **how):
        self.folder = tempfile.mkdtemp()
        self.nodes = nodes
        self.address = address or f"127.0.0.1:{free_port()}"
        path = f"{self.folder}/configuration"
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.configuration(**how))
        self.log = open(f"{self.folder}/log", "w+", encoding="utf-8")
        self.process = subprocess.Popen([*before, *self.command(path)], stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log)
        try:
            self.wait_until_ready()
        except BaseException:
            self.close()
            raise

    def said(self):
        self.log.seek(0)
        return self.log.read()

    def accepts(self):
        if self.process.poll() is not None:
            raise AssertionError(f"{type(self).__name__} has ended: {self.said()}")
        with contextlib.suppress(OSError), sample.connect(self.address):
            return True
        return False

    def wait_until_ready(self):
        until(self.accepts, "the balancer", PATIENCE)

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class HAProxy(Balancer):
    """Asks each node for /ready. The names of the nodes are node0, node1..."""

    def command(self, path):
        return [HAPROXY, "-db", "-f", path]

    def configuration(self, backend=(), server="", mode="http"):
        self.control = f"{self.folder}/control"
        servers = "".join(f"  server node{i} {node} check {server}\n" for i, node in enumerate(self.nodes))
        check = "  option httpchk GET /ready\n  http-check expect status 200\n" if mode == "http" else ""
        lines = "".join(f"  {line}\n" for line in backend)
        return (f"global\n  nbthread 1\n  stats socket {self.control} mode 600 level admin\n"
                f"defaults\n  mode {mode}\n  timeout connect 5s\n  timeout client 1m\n  timeout server 1m\n"
                f"  timeout check 5s\n  option redispatch\n"
                f"frontend clients\n  bind {self.address}\n  default_backend nodes\n"
                f"backend nodes\n  balance roundrobin\n{check}{lines}"
                f"  default-server inter 50ms fall 1 rise 1\n{servers}")

    def told(self, command):
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(sample.BOUND)
            control.connect(self.control)
            control.sendall(command.encode() + b"\n")
            return sample.receive_all(control).decode()

    def name_of(self, i):
        return f"node{i}"

    def figures(self, i):
        start = f"nodes,{self.name_of(i)},"
        row, = (line.split(",") for line in self.told("show stat").splitlines() if line.startswith(start))
        return row

    def is_up(self, i):
        return self.figures(i)[17].startswith("UP")

    def sessions(self, i):
        """Since its start, checks not counted."""
        return int(self.figures(i)[7])

    def wait_for(self, i, up):
        until(lambda: self.is_up(i) == up, f"node {i} is {'up' if up else 'down'} for HAProxy", PATIENCE)

    def wait_until_ready(self):
        super().wait_until_ready()
        until(lambda: os.path.exists(self.control), "HAProxy's socket", PATIENCE)  # which it makes last
        for i in range(len(self.nodes)):
            self.wait_for(i, True)


class Nginx(Balancer):
    """Notices what fails, and asks another node then."""

    def command(self, path):
        return [NGINX, "-p", self.folder, "-e", "stderr", "-c", path]

    def configuration(self, keep=32):
        servers = "".join(f"    server {node} max_fails=1 fail_timeout=1s;\n" for node in self.nodes)
        kept = f"    keepalive {keep};\n" if keep else ""
        temporary = "".join(f"  {kind}_temp_path {self.folder}/{kind};\n"
                            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        return (f"daemon off;\nuser root;\nworker_processes 1;\npid {self.folder}/pid;\nerror_log stderr warn;\n"
                f"events {{ worker_connections 512; }}\nhttp {{\n  access_log off;\n  keepalive_requests 1000000;\n{temporary}"
                f"  upstream nodes {{\n{servers}{kept}  }}\n"
                f"  server {{\n    listen {self.address};\n    location / {{\n      proxy_pass http://nodes;\n"
                f"      proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n    }}\n  }}\n}}\n")


class Load:
    """wrk with keep-alive connections until `finish()`: what it counts is every request that failed. `pause`: milliseconds
    of each connection before its next request; with 0 the load takes all of a CPU."""

    def __init__(self, address, path="/plain", connections=16, method="GET", before=(), pause=0):
        self.script = tempfile.NamedTemporaryFile("w", suffix=".lua")
        body = 'wrk.body = string.rep("x", 100)\n' if method == "POST" else ""
        delay = f"function delay() return {pause} end\n" if pause else ""
        self.script.write(f'wrk.method = "{method}"\n{body}{delay}')
        self.script.flush()
        self.process = subprocess.Popen(
            [*before, "wrk", "-t1", f"-c{connections}", "-d3600s", "--timeout", "30s", "-s", self.script.name,
             f"http://{address}{path}"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def finish(self):
        """(answers, failures)."""
        self.process.send_signal(2)  # SIGINT: it prints what it has counted
        told, _ = self.process.communicate(timeout=PATIENCE)
        self.script.close()
        answers = int(re.search(r"(\d+) requests in", told)[1])
        failures = sum(map(int, re.findall(r"(?:connect|read|write|timeout|responses:) (\d+)", told)))
        return answers, failures

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
        with contextlib.suppress(FileNotFoundError):
            self.script.close()


def are_installed():
    return os.path.exists(HAPROXY) and os.path.exists(NGINX) and shutil.which("wrk")
