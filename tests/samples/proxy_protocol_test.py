#!/usr/bin/env python3
"""The PROXY protocol: what a balancer tells of its clients, in and out. Usage: proxy_protocol_test.py --build BUILD"""
import contextlib
import os
import re
import signal
import socket
import ssl
import tempfile
import unittest

import sample
from balancer import PATIENCE, HAProxy, Nginx, are_installed
from pool import MODES, receive_line
from rows import Row, rows
from sample import Sample, connect, until
from tls import TlsSocket, make_certificate

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
CLIENT, SERVER = "192.0.2.1", "192.0.2.2"
CLOSED = b""


def v1(client=CLIENT, port=4711):
    return f"PROXY TCP4 {client} {SERVER} {port} 80\r\n".encode()


def v2(client=CLIENT, port=4711, tlvs=b"", command=0x21):
    family, kind = (0x21, socket.AF_INET6) if ":" in client else (0x11, socket.AF_INET)
    server = "2001:db8::2" if ":" in client else SERVER
    body = socket.inet_pton(kind, client) + socket.inet_pton(kind, server) + port.to_bytes(2, "big") + b"\0\x50" + tlvs
    return SIGNATURE + bytes([command, family]) + len(body).to_bytes(2, "big") + body


def tlv(kind, value):
    return bytes([kind]) + len(value).to_bytes(2, "big") + value


def every_row():
    """Each model, and each way of a pool to accept."""
    for row in rows(sample.program("edge_peer")):
        if row.model != "process-pool":
            yield row
            continue
        for mode in MODES:
            yield Row(f"{row.name}, {mode}", row.model, [*row.arguments, "--set", f"processes.accept={mode}"])


class Server(Sample):
    def __init__(self, *arguments, listen=("proxy:127.0.0.1:0",), name="edge_peer", **how):
        super().__init__(*arguments, name=name, listen=listen, **how)
        self.tcp = re.sub(r"^proxy:", "", self.address)

    def ask(self, header, line=b"who\n", from_address=None):
        """What is told of a connection that begins so; CLOSED if it ends instead, be it while it is made."""
        with contextlib.suppress(ConnectionError), connect(self.tcp, from_address=from_address) as client:
            return self.talk(client, header + line)
        return CLOSED

    @staticmethod
    def talk(client, *pieces):
        try:
            for piece in pieces:
                client.sendall(piece)
            return receive_line(client)
        except (ConnectionError, AssertionError):
            return CLOSED


