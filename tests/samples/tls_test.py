#!/usr/bin/env python3
"""TLS under the samples, as its clients and its enemies see it.

Usage: tls_test.py --build BUILD
"""
import contextlib
import http.client
import os
import random
import re
import select
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time
import unittest

import sample
from admin_test import metrics, total
from pool import MODES, children, state_of
from pool import descriptors as descriptors_of
from rows import rows
from sample import Sample, until
from tls import SECONDS, TlsSocket, make_certificate

def trusting(certificate, **options):
    """Trusts this one and no authority of the system: to read those takes longer than a handshake."""
    context = ssl.create_default_context(cafile=certificate)
    for name, value in options.items():
        setattr(context, name, value)
    return context


def host_and_port(address):
    host, port = address.removeprefix("tls:").rsplit(":", 1)
    return host, int(port)


def anonymous(pid):
    """KB of memory of its own."""
    return int(re.search(r"^RssAnon:\s+(\d+) kB", open(f"/proc/{pid}/status").read(), re.M)[1])


def kill(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class Tls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.crt, cls.key = make_certificate(cls.folder, "localhost")

    def serve(self, *arguments, name="echo", certificates=None, listen=("tls:127.0.0.1:0",), **more):
        pairs = certificates or [(self.crt, self.key)]
        keys = ["--set", "tls.certificate=" + ",".join(crt for crt, _ in pairs),
                "--set", "tls.key=" + ",".join(key for _, key in pairs)]
        return Sample(*keys, *arguments, name=name, listen=listen, **more)

    def connect(self, server, context=None, name="localhost", **options):
        raw = socket.create_connection(host_and_port(server.address), SECONDS)
        return (context or trusting(self.crt)).wrap_socket(raw, server_hostname=name, **options)

    def is_served(self, server, context=None):
        """On a busy machine the deadline may pass for a client that means well."""
        try:
            with self.connect(server, context) as client:
                self.exchange(client, b"served")
            return True
        except OSError:
            return False

    def client_hello(self):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = trusting(self.crt).wrap_bio(incoming, outgoing, server_hostname="localhost")
        with self.assertRaises(ssl.SSLWantReadError):
            client.do_handshake()
        return outgoing.read()

    def exchange(self, client, data):
        """In one thread: an object of Python's ssl is not for two."""
        got, left = bytearray(), memoryview(data)
        client.setblocking(False)
        end = time.monotonic() + SECONDS
        while len(got) < len(data):
            self.assertLess(time.monotonic(), end, f"{len(got)} of {len(data)} bytes have come")
            moved = False
            if left:
                try:
                    left = left[client.send(left[:65536]):]
                    moved = True
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    pass
            try:
                part = client.recv(65536)
                self.assertTrue(part, f"the end came after {len(got)} of {len(data)} bytes")
                got += part
                moved = True
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                pass
            if not moved:
                select.select([client], [client] if left else [], [], SECONDS)
        client.settimeout(SECONDS)
        self.assertEqual(bytes(got), data)


class Models(Tls):
    """The same handler, plain and over TLS."""

    def test_every_model_echoes_over_tls(self):
        big = random.Random(1).randbytes(300_000)
        for row in rows(sample.program("echo")):
            with self.subTest(row.name), self.serve(*row.arguments) as server:
                for _ in range(3):
                    with self.connect(server) as client:
                        self.exchange(client, b"hello")
                        self.exchange(client, big)
                        self.exchange(client, b"x")
                        raw = client.unwrap()  # close_notify both ways
                        self.assertEqual(raw.recv(1), b"")
                        raw.close()

    def test_every_accept_mode_passes_the_layer_on(self):
        for mode in ("shared", "mutex", "reuseport", "notify", "dispatch"):
            with self.subTest(mode), self.serve("--model", "process-pool", "--processes", 2, "--set",
                                                f"processes.accept={mode}") as server:
                clients = [self.connect(server) for _ in range(8)]
                for client in clients:
                    self.exchange(client, b"hello")
                    client.close()

    def test_http_parks_and_wakes_keep_alive_clients(self):
        for arguments in (["--model", "single-loop"], ["--cores", "0-1"]):
            with self.subTest(arguments), self.serve(*arguments, name="http") as server:
                host, port = host_and_port(server.address)
                client = http.client.HTTPSConnection(host, port, timeout=SECONDS, context=trusting(self.crt))
                for _ in range(5):
                    client.request("GET", "/plain")
                    self.assertEqual(client.getresponse().read(), b"Hello, World!\n")
                client.close()


    def test_an_end_without_a_word_is_no_end(self):
        """Somebody between may have cut the stream."""
        for arguments in (["--model", "single-loop"], ["--model", "loop-with-workers"], ["--model", "thread-per-connection"]):
            notes = os.path.join(self.folder, "notes")
            open(notes, "w").close()
            with self.subTest(arguments), self.serve(*arguments, "--notes", notes, name="equivalence") as server:
                for number, end in ((b"0001", "closed by the peer"), (b"0002", "reset by the peer")):
                    client = TlsSocket(socket.create_connection(host_and_port(server.address), SECONDS), trusting(self.crt))
                    client.sendall(number + b"echohello")
                    self.assertEqual(client.recv(5), b"hello")
                    client.close() if end.startswith("closed") else client.raw.close()
                    until(lambda: f"{number.decode()} {end}\n" in open(notes).read(), lambda: open(notes).read(), SECONDS)


class Handshake(Tls):
    aborts = 400

    def test_old_versions_and_weak_ciphers_are_refused(self):
        with self.serve() as server:
            for version in ("-tls1", "-tls1_1"):
                got = subprocess.run(["openssl", "s_client", "-connect", "%s:%d" % host_and_port(server.address), version,
                                      "-cipher", "ALL:@SECLEVEL=0"], input="", capture_output=True, text=True,
                                     timeout=SECONDS)
                self.assertNotEqual(got.returncode, 0, version)
            for version in ("-tls1_2", "-tls1_3"):
                got = subprocess.run(["openssl", "s_client", "-connect", "%s:%d" % host_and_port(server.address), version,
                                      "-CAfile", self.crt], input="", capture_output=True, text=True, timeout=SECONDS)
                self.assertEqual(got.returncode, 0, version)
                self.assertIn("Verify return code: 0 (ok)", got.stdout)
                self.assertIn("Compression: NONE", got.stdout)

    def test_renegotiation_is_refused(self):
        with self.serve() as server:
            got = subprocess.run(["openssl", "s_client", "-connect", "%s:%d" % host_and_port(server.address), "-tls1_2"],
                                 input="R\n", capture_output=True, text=True, timeout=SECONDS)
            self.assertIn("no renegotiation", got.stderr)

    def test_a_stalled_handshake_is_cut_at_its_deadline_at_each_step(self):
        hello = self.client_hello()
        models = [(row.name, row.arguments) for row in rows(sample.program("echo"))
                  if not row.one_at_a_time]  # in which each would wait for the one before
        models.append(("offloaded", ["--model", "single-loop", "--set", "tls.offload_keys=true"]))
        for name, arguments in models:
            with self.subTest(name), self.serve("--set", "tls.handshake_timeout=300ms", *arguments) as server:
                stalled = []
                for count in (0, 1, 5, 6, len(hello) // 2, len(hello) - 1, len(hello)):
                    s = socket.create_connection(host_and_port(server.address), SECONDS)
                    s.sendall(hello[:count])
                    stalled.append(s)
                for s in stalled:
                    with s:
                        s.settimeout(SECONDS)
                        try:
                            while s.recv(65536):
                                pass
                        except ConnectionResetError:
                            pass
                until(lambda: self.is_served(server), "a client is served", SECONDS)

    def test_a_client_that_speaks_plain_http_is_closed_and_logged_at_most_once_a_second(self):
        with self.serve("--model", "single-loop") as server:
            for _ in range(50):
                with socket.create_connection(host_and_port(server.address), SECONDS) as s:
                    s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                    s.settimeout(SECONDS)
                    try:
                        while s.recv(4096):
                            pass
                    except ConnectionResetError:
                        pass
            server.wait_for_line("http request")
            self.assertLess(sum("handshake" in line for line in server.lines), 20)

    def abort(self, server, count):
        """At random bytes of the handshake and of the records after it."""
        draw = random.Random(4)
        for _ in range(count):
            raw = socket.create_connection(host_and_port(server.address), SECONDS)
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = trusting_all.wrap_bio(incoming, outgoing, server_hostname="localhost")
            budget = draw.randrange(0, 900)
            try:
                done = False
                while budget > 0:
                    try:
                        if not done:
                            client.do_handshake()
                            done = True
                        client.write(b"x" * 100)
                    except ssl.SSLWantReadError:
                        pass
                    out = outgoing.read()[:budget]
                    budget -= max(len(out), 1)
                    if out:
                        raw.sendall(out)
                    if not done and budget > 0:
                        got = raw.recv(65536)
                        if not got:
                            break
                        incoming.write(got)
            except OSError:
                pass
            if draw.random() < 0.5:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raw.close()

    def test_aborts_at_random_bytes_leave_nothing_behind(self):
        for arguments in (["--model", "single-loop"], ["--model", "loop-with-workers"],
                          ["--model", "single-loop", "--set", "tls.offload_keys=true"]):
            with self.subTest(arguments), self.serve(*arguments) as server:
                self.abort(server, 50)
                with self.connect(server) as client:
                    self.exchange(client, b"served")
                before = None

                def settled():
                    nonlocal before
                    last, before = before, descriptors(server.pid)
                    return last == before

                until(settled, "descriptors settle", SECONDS)
                resident = anonymous(server.pid)
                self.abort(server, self.aborts)
                until(lambda: descriptors(server.pid) <= before, lambda: f"{descriptors(server.pid)} descriptors", SECONDS)
                sample.figure(f"{self.aborts} aborts: {anonymous(server.pid) - resident} KB more")
                if not sample.options.sanitized:  # which keeps what is freed
                    self.assertLess(anonymous(server.pid), resident + 4096)


trusting_all = ssl._create_unverified_context()


class ManyAborts(Handshake):
    slow = True
    aborts = 10_000


class OffloadedKeys(Tls):
    """Handshakes whose private keys are used on other threads than the loops."""

    def threads(self, server):
        return [open(f"/proc/{server.pid}/task/{t}/comm").read().strip() for t in os.listdir(f"/proc/{server.pid}/task")]

    def test_both_versions_with_and_without_client_certificates_and_sessions(self):
        person = make_certificate(self.folder, "person", "/CN=me", "DNS:me.test")
        verifies = ["--set", "tls.verify=require", "--set", f"tls.ca={person[0]}"]
        for arguments in ([], verifies):
            for io in ("epoll", "auto"):
                with self.subTest(arguments, io=io), self.serve("--set", "tls.offload_keys=true", "--model", "single-loop", "--io",
                                                                io, "--set", "tls.alpn=a,b", *arguments) as server:
                    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                        context = trusting(self.crt, minimum_version=version, maximum_version=version)
                        context.load_cert_chain(*person)
                        context.set_alpn_protocols(["b"])
                        session = None
                        for resumed in (False, True):
                            with self.connect(server, context, session=session) as client:
                                self.exchange(client, b"hello")
                                self.assertEqual(client.session_reused, resumed)
                                self.assertEqual(client.selected_alpn_protocol(), "b")
                                session = client.session
                    self.assertIn("weir offload", self.threads(server))

    def test_a_hello_in_single_bytes_is_a_hello_and_other_bytes_are_refused_at_once(self):
        with self.serve("--set", "tls.offload_keys=true", "--model", "single-loop") as server:
            hello = self.client_hello()
            with socket.create_connection(host_and_port(server.address), SECONDS) as s:
                for at in range(len(hello)):
                    s.send(hello[at:at + 1])
                s.settimeout(SECONDS)
                self.assertEqual(s.recv(1), b"\x16")  # a ServerHello
            for other in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\xff\xff" + bytes(100), b"\x00" * 20):
                with socket.create_connection(host_and_port(server.address), SECONDS) as s:
                    s.sendall(other)
                    s.settimeout(SECONDS)
                    try:
                        while s.recv(4096):
                            pass
                    except ConnectionResetError:
                        pass

    def test_a_flight_of_several_records_is_a_flight_wherever_it_is_split(self):
        """Each byte of the filling looks like the first of a record that is not all there."""
        filling = b"\x16" * 19_000
        hello = self.with_extension(self.client_hello(), filling)
        self.assertGreater(len(hello), 16384)
        with self.serve("--set", "tls.offload_keys=true", "--model", "single-loop", "--set", "tls.handshake_timeout=1h") as server:
            for size in (len(hello), 16384 + 5 + 3, 5000, 977):
                with self.subTest(size), socket.create_connection(host_and_port(server.address), SECONDS) as s:
                    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    for at in range(0, len(hello), size):
                        s.sendall(hello[at:at + size])
                    s.settimeout(SECONDS)
                    self.assertEqual(s.recv(1), b"\x16")  # a ServerHello
        der = b"\x04\x82" + struct.pack(">H", len(filling)) + filling
        person = make_certificate(self.folder, "long", "/CN=me", "DNS:me.test", more=["-addext", "1.2.3.4=DER:" + der.hex()])
        with self.serve("--set", "tls.offload_keys=true", "--model", "single-loop", "--set", "tls.handshake_timeout=1h", "--set",
                        "tls.verify=require", "--set", f"tls.ca={person[0]}") as server:
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                context = trusting(self.crt, minimum_version=version, maximum_version=version)
                context.load_cert_chain(*person)
                with self.subTest(version), self.connect(server, context) as client:
                    self.exchange(client, b"hello")

    def with_extension(self, hello, data):
        """A ClientHello in one record, with a further extension that no server knows; in as many records as it takes."""
        message = hello[5 + 4:]
        at = 2 + 32
        at += 1 + message[at]
        at += 2 + struct.unpack_from(">H", message, at)[0]
        at += 1 + message[at]
        extensions = message[at + 2:] + struct.pack(">HH", 0xfafa, len(data)) + data
        message = message[:at] + struct.pack(">H", len(extensions)) + extensions
        message = b"\x01" + struct.pack(">I", len(message))[1:] + message
        parts = (message[at:at + 16384] for at in range(0, len(message), 16384))
        return b"".join(b"\x16\x03\x01" + struct.pack(">H", len(part)) + part for part in parts)

    def test_elsewhere_no_other_thread_is_asked(self):
        with self.serve("--set", "tls.offload_keys=true", "--model", "thread-per-connection") as server:
            with self.connect(server) as client:
                self.exchange(client, b"hello")
            self.assertNotIn("weir offload", self.threads(server))


class Certificates(Tls):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.other = make_certificate(cls.folder, "other", "/CN=other.test", "DNS:other.test,DNS:www.other.test")
        cls.wild = make_certificate(cls.folder, "wild", "/CN=wild", "DNS:*.wild.test")

    def presented(self, server, name):
        with self.connect(server, trusting_all, name) as client:
            return ssl.DER_cert_to_PEM_cert(client.getpeercert(True)).strip()

    def test_the_certificate_is_chosen_by_name(self):
        text = {path: open(path).read().strip() for path in (self.crt, self.other[0], self.wild[0])}
        with self.serve(certificates=[(self.crt, self.key), self.other, self.wild]) as server:
            for name, path in (("localhost", self.crt), ("other.test", self.other[0]), ("WWW.other.TEST", self.other[0]),
                               ("a.wild.test", self.wild[0]), ("a.b.wild.test", self.crt), ("wild.test", self.crt),
                               ("nobody.test", self.crt)):
                self.assertEqual(self.presented(server, name), text[path], name)

    def check(self, *arguments):
        got = sample.run("--listen", "tls:127.0.0.1:0", "--check", *arguments)
        return got.returncode, got.stderr

    def keys(self, crt, key):
        return ["--set", f"tls.certificate={crt}", "--set", f"tls.key={key}"]

    def test_what_cannot_be_used_is_found_by_check(self):
        broken = os.path.join(self.folder, "broken.crt")
        with open(broken, "w") as out:
            out.write("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        wrong = {
            "and there is no certificate": [],
            "cannot be read: No such file or directory": self.keys("/nowhere/x.crt", self.key),
            "holds no PEM certificate": self.keys(broken, self.key),
            "holds no PEM key": self.keys(self.crt, self.crt),
            "does not fit the certificate": self.keys(self.crt, self.other[1]),
            "each certificate needs its key": ["--set", f"tls.certificate={self.crt}"],
            "tls.ciphers: \"nonsense\": no cipher match": [*self.keys(self.crt, self.key), "--set", "tls.ciphers=nonsense"],
            "no authority is believed": [*self.keys(self.crt, self.key), "--set", "tls.verify=require"],
        }
        for part, arguments in wrong.items():
            code, error = self.check(*arguments)
            self.assertIn(part, error)
            self.assertEqual(code, 2)
        self.assertEqual(self.check(*self.keys(self.crt, self.key)), (0, ""))
        got = sample.run("--listen", "tls:127.0.0.1:0", "--check", *self.keys("/x", "/y"), name="cart")
        self.assertIn("link it with weir::tls", got.stderr)

    def test_the_plan_tells_what_is_presented(self):
        got = sample.run("--listen", "tls:127.0.0.1:0", "--plan", *self.keys(self.crt, self.key))
        self.assertRegex(got.stdout, r"tls +localhost, 127.0.0.1 \(and for any other name\), valid until \d{4}-\d\d-\d\d")

    def test_a_reload_brings_new_certificates_in_every_model_and_a_bad_one_keeps_the_old(self):
        for row in rows(sample.program("echo")):
            folder = self.enterContext(tempfile.TemporaryDirectory())
            crt, key = make_certificate(folder, "served")
            with self.subTest(row.name), self.serve(*row.arguments, certificates=[(crt, key)]) as server:
                old = open(crt).read().strip()
                self.assertEqual(self.presented(server, "localhost"), old)
                # The workers of a pool before the reload drain: an idle client is told the end.
                held = self.connect(server, trusting_all) if not row.one_at_a_time and row.model != "process-pool" else None
                make_certificate(folder, "served")
                new = open(crt).read().strip()
                server.send(signal.SIGHUP)
                until(lambda: self.presented(server, "localhost") == new, "the new certificate", SECONDS)
                if row.model == "process-pool":  # in which the old ones accept until they are told that new ones serve
                    workers = int(re.search(r"(\d+) workers? of", server.wait_for_line("listening on"))[1])
                    until(lambda: sum("of generation 1 has left" in line for line in server.lines) == workers,
                          "the old workers leave", SECONDS)
                with open(crt, "w") as out:
                    out.write("nonsense")
                server.send(signal.SIGHUP)
                server.wait_for_line("holds no PEM certificate")
                self.assertEqual(self.presented(server, "localhost"), new)
                if held:
                    self.exchange(held, b"held")
                    held.close()

    def test_a_client_certificate_is_asked_for_and_verified(self):
        client = make_certificate(self.folder, "client", "/CN=me", "DNS:me.test")
        with self.serve("--set", "tls.verify=require", "--set", f"tls.ca={client[0]}") as server:
            context = trusting(self.crt)
            context.load_cert_chain(*client)
            with self.connect(server, context) as c:
                self.exchange(c, b"known")
            with self.assertRaises(OSError):
                with self.connect(server) as c:
                    c.sendall(b"unknown")
                    if not c.recv(10):
                        raise ConnectionResetError

    def test_a_protocol_is_agreed_on(self):
        with self.serve("--set", "tls.alpn=h2,http/1.1") as server:
            context = trusting(self.crt)
            context.set_alpn_protocols(["http/1.1"])
            with self.connect(server, context) as c:
                self.assertEqual(c.selected_alpn_protocol(), "http/1.1")
            context.set_alpn_protocols(["spdy"])
            with self.assertRaises(ssl.SSLError):
                self.connect(server, context)


class ManyReloads(Tls):
    """Clients that come and go, each with the session of the time before, while certificates change."""
    slow = True
    reloads = 20

    def come_and_go(self, server, until_set, seen):
        context, session = ssl._create_unverified_context(), None
        while not until_set.is_set():
            seen["connections"] += 1
            try:
                with self.connect(server, context, session=session) as client:
                    client.sendall(b"hello")
                    if client.recv(5) != b"hello":
                        raise ConnectionError("the end")
                    seen["resumed"] += client.session_reused
                    session = client.session
            except OSError as e:
                seen["failures"].append(str(e))

    def presented(self, server):
        with self.connect(server, trusting_all) as client:
            return ssl.DER_cert_to_PEM_cert(client.getpeercert(True)).strip()

    def test_no_connection_fails_and_sessions_go_on(self):
        modes = [["--model", "process-pool", "--processes", 2, "--set", f"processes.accept={mode}"] for mode in MODES]
        for arguments in ([], *modes):
            folder = self.enterContext(tempfile.TemporaryDirectory())
            pair = make_certificate(folder, "served")
            with self.subTest(arguments), self.serve(*arguments, certificates=[pair]) as server:
                ends = threading.Event()
                all_seen = [{"connections": 0, "resumed": 0, "failures": []} for _ in range(4)]
                threads = [threading.Thread(target=self.come_and_go, args=(server, ends, seen)) for seen in all_seen]
                for thread in threads:
                    thread.start()
                try:
                    for _ in range(self.reloads):
                        fresh = make_certificate(folder, "fresh")
                        for new, old in zip(fresh, pair):
                            os.replace(new, old)
                        shown = open(pair[0]).read().strip()
                        server.send(signal.SIGHUP)
                        until(lambda: self.presented(server) == shown, "the new certificate", SECONDS)
                finally:
                    ends.set()
                    for thread in threads:
                        thread.join()
                connections, resumed = (sum(seen[what] for seen in all_seen) for what in ("connections", "resumed"))
                sample.figure(f"{' '.join(map(str, arguments))}: {self.reloads} reloads, {connections} connections, {resumed} resumed")
                self.assertEqual([f for seen in all_seen for f in seen["failures"]], [])
                self.assertEqual(resumed, connections - len(threads))  # all but the first of each


class Told(Tls):
    def line(self, client):
        client.sendall(b"tls\n")
        told = b""
        while not told.endswith(b"\n"):
            told += client.recv(1000)
        return told.decode()

    def test_a_handler_is_told_what_was_agreed_on(self):
        with self.serve("--set", "tls.alpn=one,two", "--set", "tls.verify=ask", "--set", f"tls.ca={self.crt}",
                        name="edge_peer") as server:
            context = trusting(self.crt)
            context.set_alpn_protocols(["two"])
            with self.connect(server, context) as client:
                told = self.line(client)
                self.assertRegex(told, r"^TLSv1\.3 name localhost alpn two peer  names  verified false resumed false$")
            context.load_cert_chain(self.crt, self.key)
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            with self.connect(server, context) as client:
                told = self.line(client)
                self.assertRegex(told, r"^TLSv1\.2 name localhost alpn two peer .*localhost names .*localhost.* verified true")
        with Sample(name="edge_peer") as plain, sample.connect(plain.address) as client:
            self.assertEqual(self.line(client), "no TLS\n")

    def test_no_more_handshakes_at_a_time_than_are_allowed(self):
        with self.serve("--model", "single-loop", "--set", "tls.handshakes=1", "--set", "tls.handshake_timeout=1h") as server:
            stalls, waits = (socket.create_connection(host_and_port(server.address), SECONDS) for _ in range(2))
            with stalls, waits:
                waits.sendall(self.client_hello())
                waits.settimeout(0.3)
                with self.assertRaises(TimeoutError):
                    waits.recv(1)
                stalls.close()  # its place goes to the next
                waits.settimeout(SECONDS)
                self.assertEqual(waits.recv(1), b"\x16")  # a ServerHello
            with self.connect(server) as client:
                self.exchange(client, b"served")

    def test_secrets_are_written_down_for_those_that_ask_for_it(self):
        path = os.path.join(self.folder, "secrets")
        with self.serve("--set", f"tls.key_log={path}") as server, self.connect(server) as client:
            self.exchange(client, b"x")
            server.wait_for_line("tls.key_log")  # which says what it does
            with open(path, encoding="ascii") as file:
                self.assertIn("CLIENT_TRAFFIC_SECRET_0 ", file.read())
            self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)


class Client(Tls):
    def through_a_proxy(self, upstream, environment=None):
        with Sample("--upstream", upstream, name="proxy", environment=environment) as proxy:
            with socket.create_connection(host_and_port(proxy.address), SECONDS) as client:
                client.settimeout(SECONDS)
                client.sendall(b"hello")
                try:
                    return client.recv(5), proxy.lines
                except ConnectionResetError:
                    return b"", proxy.lines

    def test_connect_verifies_the_server_it_has_asked_for(self):
        stranger = make_certificate(self.folder, "stranger", "/CN=stranger.test", "DNS:stranger.test")
        for pair, believed, answer in (((self.crt, self.key), self.crt, b"hello"), ((self.crt, self.key), stranger[0], b""),
                                       (stranger, stranger[0], b"")):
            with self.serve(certificates=[pair]) as server:
                upstream = "tls:localhost:%d" % host_and_port(server.address)[1]
                got, lines = self.through_a_proxy(upstream, {"SSL_CERT_FILE": believed})
                self.assertEqual(got, answer)
                self.assertEqual(any("certificate verify failed" in line for line in lines), answer == b"", lines)


def can_mount(words):
    return os.geteuid() == 0 and subprocess.run([*words, "true"], stdin=subprocess.DEVNULL, capture_output=True).returncode == 0


class TwoAddresses(Tls):
    """A name with an address of each family (RFC 8305)."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.crt, cls.key = make_certificate(cls.folder, "two", "/CN=two.test", "DNS:two.test")
        hosts = os.path.join(cls.folder, "hosts")
        with open(hosts, "w") as out:
            out.write("::1 two.test\n127.0.0.1 two.test\n")
        # A list of mounts of its own, in which that is the system's file.
        cls.with_hosts = ("unshare", "--mount", "sh", "-c", f'mount --bind {hosts} /etc/hosts && exec "$@"', "sh")

    def setUp(self):
        if not can_mount(self.with_hosts):
            self.skipTest("mounting is forbidden here")
        if not sample.has_ipv6():
            self.skipTest("there is no IPv6 here")

    @contextlib.contextmanager
    def silence(self, family, host, port):
        """A listener that answers no further client: its queue is full, and nobody accepts."""
        with contextlib.ExitStack() as held, socket.socket(family) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            listener.listen(1)
            for _ in range(6):
                waiting = held.enter_context(socket.socket(family))
                waiting.setblocking(False)
                waiting.connect_ex((host, port))
            yield

    def answer(self, port):
        """Of the server, through a proxy that connects to the name."""
        with Sample("--upstream", f"tls:two.test:{port}", name="proxy", environment={"SSL_CERT_FILE": self.crt},
                    before=self.with_hosts) as proxy:
            with socket.create_connection(host_and_port(proxy.address), SECONDS) as client:
                client.settimeout(SECONDS)
                client.sendall(b"hello")
                return client.recv(5)

    def test_a_server_is_reached_by_either_address_while_the_other_refuses_or_does_not_answer(self):
        families = ((socket.AF_INET, "127.0.0.1", "127.0.0.1"), (socket.AF_INET6, "::1", "[::1]"))
        for (_, _, listens), (family, other, _) in (families, families[::-1]):
            with self.serve(listen=[f"tls:{listens}:{sample.free_port('::1')}"]) as server:
                port = host_and_port(server.address)[1]
                with self.subTest(refuses=other):
                    self.assertEqual(self.answer(port), b"hello")
                with self.subTest(silent=other), self.silence(family, other, port):
                    self.assertEqual(self.answer(port), b"hello")


class Sessions(Tls):
    def test_sessions_are_resumed_by_any_worker_and_after_reloads(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with self.subTest(version), self.serve("--model", "process-pool", "--processes", 3, "--set",
                                                   "processes.accept=dispatch") as server:
                context = trusting(self.crt, minimum_version=version, maximum_version=version)
                with self.connect(server, context) as client:
                    self.exchange(client, b"first")
                    session = client.session
                for i in range(9):
                    if i in (3, 6):
                        lines = len(server.lines)
                        server.send(signal.SIGHUP)
                        until(lambda: any("listening" in line for line in server.lines[lines:]), "the reload", SECONDS)
                    with self.connect(server, context, session=session) as client:
                        self.exchange(client, b"again")
                        self.assertTrue(client.session_reused, i)

    def test_handshakes_are_counted_by_their_results(self):
        admin = f"unix:{self.folder}/admin"
        with self.serve("--set", f"admin={admin}", "--set", "tls.handshake_timeout=1s", "--model", "single-loop") as server:
            counted = lambda result: total(metrics(admin), "weir_tls_handshakes_total", f'result="{result}"')
            context = trusting(self.crt)
            until(lambda: self.is_served(server, context), "a full handshake", SECONDS)
            with self.connect(server, context) as client:
                self.exchange(client, b"once more")
                session = client.session
            with self.connect(server, context, session=session) as client:
                self.exchange(client, b"again")
            before = counted("failed"), counted("timed_out")
            with socket.create_connection(host_and_port(server.address), SECONDS) as broken:
                broken.sendall(b"this is no TLS\r\n\r\n")
                until(lambda: counted("failed") == before[0] + 1, "a handshake that has failed", SECONDS)
            with socket.create_connection(host_and_port(server.address), SECONDS):
                until(lambda: counted("timed_out") == before[1] + 1, "one that takes too long", SECONDS)
            self.assertGreaterEqual(counted("full"), 2)
            self.assertEqual(counted("resumed"), 1)
    def test_sessions_are_resumed_by_the_program_that_takes_over(self):
        context = trusting(self.crt)
        with self.serve("--model", "process-pool", "--processes", 2) as server:
            with self.connect(server, context) as client:
                self.exchange(client, b"first")
                session = client.session
            server.send(signal.SIGUSR2)
            successor = int(re.search(r"process (\d+) serves", server.wait_for_line("serves beside this one", SECONDS))[1])
            self.addCleanup(kill, successor)
            server.send(signal.SIGQUIT)
            self.assertEqual(server.process.wait(SECONDS), 0)
            for _ in range(4):
                with self.connect(server, context, session=session) as client:
                    self.exchange(client, b"again")
                    self.assertTrue(client.session_reused)
            for pid in (successor, *children(successor)):
                self.assertNotIn("memfd:weir tickets", str(descriptors_of(pid)))
            os.kill(successor, signal.SIGTERM)
            until(lambda: state_of(successor) in "XZ", "the new program ends", SECONDS)

    def test_a_request_in_a_segment_of_its_own_waits_for_no_delayed_acknowledgement(self):
        """40 ms, with a client whose system gathers small segments (Nagle), as Python's does."""
        def seconds(server, context, session):
            with self.connect(server, context, session=session) as client:
                begun = time.monotonic()
                client.sendall(b"hello")
                self.assertEqual(client.recv(5), b"hello")
                return time.monotonic() - begun, client.session

        old, new = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
        for version, resumes, arguments in ((old, True, ()), (new, True, ()), (new, False, ("--set", "tls.tickets=false"))):
            context = trusting(self.crt, minimum_version=version, maximum_version=version)
            with self.subTest(version, resumes=resumes), self.serve("--model", "single-loop", *arguments) as server:
                session, times = None, []
                for _ in range(10):
                    taken, session = seconds(server, context, session if resumes else None)
                    times.append(taken)
                self.assertLess(min(times[1:]), 0.035)

    def test_without_tickets_nothing_is_resumed(self):
        with self.serve("--set", "tls.tickets=false") as server:
            context = trusting(self.crt)
            with self.connect(server, context) as client:
                self.exchange(client, b"first")
                session = client.session
            with self.connect(server, context, session=session) as client:
                self.exchange(client, b"again")
                self.assertFalse(client.session_reused)


if __name__ == "__main__":
    sample.main()
