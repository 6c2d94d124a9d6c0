#!/usr/bin/env python3
"""The http sample and Debian's nginx over the same files get the same requests and give the same answers.
Usage: http_nginx_test.py --build BUILD"""
import gzip
import os
import re
import shutil
import socket
import subprocess
import tempfile
import unittest

import sample
from sample import Sample, connect, until

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
CONFIGURATION = """
daemon off; worker_processes 1; pid {work}/nginx.pid; error_log {work}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off; sendfile on; gzip_static on; include /etc/nginx/mime.types; default_type application/octet-stream;
  client_body_temp_path {work}/body; proxy_temp_path {work}/proxy; fastcgi_temp_path {work}/fastcgi;
  uwsgi_temp_path {work}/uwsgi; scgi_temp_path {work}/scgi;
  server {{ listen unix:{work}/nginx.sock; root {root}; }}
}}
"""
FILE = bytes(range(256)) * 4
MODIFIED = 784111777  # Sun, 06 Nov 1994 08:49:37 GMT


class Both:
    """nginx and the http sample, each on a unix socket, over one directory."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = os.path.join(self.folder.name, "root")
        os.makedirs(os.path.join(self.root, "sub"))
        os.chmod(self.folder.name, 0o755)  # nginx's worker is another user
        for name, data in (("kilobyte", FILE), ("large", FILE * 40), ("empty", b""), ("page.html", b"<p>page</p>" * 100),
                           ("page.html.gz", gzip.compress(b"<p>page</p>" * 100, mtime=0))):
            path = os.path.join(self.root, name)
            with open(path, "wb") as file:
                file.write(data)
            os.utime(path, (MODIFIED, MODIFIED))
        work = os.path.join(self.folder.name, "nginx")
        os.makedirs(work)
        with open(f"{work}/nginx.conf", "w", encoding="utf-8") as file:
            file.write(CONFIGURATION.format(work=work, root=self.root))
        self.nginx = subprocess.Popen([NGINX, "-c", f"{work}/nginx.conf"], stdin=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL)
        self.addresses = {"nginx": f"unix:{work}/nginx.sock"}
        until(lambda: self.answers("nginx"), "nginx answers")
        self.weir = Sample("--root", self.root, name="http", listen=[f"unix:{self.folder.name}/weir.sock"])
        self.addresses["weir"] = self.weir.address
        return self

    def answers(self, server):
        try:
            connect(self.addresses[server]).close()
            return True
        except OSError:
            return False

    def ask(self, server, head, version="1.1", method="GET", target="/kilobyte"):
        """(status, headers, body) of one request on a connection of its own."""
        with connect(self.addresses[server]) as client:
            client.sendall(f"{method} {target} HTTP/{version}\r\nHost: a\r\nConnection: close\r\n{head}\r\n".encode())
            return parsed(sample.receive_all(client))

    def raw(self, server, message):
        with connect(self.addresses[server]) as client:
            client.sendall(message)
            client.shutdown(socket.SHUT_WR)
            return parsed(sample.receive_all(client))

    def __exit__(self, kind, *more):
        self.nginx.terminate()
        self.nginx.wait()
        self.weir.__exit__(kind, *more)
        self.folder.cleanup()


def parsed(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    if not lines[0]:
        return None, {}, b""
    return int(lines[0].split()[1]), dict((n.lower(), v) for n, v in (l.split(": ", 1) for l in lines[1:])), body


def parts(headers, body):
    """The parts of a multipart/byteranges body: (Content-Type, Content-Range, bytes)."""
    boundary = re.fullmatch(r"multipart/byteranges; boundary=(\S+)", headers["content-type"])[1].encode()
    pieces = body.split(b"\r\n--" + boundary)
    assert pieces[0] == b"" and pieces[-1] == b"--\r\n", body
    found = []
    for piece in pieces[1:-1]:
        head, _, data = piece.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().strip("\r\n").split("\r\n"))
        found.append((fields.get("Content-Type"), fields["Content-Range"], data))
    return found
