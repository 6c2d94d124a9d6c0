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


class BesideNginx(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not os.path.exists(NGINX):
            raise unittest.SkipTest("nginx is not installed")
        cls.both = cls.enterClassContext(Both())

    def compare(self, head, target="/kilobyte"):
        """Asks both; the status, what it says of ranges and codings, and the body are the same."""
        found = {}
        for server in ("nginx", "weir"):
            status, headers, body = self.both.ask(server, head, target=target)
            kind = headers.get("content-type", "").split(";")[0]
            if kind == "multipart/byteranges":
                body = [(kind.split(";")[0], place, data) for kind, place, data in parts(headers, body)]
            found[server] = (status, headers.get("content-range"), headers.get("content-encoding"),
                             body if status in (200, 206) else None, kind if status in (200, 206) else None)
            if status not in (200, 206, 304):
                for name in ("etag", "last-modified", "accept-ranges", "content-encoding", "vary"):
                    self.assertNotIn(name, headers)
        with self.subTest(head=head, target=target):
            self.assertEqual(found["weir"], found["nginx"])

    def test_ranges(self):
        for target in ("/kilobyte", "/large", "/empty"):
            for wanted in ("0-9", "0-0", "5-", "-5", "-0", "100000-", "5-4", "0-", "a-b", "", "-", "0-1,3-4", "0-1,500000-",
                           "500000-,600000-", "0-1,", "0-1, 3-4", "0-1 ,3-4", " 0-1", "0 - 1", "0-1x", ",0-0", "0-0,,3-4",
                           "99999999999999999999-", "0-99999999999999999999", "-99999999999999999999", "5-4,0-0",
                           "0-1023,0-1", "0-,0-", "-5,-5", "0-1,-0", "1-0,2-1", "0-0,0-0,0-0,0-0", "0-1;3", "5-,6-"):
                self.compare(f"Range: bytes={wanted}\r\n", target)
        for head in ("Range: BYTES=0-1\r\n", "Range: lines=0-1\r\n", "Range: bytes = 0-1\r\n", "Range: bytes 0-1\r\n"):
            self.compare(head)

    def test_conditions(self):
        tags = {server: self.both.ask(server, "")[1]["etag"] for server in ("nginx", "weir")}
        for head in ('If-None-Match: "x", W/{}\r\n', 'If-None-Match: "x"\r\n', "If-None-Match: *\r\n", "If-Match: {}\r\n",
                     'If-Match: "x", {}\r\n', 'If-Match: "x"\r\n', "If-Match: W/{}\r\n", "If-Match:\r\n",
                     'Range: bytes=0-1\r\nIf-Range: "x"\r\n', "Range: bytes=0-1\r\nIf-Range: {}\r\n",
                     "Range: bytes=0-1\r\nIf-Range: W/{}\r\n"):
            found = {server: self.both.ask(server, head.format(tags[server]))[0] for server in tags}
            with self.subTest(head):
                self.assertEqual(found["weir"], found["nginx"])
        for date in ("Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
                     "Sun, 06 Nov 1994 08:49:36 GMT", "Sunday, 06-Nov-94 08:49:36 GMT", "Sun Nov  6 08:49:36 1994", "yesterday"):
            for name in ("If-Modified-Since", "If-Unmodified-Since", "Range: bytes=0-1\r\nIf-Range"):
                if (name, date) != ("If-Unmodified-Since", "yesterday"):  # no date: nginx refuses, the RFC has it ignored
                    self.compare(f"{name}: {date}\r\n")

    def test_codings(self):
        for accepted in ("gzip", "gzip;q=0", "gzip;Q=0", "gzip;q=0;x=1", "gzip;x=1;q=0", "gzip;q=1", "gzip; q=0.5", "gzip ; q=0",
                         "gzip;q=0.0", "gzip;q=0.01", "*", "identity", "deflate, gzip", "gzip;q=", "gzip;q=abc", "x-gzip",
                         "gzip;q=2", "gzip;q=0.0000"):
            self.compare(f"Accept-Encoding: {accepted}\r\n", "/page.html")
        for server in ("nginx", "weir"):
            tags = {self.both.ask(server, f"Accept-Encoding: {coding}\r\n", target="/page.html")[1]["etag"]
                    for coding in ("gzip", "identity")}
            self.assertEqual(len(tags), 2)

    def test_heads(self):
        get = "GET {} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{}\r\n"
        for target in ("http:///kilobyte", "http://user@b/kilobyte", "http://b/kilobyte", "http://:80/kilobyte", "http://b:/kilobyte",
                       "http:/kilobyte", "http://?x", "http://"):
            self.same_status(get.format(target, ""))
        for count in (99, 150, 500):
            self.same_status(get.format("/kilobyte", "".join(f"X-{i}: y\r\n" for i in range(count))))
        self.same_status(get.format("/kilobyte", "".join(f"X-{i}: {'y' * 7000}\r\n" for i in range(4))))
        self.same_status(get.format("/kilobyte?" + "y" * 7900, ""))

    def same_status(self, message):
        found = {server: self.both.raw(server, message.encode())[0] for server in ("nginx", "weir")}
        with self.subTest(message[:80]):
            self.assertEqual(found["weir"], found["nginx"])


if __name__ == "__main__":
    sample.main()
