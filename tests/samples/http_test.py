#!/usr/bin/env python3
"""The http sample under real clients, and under those that mean harm. Usage: http_test.py --build BUILD"""
import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import sample
from sample import Sample, connect, receive_all, until
from rows import rows

GET = b"GET /plain HTTP/1.1\r\nHost: a\r\n\r\n"
SECRET = b"nobody outside may read this"


def http(*arguments, **more):
    return Sample(*arguments, name="http", **more)


def receive_response(client, buffered=b""):
    """(status, headers, body, what came behind it) of one response with a length."""
    data = buffered
    while b"\r\n\r\n" not in data:
        got = client.recv(65536)
        if not got:
            raise AssertionError(f"the end came inside a head: {data[:200]}")
        data += got
    head, _, rest = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
    length = int(headers.get("content-length", 0))
    while len(rest) < length:
        rest += sample.receive_exactly(client, length - len(rest))
    return int(lines[0].split()[1]), headers, rest[:length], rest[length:]


def ask(client, message=GET):
    client.sendall(message)
    return receive_response(client)


def told(address, message):
    """What comes in all when the client says `message` and then waits for the end."""
    with connect(address) as client:
        client.sendall(message)
        return receive_all(client)


def curl(address, path, *arguments):
    done = subprocess.run(["curl", "-sS", "--max-time", "20", "--path-as-is", *map(str, arguments),
                           f"http://{address}{path}"], capture_output=True, timeout=30, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout, done.stderr.decode()


def tool(*command, timeout=60):
    if not shutil.which(command[0]):
        raise unittest.SkipTest(f"{command[0]} is not installed")
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=timeout,
                          stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise AssertionError(f"{command[0]} ended with {done.returncode}: {done.stdout} {done.stderr}")
    return done.stdout


class Root:
    """A directory to serve, and a secret beside it."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "root")
        os.makedirs(os.path.join(self.path, "sub"))
        self.write("root/page.html", b"<p>page</p>")
        self.write("root/kilobyte", bytes(range(256)) * 4)
        self.write("root/large", bytes(range(256)) * 4000)
        self.write("secret", SECRET)
        os.symlink("../secret", os.path.join(self.path, "out"))
        os.symlink(os.path.join(self.folder.name, "secret"), os.path.join(self.path, "absolute"))
        os.symlink("..", os.path.join(self.path, "sub", "up"))
        return self

    def write(self, name, data):
        with open(os.path.join(self.folder.name, name), "wb") as file:
            file.write(data)

    def __exit__(self, *_):
        self.folder.cleanup()


class Clients(unittest.TestCase):
    """Programs that others wrote find nothing wrong."""

    @classmethod
    def setUpClass(cls):
        cls.root = cls.enterClassContext(Root())
        cls.server = http("--root", cls.root.path)

    @classmethod
    def tearDownClass(cls):
        code = cls.server.stop()
        cls.server.kill()
        if code != 0:
            raise AssertionError(f"exit code {code}: {cls.server.lines}")

    def test_curl_asks_in_every_way(self):
        at = self.server.address
        code, head, _ = curl(at, "/plain", "-i")
        self.assertEqual(code, 0)
        self.assertTrue(head.startswith(b"HTTP/1.1 200 OK\r\n") and head.endswith(b"Hello, World!\n"), head)
        date = re.search(rb"\r\nDate: (.*?)\r\n", head)[1].decode()
        sent = time.mktime(time.strptime(date, "%a, %d %b %Y %H:%M:%S GMT")) - time.timezone
        self.assertLess(abs(sent - time.time()), 5)
        for way in (["-d", "abc"], ["-X", "PUT", "-d", "abc"], ["-H", "Transfer-Encoding: chunked", "-d", "abc"],
                    ["-H", "Expect: 100-continue", "-d", "abc"], ["-0", "-d", "abc"]):
            self.assertEqual(curl(at, "/echo", *way), (0, b"abc", ""))
        self.assertEqual(curl(at, "/plain", "-I", "-o", "/dev/null", "-w", "%{http_code} %{size_download}")[1], b"200 0")
        self.assertEqual(curl(at, "/plain", "-0", "-o", "/dev/null", "-w", "%{http_code}")[1], b"200")
        self.assertEqual(json.loads(curl(at, "/json")[1]), {"message": "Hello, World!"})
        # Two on one connection.
        both = curl(at, "/plain", f"http://{at}/json", "-o", "/dev/null", "-o", "/dev/null", "-w", "%{num_connects}")[1]
        self.assertEqual(both, b"10")
        for path, status in (("/nothing", b"404"), ("/sub", b"301"), ("/%zz", b"400")):
            self.assertEqual(curl(at, path, "-o", "/dev/null", "-w", "%{http_code}")[1], status)
        self.assertEqual(curl(at, "/plain", "-X", "DELETE", "-o", "/dev/null", "-w", "%{http_code}")[1], b"405")

    def test_curl_gets_parts_and_nothing_new(self):
        at = self.server.address
        large = bytes(range(256)) * 4000
        self.assertEqual(curl(at, "/large"), (0, large, ""))
        self.assertEqual(curl(at, "/large", "-r", "1000-70000")[1], large[1000:70001])
        self.assertEqual(curl(at, "/large", "-r", "-100")[1], large[-100:])
        self.assertEqual(curl(at, "/kilobyte", "-r", "1000-")[1], large[1000:1024])
        self.assertEqual(curl(at, "/large", "-r", "2000000-", "-o", "/dev/null", "-w", "%{http_code}")[1], b"416")
        with tempfile.TemporaryDirectory() as folder:
            tag, copy = os.path.join(folder, "tag"), os.path.join(folder, "copy")
            quiet = ("-o", copy, "-w", "%{http_code} %{size_download}")
            self.assertEqual(curl(at, "/kilobyte", "--etag-save", tag, *quiet)[1], b"200 1024")
            self.assertEqual(curl(at, "/kilobyte", "--etag-compare", tag, *quiet)[1], b"304 0")
            self.assertEqual(curl(at, "/kilobyte", "-H", 'If-Match: "another"', "-o", "/dev/null", "-w", "%{http_code}")[1], b"412")
            self.assertEqual(curl(at, "/kilobyte", "-R", *quiet)[1], b"200 1024")
            self.assertEqual(curl(at, "/kilobyte", "-z", copy, *quiet)[1], b"304 0")
            # A copy that broke off is continued.
            with open(copy, "wb") as part:
                part.write(large[:5000])
            self.assertEqual(curl(at, "/large", "-C", "-", "-o", copy)[0], 0)
            with open(copy, "rb") as whole:
                self.assertEqual(whole.read(), large)

    def test_loads_of_others_count_no_error(self):
        url = f"http://{self.server.address}"
        for path in ("/plain", "/kilobyte"):
            for more in ((), ("-k",)):
                out = tool("ab", "-q", "-n", 1000, "-c", 20, *more, url + path)
                self.assertRegex(out, r"Complete requests: +1000")
                self.assertRegex(out, r"Failed requests: +0")
                self.assertNotIn("Non-2xx", out)
            out = tool("h2load", "--h1", "-n", 1000, "-c", 20, "-m", 4, url + path)
            self.assertRegex(out, r"1000 succeeded, 0 failed, 0 errored, 0 timeout")
            self.assertIn("status codes: 1000 2xx", out)
        out = tool("wrk", "-t1", "-c20", "-d1s", url + "/plain")
        self.assertNotIn("Non-2xx", out)
        self.assertNotIn("Socket errors", out)

    def test_the_page_and_its_figures(self):
        at = self.server.address
        with connect(at) as client:
            ask(client)
            page = curl(at, "/")[1]
            self.assertIn(b'fetch("/stats"', page)
            self.assertNotIn(b"http://", page)  # it needs nothing from elsewhere
            figures = json.loads(curl(at, "/stats")[1])
        self.assertEqual(figures["pid"], self.server.pid)
        self.assertGreaterEqual(sum(core["requests"] for core in figures["cores"]), 2)
        self.assertGreaterEqual(sum(core["connections"] for core in figures["cores"]), 2)


class Strict(unittest.TestCase):
    """Nothing is answered that could be read in two ways, and nothing that lies outside the root."""

    def test_requests_to_smuggle_get_an_answer_and_the_end(self):
        post = "POST /echo HTTP/1.1\r\nHost: a\r\n"
        bad = [post + head for head in (
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
            "Content-Length: 5, 6\r\n\r\n", "Content-Length: +5\r\n\r\n", "Content-Length: 0x5\r\n\r\n",
            "Transfer-Encoding: chunked, gzip\r\n\r\n", "Transfer-Encoding: gzip, chunked\r\n\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "A: b\nC: d\r\n\r\n", "A: b\rC: d\r\n\r\n",
            "A: b\r\n c\r\n\r\n", "Content-Length : 5\r\n\r\n", ": b\r\n\r\n", "A: b\0c\r\n\r\n", "Host: b\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n-1\r\n", "Transfer-Encoding: chunked\r\n\r\n0x5\r\n",
            "Transfer-Encoding: chunked\r\n\r\n5 ;\r\n", "Transfer-Encoding: chunked\r\n\r\n5\r\nabcdefgh",
            "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n")]
        bad += ["GET / HTTP/1.1\r\n\r\n", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
                "GET /a\r\nX: y HTTP/1.1\r\nHost: a\r\n\r\n", "*1\r\n$4\r\nPING\r\n", "get key\r\n"]
        with http() as server:
            for message in bad:
                answer = told(server.address, message.encode() + GET)
                with self.subTest(message):
                    self.assertRegex(answer, rb"^HTTP/1.1 (400|501) ")
                    self.assertEqual(answer.count(b"HTTP/1.1 "), 1)
                    self.assertIn(b"\r\nConnection: close\r\n", answer)
            until(lambda: any(" 400 Bad Request: " in line for line in server.lines), "a line in the log")
            self.assertFalse(any("\0" in line or "\r" in line for line in server.lines))

    def test_no_path_leads_out_of_the_root(self):
        ups = ["..", "%2e%2e", "%2E%2e", ".%2e", "%2e.", "..%00", "%c0%ae%c0%ae", "%e0%80%ae%e0%80%ae", "%252e%252e",
               "..;", "...", "%uff0e%uff0e", "..%5c..", "%ff"]
        slashes = ["/", "//", "%2f", "%2F", "%5c", "\\", "/./", "%c0%af"]
        paths = []
        for up, slash, depth in itertools.product(ups, slashes, (1, 3)):
            paths.append("/" + slash.join([up] * depth) + slash + "secret")
        paths += [f"/sub/{up}/{up}/secret" for up in ups]
        paths += ["/out", "/absolute", "/sub/up/secret", "/sub/up/../secret", "/out%00.html", "//secret", "///../secret",
                  "/sub/up/root/page.html/../../../secret", "/%2e/../secret", "/sub//..//..//secret", "/./../secret"]
        with Root() as root, http("--root", root.path) as server:
            paths += [root.folder.name + "/secret", "/" + root.folder.name + "/secret",
                      f"http://a{root.folder.name}/secret", "http://a/../secret", "file://" + root.folder.name + "/secret"]
            self.assertGreaterEqual(len(paths), 200)
            for path in paths:
                answer = told(server.address, f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
                with self.subTest(path):
                    self.assertNotIn(SECRET, answer)
                    self.assertRegex(answer, rb"^HTTP/1.1 (400|404) ")
            sample.figure(f"{len(paths)} paths")
            self.assertEqual(curl(server.address, "/page.html")[1], b"<p>page</p>")

    def test_lies_about_sizes_cost_nothing(self):
        post = b"POST /echo HTTP/1.1\r\nHost: a\r\n"
        lies = [post + b"Content-Length: 9000000000000000000\r\n\r\nx",
                post + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\nx",
                post + b"Transfer-Encoding: chunked\r\n\r\n3FFFFFFFFFFFFFFF\r\n" + b"x" * 2_000_000]
        with http("--cores", "0") as server:
            for lie in lies:
                told(server.address, GET + GET[:-2] + b"Connection: close\r\n\r\n")
                before = server.rss()
                with connect(server.address) as client:
                    with contextlib.suppress(OSError):
                        client.sendall(lie)
                    answer = receive_all(client)
                self.assertRegex(answer, rb"^HTTP/1.1 (400|413) ")
                if not sample.options.sanitized:
                    self.assertLessEqual(server.rss() - before, (1 << 20) + sample.lent_to_kernel(1))

    def test_an_early_answer_is_always_read(self):
        body = b"x" * (2 << 20)
        head = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
        with http() as server:
            for _ in range(100):
                with connect(server.address) as client:
                    client.sendall(head + body)  # all of it, as a client does that looks up only then
                    client.shutdown(socket.SHUT_WR)
                    status, headers, _, _ = receive_response(client)
                    self.assertEqual((status, headers["connection"]), (413, "close"))
                    self.assertEqual(client.recv(1), b"")

    def test_a_root_that_is_none_is_said_at_the_start(self):
        ended = sample.run("--root", "/no/such/place", name="http")
        self.assertEqual(ended.returncode, 1)
        self.assertIn("/no/such/place", ended.stderr)


class Streams(unittest.TestCase):
    def test_ten_thousand_requests_in_one_write(self):
        with http("--cores", "0") as server:
            message = b"".join(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n%05d" % i
                               for i in range(10_000))
            with connect(server.address) as client:
                ask(client)
                before = server.rss()
                writer = threading.Thread(target=client.sendall, args=(message,))
                writer.start()
                buffered = b""
                for i in range(10_000):
                    status, _, body, buffered = receive_response(client, buffered)
                    self.assertEqual((status, body), (200, b"%05d" % i))
                writer.join()
                self.assertEqual(buffered, b"")
                if not sample.options.sanitized:
                    self.assertLessEqual(server.rss() - before, 8 << 20)

    def test_a_stop_ends_requests_and_connections_in_good_order(self):
        body = b"x" * 1000
        head = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"
        with http() as server, contextlib.ExitStack() as all_of_them:
            idle = [all_of_them.enter_context(connect(server.address)) for _ in range(50)]
            busy = [all_of_them.enter_context(connect(server.address)) for _ in range(50)]
            for client in idle + busy:
                ask(client)
            for client in busy:
                client.sendall(head + body[:500])
            # They have been read when the server answers a later client.
            with connect(server.address) as last:
                ask(last)
            server.send(15)
            server.wait_for_line("stopping")
            self.assertEqual([c.recv(1) for c in idle], [b""] * 50)  # FIN, and no reset
            for client in busy:
                client.sendall(body[500:])
                status, headers, echoed, _ = receive_response(client)
                self.assertEqual((status, headers["connection"], echoed), (200, "close", body))
                self.assertEqual(client.recv(1), b"")
            self.assertEqual(server.wait(), 0)

    def test_a_slow_reader_gets_all_of_a_file(self):
        with Root() as root, http("--root", root.path) as server:
            root.write("root/huge", bytes(range(256)) * 32768)
            with connect(server.address, receive_buffer=2048) as client:
                client.sendall(b"GET /huge HTTP/1.1\r\nHost: a\r\n\r\n")
                status, _, body, _ = receive_response(client)
                self.assertEqual((status, body), (200, bytes(range(256)) * 32768))


class Descriptors(unittest.TestCase):
    """Files that are kept open take nothing from clients."""

    def test_a_client_is_served_at_once_after_more_files_than_there_are_descriptors(self):
        with Root() as root:
            for i in range(120):
                root.write(f"root/{i}.css", b"%05d" % i * 4000)
                root.write(f"root/{i}.css.gz", b"%05d" % i * 4001)
            for model in ("loop-per-core", "thread-per-connection"):
                with self.subTest(model), http("--root", root.path, "--model", model,
                                               before=("prlimit", "--nofile=200:200")) as server:
                    begin = server.settled_fds()
                    with contextlib.ExitStack() as all_of_them:
                        for i in range(120):
                            client = all_of_them.enter_context(connect(server.address)) if i < 100 else client
                            for more in (b"", b"Accept-Encoding: gzip\r\n"):
                                status, _, body, _ = ask(client, b"GET /%d.css HTTP/1.1\r\nHost: a\r\n%b\r\n" % (i, more))
                                self.assertEqual((status, body[:5]), (200, b"%05d" % i))
                        for _ in range(65):  # with the others they have nearly all that there is
                            started = time.monotonic()
                            self.assertEqual(ask(all_of_them.enter_context(connect(server.address)))[0], 200)
                            self.assertLess(time.monotonic() - started, 5)
                    # Without clients nothing stays open for long.
                    until(lambda: len(server.fds()) <= begin, lambda: server.fds())

    def test_a_file_that_was_deleted_and_a_root_that_was_switched_are_given_up(self):
        with Root() as root:
            current = os.path.join(root.folder.name, "current")
            os.symlink("root", current)
            with http("--root", current) as server, connect(server.address) as client:
                large = b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n"
                self.assertEqual(ask(client, large)[0], 200)
                os.makedirs(os.path.join(root.folder.name, "release2"))
                root.write("release2/large", b"another")
                os.symlink("release2", current + ".new")
                os.rename(current + ".new", current)
                until(lambda: ask(client, large)[2] == b"another", "the new release", 5)
                shutil.rmtree(root.path)

                def opened():
                    links = []
                    for fd in server.fds():
                        with contextlib.suppress(FileNotFoundError):
                            links.append(os.readlink(f"/proc/{server.pid}/fd/{fd}"))
                    return [link for link in links if "(deleted)" in link and root.folder.name in link]

                until(lambda: not opened(), opened)


class Keys(unittest.TestCase):
    """Limits and the program's own keys are configured as weir's are."""

    def test_limits_and_the_root_come_from_file_environment_and_flags(self):
        with Root() as root, tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write(f'[http]\nbody = 10\nheaders = 5\n[files]\nroot = "{root.path}"\n')
            file.flush()
            with http("--config", file.name, "--set", "http.head=300", environment={"WEIR_HTTP_BODY": "20"}) as server:
                at = server.address
                self.assertEqual(curl(at, "/page.html")[1], b"<p>page</p>")
                status = ("-o", "/dev/null", "-w", "%{http_code}")
                self.assertEqual(curl(at, "/echo", "-d", "x" * 20, *status)[1], b"200")
                self.assertEqual(curl(at, "/echo", "-d", "x" * 21, *status)[1], b"413")
                self.assertEqual(curl(at, "/plain", "-H", "A: " + "x" * 300, *status)[1], b"431")
                self.assertEqual(curl(at, "/plain", *[word for i in range(6) for word in ("-H", f"X-{i}: y")], *status)[1], b"431")
            printed = sample.run("--config", file.name, "--print-config", name="http").stdout
            self.assertIn('\n[files]\n# the directory whose files are served; empty: none\n# a text; default ""\nroot = "', printed)
            self.assertIn("\nbody = 10\n", printed)
            self.assertEqual(sample.run("--config", file.name, "--check", name="http").returncode, 0)

    def test_what_is_wrong_is_said_as_with_any_key(self):
        for arguments, said in ((("--set", "http.body=many"), "--set http.body: expected bytes"),
                                (("--set", "http.headers=0"), "--set http.headers: 0 is out of range; allowed: 1..8192 headers"),
                                (("--set", "http.body_tineout=1s"), "unknown key; did you mean \"http.body_timeout\"?"),
                                (("--rot", "/"), "--rot: unknown option; did you mean \"--root\"?")):
            ended = sample.run(*arguments, name="http")
            self.assertEqual(ended.returncode, 2)
            self.assertIn(said, ended.stderr)

    def test_a_reload_of_a_pool_takes_them_and_a_bad_one_takes_nothing(self):
        if "thread" in sample.options.sanitized:
            self.skipTest("that sanitizer cannot follow a fork")
        with Root() as root, tempfile.TemporaryDirectory() as folder:
            config = os.path.join(folder, "http.toml")

            def configure(body, path):
                with open(config, "w", encoding="utf-8") as file:
                    file.write(f'[http]\nbody = {body}\n[files]\nroot = "{path}"\n')

            configure(10, root.path)
            with http("--config", config, "--model", "process-pool", "--processes", 1) as server:
                def status(size):
                    return curl(server.address, "/echo", "-d", "x" * size, "-o", "/dev/null", "-w", "%{http_code}")[1]

                self.assertEqual(status(11), b"413")
                configure(20, root.path)
                server.send(signal.SIGHUP)
                until(lambda: status(11) == b"200", "the new limit")
                configure(30, "/no/such/place")
                server.send(signal.SIGHUP)
                server.wait_for_line("/no/such/place")
                self.assertEqual(status(21), b"413")
                self.assertEqual(curl(server.address, "/page.html")[1], b"<p>page</p>")


class SlowClients(unittest.TestCase):
    slow = True

    def test_slow_clients_are_cut_while_others_are_served(self):
        with http("--cores", "0") as server:
            began = time.monotonic()
            with contextlib.ExitStack() as all_of_them:
                slow = [all_of_them.enter_context(connect(server.address)) for _ in range(50)]
                for client in slow:
                    client.sendall(b"GET / HTTP/1.1\r\nX: ")
                cut = set()
                fast = all_of_them.enter_context(connect(server.address))
                while len(cut) < len(slow) and time.monotonic() < began + 30:
                    self.assertEqual(ask(fast)[0], 200)
                    for client in sample.answered([c for c in slow if c not in cut], 0.2, enough=1):
                        self.assertRegex(receive_all(client), rb"^HTTP/1.1 408 ")
                        cut.add(client)
                    for client in slow:
                        if client not in cut:
                            with contextlib.suppress(OSError):
                                client.sendall(b"x")
                took = time.monotonic() - began
                self.assertEqual(len(cut), len(slow))
                self.assertGreaterEqual(took, 9.9)
                sample.promised(took, 11, "slow heads are cut")
                self.assertEqual(ask(fast)[0], 200)


class Models(unittest.TestCase):
    def test_every_model_serves_the_same(self):
        with Root() as root:
            root.write("root/copied", b"c" * 1000)
            for row in rows(sample.program("http")):
                if row.model == "process-pool" and "thread" in sample.options.sanitized:
                    continue  # that sanitizer cannot follow a fork
                with self.subTest(row.name), http(*row.arguments, "--root", root.path) as server:
                    with connect(server.address) as client:
                        self.assertEqual(ask(client)[2], b"Hello, World!\n")
                        client.sendall(GET * 20)
                        buffered = b""
                        for _ in range(20):
                            status, _, _, buffered = receive_response(client, buffered)
                            self.assertEqual(status, 200)
                        client.sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n")
                        client.sendall(b"x" * 200000)
                        self.assertEqual(receive_response(client)[2], b"x" * 200000)
                        self.assertEqual(ask(client, b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")[2],
                                         bytes(range(256)) * 4000)
                        self.assertEqual(ask(client, b"GET /kilobyte HTTP/1.1\r\nHost: a\r\n\r\n")[2],
                                         bytes(range(256)) * 4)
                        figures = json.loads(ask(client, b"GET /stats HTTP/1.1\r\nHost: a\r\n\r\n")[2])
                        # A batch is counted when it has been answered, which its client may know first.
                        self.assertGreaterEqual(sum(core["requests"] for core in figures["cores"]), 20)
                    clients = 1 if row.one_at_a_time else 8
                    for path in ("/plain", "/copied", "/large"):
                        out = tool("ab", "-q", "-k", "-n", 200, "-c", clients, f"http://{server.address}{path}")
                        self.assertRegex(out, r"Failed requests: +0")
                        self.assertNotIn("Non-2xx", out)

    def test_whichever_worker_is_asked_knows_the_figures_of_all(self):
        if "thread" in sample.options.sanitized:
            self.skipTest("that sanitizer cannot follow a fork")
        stats = b"GET /stats HTTP/1.1\r\nHost: a\r\n\r\n"
        with tempfile.TemporaryDirectory() as folder, \
                http("--model", "process-pool", "--processes", 2, "--set", "processes.accept=notify",
                     "--set", f"processes.pid_file={folder}/pid") as server:
            clients = []

            def asked(client):
                return json.loads(ask(client, stats)[2])

            def figures():
                return {answer["pid"]: answer["cores"] for answer in map(asked, clients)}

            def meets_both():
                clients.append(connect(server.address))
                return len(figures()) == 2

            until(meets_both, figures)
            for client in clients:
                client.sendall(GET * 40)
                buffered = b""
                for _ in range(40):
                    buffered = receive_response(client, buffered)[3]
            until(lambda: all(sum(core["requests"] for core in cores) >= 80 for cores in figures().values()), figures)
            known = figures()
            for cores in known.values():
                self.assertEqual({core["pid"] for core in cores}, set(known))
                self.assertEqual(sum(core["connections"] for core in cores), len(clients))

            def status():
                told = sample.run("--status", "--json", "--set", f"processes.pid_file={folder}/pid", name="http").stdout
                return sum(worker["requests"] for worker in json.loads(told)["workers"])

            until(lambda: status() >= 80, status)

            victim = min(known)
            lost = next(core["requests"] for core in known[victim] if core["pid"] == victim)
            clients = [client for client in clients if asked(client)["pid"] != victim]
            os.kill(victim, signal.SIGKILL)

            def without(pid):
                cores = asked(clients[0])["cores"]
                return pid not in {core["pid"] for core in cores} and cores

            until(lambda: without(victim), lambda: without(victim))
            until(meets_both, figures)
            for cores in figures().values():
                self.assertEqual(sum(core["connections"] for core in cores), len(clients))
                heir = next(core for core in cores if core["pid"] not in known)
                self.assertGreaterEqual(heir["requests"], lost)
            for client in clients:
                client.close()


if __name__ == "__main__":
    sample.main()