class In(unittest.TestCase):
    def test_the_client_is_the_one_that_the_balancer_names_in_every_model_and_way_to_accept(self):
        for row in every_row():
            with self.subTest(row=row), Server(*row.arguments) as server:
                told = rb"via 127\.0\.0\.1:\d+ name - loop \d+"
                self.assertRegex(server.ask(v1()), rb"^192\.0\.2\.1:4711 " + told)
                self.assertRegex(server.ask(v2()), rb"^192\.0\.2\.1:4711 " + told)
                self.assertRegex(server.ask(v2("2001:db8::1", 1)), rb"^\[2001:db8::1\]:1 " + told)
                for header in b"PROXY UNKNOWN\r\n", v2(command=0x20):  # the balancer speaks for itself
                    self.assertRegex(server.ask(header), rb"^(127\.0\.0\.1:\d+) via \1 name -")
                with_name = v2(tlvs=tlv(1, b"h2") + tlv(2, b"example.org") + tlv(4, b"\0" * 300))
                self.assertRegex(server.ask(with_name), rb"^192\.0\.2\.1:4711 via .* name example\.org loop")
                with connect(server.tcp) as client:  # byte by byte
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    sent = v1() + b"who\n"
                    self.assertRegex(server.talk(client, *(sent[i:i + 1] for i in range(len(sent)))), rb"^192\.0\.2\.1:4711 ")
                for wrong in b"GET / HTTP/1.1\r\n\r\n", b"who\n" * 10, v1("192.0.2.256"), v2(tlvs=b"\1\0"), v2(command=0x22):
                    self.assertEqual(server.ask(wrong), CLOSED)
                self.assertRegex(server.ask(v2()), rb"^192\.0\.2\.1:4711 ")
                server.wait_for_line("closed: PROXY protocol: ")

    def test_a_parked_connection_keeps_its_client_and_its_balancer_in_every_model(self):
        for row in every_row():
            with self.subTest(row=row), Server(*row.arguments) as server, connect(server.tcp) as client:
                first = server.talk(client, v2(tlvs=tlv(2, b"a.example")) + b"park\n")
                self.assertRegex(first, rb"^192\.0\.2\.1:4711 via 127\.0\.0\.1:\d+ name a\.example")
                for line in b"park\n", b"who\n":
                    self.assertEqual(server.talk(client, line).rpartition(b" ")[0], first.rpartition(b" ")[0])

    def test_only_those_are_believed_that_are_trusted_and_nothing_of_others_is_read(self):
        with Server("--set", "proxy.trusted=127.0.0.7,127.0.1.0/24") as server:
            for address, trusted in ("127.0.0.7", True), ("127.0.1.99", True), ("127.0.0.1", False), ("127.0.2.1", False):
                told = server.ask(v2(), from_address=address)
                self.assertEqual(told.startswith(b"192.0.2.1:4711 "), trusted, address)
            self.assertIn("proxy.trusted does not name the address", server.wait_for_line("connection from 127.0.0.1:"))

    def test_a_listener_without_the_prefix_knows_no_header_beside_one_with_it(self):
        with tempfile.TemporaryDirectory() as folder:
            addresses = ("proxy:127.0.0.1:0", "127.0.0.1:0", f"proxy:unix:{folder}/socket")
            with Server(listen=addresses) as server:
                with connect(server.addresses[1]) as client:
                    self.assertRegex(server.talk(client, v1() + b"who\n"), rb"^127\.0\.0\.1:\d+ via unknown ")
                with connect(f"unix:{folder}/socket") as client:
                    self.assertRegex(server.talk(client, v1() + b"who\n"), rb"^192\.0\.2\.1:4711 via unix ")

    def test_a_header_that_does_not_come_in_time_ends_the_connection_and_holds_up_nobody(self):
        for row in rows(sample.program("edge_peer")):
            with self.subTest(row=row), Server(*row.arguments, "--set", "proxy.timeout=50ms") as server:
                for beginning in b"", b"PROXY ", v2()[:-1]:
                    self.assertEqual(server.ask(beginning, line=b""), CLOSED)
                # On a busy machine the deadline may pass for a client that means well.
                until(lambda: server.ask(v2()).startswith(b"192.0.2.1:4711 "), "a client is served")
                server.wait_for_line("no whole header within proxy.timeout")

    def test_the_connections_of_a_client_count_not_those_of_the_balancer(self):
        for row in rows(sample.program("edge_peer")):
            if row.one_at_a_time or row.model == "process-pool":  # whose limit is that of each worker
                continue
            with self.subTest(row=row), Server(*row.arguments, "--set", "limits.connections_per_ip=2") as server:
                with contextlib.ExitStack() as held:
                    for client in CLIENT, CLIENT, SERVER, SERVER:
                        self.assertTrue(server.talk(held.enter_context(connect(server.tcp)), v2(client) + b"who\n"))
                    self.assertEqual(server.ask(v2()), CLOSED)
                    # Those without a right header have not counted, so their end is not the end of others.
                    for _ in range(3):
                        self.assertEqual(server.ask(b"nonsense that is long enough\r\n"), CLOSED)
                    self.assertEqual(server.ask(v2()), CLOSED)
                    self.assertTrue(server.ask(v2("192.0.2.3")))
                until(lambda: server.ask(v2()), "the places of a client are given again")

    def test_ip_hash_brings_a_client_to_its_loop(self):
        if len(os.sched_getaffinity(0)) < 2:
            self.skipTest("one CPU")
        with Server("--io", "epoll", "--policy", "ip-hash") as server:
            loops = {}
            for _ in range(3):
                for i in range(16):
                    told = server.ask(v2(f"192.0.2.{i}"))
                    self.assertTrue(told.startswith(f"192.0.2.{i}:4711 via ".encode()), told)
                    loops.setdefault(i, set()).add(told.rpartition(b" ")[2])
            self.assertEqual([len(of_one) for of_one in loops.values()], [1] * 16)
            self.assertGreater(len(set.union(*loops.values())), 1)

    def test_the_plan_says_where_the_client_is_not_known_in_time(self):
        def plan(*arguments):
            told = sample.run("--listen", "proxy:127.0.0.1:7000", "--plan", "--policy", "ip-hash", *arguments, name="edge_peer")
            self.assertEqual(told.returncode, 0, told.stderr)
            return told.stdout

        told = plan("--io", "epoll", "--cores", ",".join(map(str, sorted(os.sched_getaffinity(0))[:2])))
        self.assertIn("balancers     127.0.0.0/8, ::1, unix; their header within 5s", told)
        told = plan("--model", "process-pool", "--set", "processes.accept=dispatch")
        self.assertIn("ip-hash chooses the worker by the address of the balancer", told)
        refused = sample.run("--listen", "proxy:127.0.0.1:7000", "--check", "--policy", "ip-hash", "--model", "process-pool",
                             "--set", "processes.accept=dispatch", name="cart")
        self.assertIn("every client must find again", refused.stderr)

    def test_the_log_names_the_client(self):
        with Server() as server:
            self.assertEqual(server.ask(v2(), b"throw\n"), CLOSED)
            server.wait_for_line("connection from 192.0.2.1:4711 closed: its handler threw")

    def test_a_stop_does_not_wait_for_headers_that_have_not_begun(self):
        for row in rows(sample.program("edge_peer")):
            if row.model == "process-pool":
                continue  # which waits a second for those who have just connected
            with self.subTest(row=row), Server(*row.arguments, "--set", "proxy.timeout=1h") as server:
                before = server.settled_fds()
                with connect(server.tcp):
                    until(lambda: len(server.fds()) > before, "it is accepted")
                    self.assertEqual(server.stop(signal.SIGQUIT), 0)


class Prefixed:
    """A socket whose first bytes follow a header in one segment."""

    def __init__(self, raw, header):
        self.raw = raw
        self.header = header

    def sendall(self, data):
        self.raw.sendall(self.header + data)
        self.header = b""

    def __getattr__(self, name):
        return getattr(self.raw, name)


class OverTls(unittest.TestCase):
    def test_what_comes_together_with_the_header_belongs_to_tls_in_every_model(self):
        folder = self.enterContext(tempfile.TemporaryDirectory())
        crt, key = make_certificate(folder, "localhost")
        trusts = ssl.create_default_context(cafile=crt)
        for row in every_row():
            with self.subTest(row.name), Server(*row.arguments, "--set", f"tls.certificate={crt}", "--set", f"tls.key={key}",
                                                listen=("proxy:tls:127.0.0.1:0",)) as server:
                address = server.address.removeprefix("proxy:tls:")
                for header in (v1(), v2(client="2001:db8::1")):
                    with connect(address) as raw:
                        client = TlsSocket(Prefixed(raw, header), trusts)
                        client.sendall(b"who\n")
                        told = b""
                        while not told.endswith(b"\n"):
                            told += client.recv(1000)
                        self.assertIn(b":4711 via 127.0.0.1:", told)
                with connect(address) as raw, self.assertRaises((ConnectionError, ssl.SSLError)):
                    TlsSocket(raw, trusts)  # without a header nothing is said


class Balancers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not are_installed():
            raise unittest.SkipTest("haproxy or nginx is not installed")

    def test_haproxy_tells_weir_who_the_client_is(self):
        with Server() as server:
            for how in "send-proxy check-send-proxy", "send-proxy-v2 check-send-proxy proxy-v2-options crc32c,unique-id":
                with HAProxy([server.tcp], mode="tcp", server=how) as balancer, connect(balancer.address) as client:
                    mine = "%s:%d" % client.getsockname()
                    self.assertTrue(server.talk(client, b"who\n").startswith(f"{mine} via 127.0.0.1:".encode()))
            self.assertNotIn("closed", "\n".join(server.lines))

    def told_through_proxy(self, version, balancer):
        """What a balancer says of a client whose connection the proxy has passed on."""
        upstream = balancer.address
        with Sample("--upstream", upstream, "--send-proxy", version, name="proxy") as proxy, connect(proxy.address) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return "%s:%d" % client.getsockname(), sample.receive_all(client).decode()

    def test_nginx_understands_what_the_proxy_sends(self):
        class Telling(Nginx):
            def configuration(self):
                return super().configuration().replace(
                    f"listen {self.address};", f"listen {self.address} proxy_protocol;").replace(
                    "proxy_pass http://nodes;", 'return 200 "$proxy_protocol_addr:$proxy_protocol_port";')

        with Telling(["127.0.0.1:1"]) as balancer:
            for version in "v1", "v2":
                client, told = self.told_through_proxy(version, balancer)
                self.assertTrue(told.endswith(f"\r\n\r\n{client}"), told)

    def test_haproxy_understands_what_the_proxy_sends(self):
        class Telling(HAProxy):
            def configuration(self):
                return super().configuration().replace(
                    f"bind {self.address}", f"bind {self.address} accept-proxy\n"
                    "  http-request return status 200 content-type text/plain lf-string %[src]:%[src_port]")

            def wait_until_ready(self):
                until(self.accepts, "the balancer", PATIENCE)

        with Telling(["127.0.0.1:1"]) as balancer:
            for version in "v1", "v2":
                client, told = self.told_through_proxy(version, balancer)
                self.assertTrue(told.endswith(f"\r\n\r\n{client}"), told)

    def test_a_proxy_behind_a_balancer_passes_the_client_on(self):
        with Server() as server, Sample("--upstream", server.tcp, "--send-proxy", "v2", name="proxy",
                                        listen=("proxy:127.0.0.1:0",)) as proxy:
            with connect(re.sub("^proxy:", "", proxy.address)) as client:
                self.assertRegex(server.talk(client, v1() + b"who\n"), rb"^192\.0\.2\.1:4711 via 127\.0\.0\.1:\d+ ")


if __name__ == "__main__":
    sample.main()
