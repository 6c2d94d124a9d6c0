#!/usr/bin/env python3
"""A stop that clients behind a balancer do not notice. Usage: leaving_test.py --build BUILD [--slow]"""
import contextlib
import os
import re
import signal
import socket
import tempfile
import unittest

import sample
from balancer import PATIENCE, HAProxy, Load, Nginx, are_installed
from pool import MODES, children, living, state_of
from rows import rows
from sample import Sample, connect, free_port, until

FOR_EVER = ("--set", "limits.drain_delay=1h")  # until a second order


class Client:
    """A keep-alive client of the http sample."""

    def __init__(self, address):
        self.socket = connect(address)

    def get(self, path):
        """(status, says that it is the last answer); its body is kept."""
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            more = self.socket.recv(4096)
            if not more:
                raise AssertionError(f"the end came after {head!r}")
            head += more
        head, _, body = head.partition(b"\r\n\r\n")
        length = int(next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")).split(b":")[1])
        while len(body) < length:
            body += self.socket.recv(4096)
        self.body = body
        return int(head.split()[1]), b"connection: close" in head.lower()

    def requests(self):
        """That the process behind this connection has served since its start."""
        self.socket.sendall(b"GET /stats HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        return sum(map(int, re.findall(rb'"requests":(\d+)', sample.receive_all(self.socket))))

    def is_ended(self):
        return self.socket.recv(1) == b""

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def ask(address, path):
    with Client(address) as client:
        return client.get(path)


def rows_of_http(every=False, *names):
    """Those of these names, by default one model of one process and a pool; or all."""
    names = names or ("loop-per-core", "process-pool")
    return [row for row in rows(sample.program("http")) if every or row.name in names]


def kill(pid, number=signal.SIGKILL):
    """A process that may have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def ask_or_none(address):
    with contextlib.suppress(OSError, AssertionError):
        return ask(address, "/ready")


def until_used(node):
    """The balancer sends requests to the node, more than this does."""
    asked = 0

    def is_used():
        nonlocal asked
        asked += 1
        with Client(node.address) as client:
            return client.requests() > asked + 20
    until(is_used, "the balancer uses the node", PATIENCE)


def until_told(node):
    """The order to stop has come to the handlers, of each of a pool's workers."""
    told = set()

    def all_know():
        with Client(node.address) as client:
            if client.get("/stats")[1]:
                told.update(map(int, re.findall(rb'"pid":(\d+)', client.body)))
        return told >= (living(node.pid) or {node.pid}) and ask(node.address, "/ready") == (503, True)

    until(all_know, "handlers know that the server leaves")


class Leaving(unittest.TestCase):
    every = False

    def test_the_server_serves_on_and_says_that_it_leaves_until_the_second_order(self):
        for row in rows_of_http(self.every):
            for number in signal.SIGQUIT, signal.SIGTERM:
                with self.subTest(row=row, number=number), Sample(*row.arguments, *FOR_EVER, name="http") as node:
                    with Client(node.address) as early:
                        self.assertEqual(early.get("/ready"), (200, False))
                        node.send(number)
                        until(lambda: early.get("/plain") == (200, True), "a connection hears of it")
                        self.assertTrue(early.is_ended())
                    until_told(node)
                    self.assertEqual(ask(node.address, "/plain"), (200, True))
                    self.assertEqual(node.stop(number), 0)

    def test_the_drain_follows_the_delay_by_itself(self):
        for row in rows_of_http(self.every):
            with self.subTest(row=row), Sample(*row.arguments, "--set", "limits.drain_delay=100ms", name="http") as node:
                with Client(node.address) as idle:
                    self.assertEqual(idle.get("/ready"), (200, False))
                    node.send(signal.SIGTERM)
                    self.assertTrue(idle.is_ended())
                self.assertEqual(node.wait(), 0)

    def test_a_term_after_the_second_order_cuts(self):
        for row in rows_of_http(self.every):
            with self.subTest(row=row), Sample(*row.arguments, *FOR_EVER, name="http") as node, connect(node.address) as one:
                one.sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n")
                self.assertIn(b" 100 ", one.recv(100))  # the handler reads
                for number in signal.SIGTERM, signal.SIGQUIT, signal.SIGTERM:
                    before = len(node.lines)
                    node.send(number)
                    until(lambda: any("SIG" in line or "stopping" in line for line in node.lines[before:]), "the order is obeyed")
                self.assertEqual(node.wait(), sample.CUT)

    def test_the_plan_and_the_check_know_the_delay(self):
        told = sample.run("--plan", "--set", "limits.drain_delay=5s", name="http")
        self.assertIn("a stop serves on for 5s before it drains", told.stdout)
        refused = sample.run("--check", "--set", "limits.drain_delay=5", name="http")
        self.assertEqual(refused.returncode, 2)
        self.assertIn("limits.drain_delay", refused.stderr)


class EveryModelLeaving(Leaving):
    slow = True
    every = True


class Pool(unittest.TestCase):
    def test_after_a_reload_old_workers_tell_their_clients_and_the_pool_is_ready(self):
        pool = next(row for row in rows_of_http() if row.model == "process-pool")
        with Sample(*pool.arguments, *FOR_EVER, name="http") as node, Client(node.address) as early, Client(node.address) as idle:
            for client in early, idle:
                self.assertEqual(client.get("/ready"), (200, False))
            before = children(node.pid)
            node.send(signal.SIGHUP)
            node.wait_for_line("generation 2 serves")
            until(lambda: early.get("/ready") == (200, True), "a connection of an old worker hears of it")
            self.assertTrue(early.is_ended())
            until(lambda: ask(node.address, "/ready") == (200, False), "only new workers accept")
            # The other client keeps its worker; one without clients leaves at once.
            until(lambda: len(children(node.pid) & before) == 1, "an old worker without clients has left")
            self.assertEqual(idle.get("/ready"), (200, True))
            until(lambda: not children(node.pid) & before, "the other old worker has left")
            node.send(signal.SIGQUIT)
            until_told(node)
            self.assertEqual(node.stop(signal.SIGQUIT), 0)

    def test_a_worker_that_dies_meanwhile_is_replaced_and_says_the_same(self):
        pool = next(row for row in rows_of_http() if row.model == "process-pool")
        with Sample(*pool.arguments, *FOR_EVER, name="http") as node:
            self.assertEqual(ask(node.address, "/ready"), (200, False))
            node.send(signal.SIGTERM)
            until_told(node)
            before = children(node.pid)
            for worker in before:
                kill(worker)
            until(lambda: len(children(node.pid) - before) == 2, "new workers")
            until_told(node)
            node.send(signal.SIGTERM)
            self.assertEqual(node.wait(), 0)


    def test_after_an_upgrade_the_old_program_tells_its_clients_and_the_new_one_is_ready(self):
        pool = next(row for row in rows_of_http() if row.model == "process-pool")
        with Sample(*pool.arguments, *FOR_EVER, name="http") as node, Client(node.address) as early, Client(node.address) as idle:
            for client in early, idle:
                self.assertEqual(client.get("/ready"), (200, False))
            node.send(signal.SIGUSR2)
            successor = int(re.search(r"process (\d+) serves", node.wait_for_line("serves beside this one"))[1])
            self.addCleanup(kill, successor)
            node.send(signal.SIGTERM)
            until(lambda: early.get("/ready") == (200, True), "a connection of the old program hears of it")
            # The sockets that the old program still has are no reason to wait for it.
            until(lambda: ask(node.address, "/ready") == (200, False), "the new program serves")
            self.assertIsNone(node.process.poll())
            node.send(signal.SIGQUIT)
            self.assertTrue(idle.is_ended())
            self.assertEqual(node.process.wait(sample.BOUND), 0)
            self.assertEqual(ask(node.address, "/ready"), (200, False))
            for _ in range(2):
                os.kill(successor, signal.SIGTERM)
                until(lambda: ask_or_none(node.address) != (200, False), "the new program is told")
            until(lambda: state_of(successor) in "XZ", "the new program has ended")

    def test_term_to_the_whole_group_cuts_nothing(self):
        pool = next(row for row in rows_of_http() if row.model == "process-pool")
        with Sample(*pool.arguments, *FOR_EVER, name="http") as node, Client(node.address) as busy:
            busy.socket.sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n")
            self.assertIn(b" 100 ", busy.socket.recv(100))
            workers = children(node.pid)
            for _ in range(2):
                before = len(node.lines)
                for pid in [node.pid, *workers]:
                    kill(pid, signal.SIGTERM)
                until(lambda: any("SIGTERM: " in line for line in node.lines[before:]), "the master has obeyed")
            busy.socket.sendall(b"123456789")
            self.assertTrue(sample.receive_all(busy.socket).endswith(b"123456789"))
            self.assertEqual(node.wait(), 0)

    def test_the_service_manager_is_told_when_the_delay_begins(self):
        for row in rows_of_http():
            with self.subTest(row=row), tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
                manager.bind(f"{folder}/notify")
                manager.settimeout(sample.BOUND)
                with Sample(*row.arguments, *FOR_EVER, name="http", environment={"NOTIFY_SOCKET": f"{folder}/notify"}) as node:
                    while b"READY=1" not in manager.recv(4096):
                        pass
                    node.send(signal.SIGTERM)
                    while b"STOPPING=1" not in manager.recv(4096):
                        pass
                    until_told(node)
                    self.assertEqual(node.stop(signal.SIGTERM), 0)


class Reloads(unittest.TestCase):
    """Clients that keep their connections lose nothing: old workers leave when the last client has heard of it."""
    count = 2
    pause = 4

    def test_reloads_under_keep_alive_load_lose_no_request_in_any_mode(self):
        pool = next(row for row in rows_of_http() if row.model == "process-pool")
        for mode in MODES:
            accept = ("--set", f"processes.accept={mode}")
            with self.subTest(mode=mode), Sample(*pool.arguments, *accept, *FOR_EVER, name="http") as node:
                load = Load(node.address, pause=self.pause)
                self.addCleanup(load.close)
                for i in range(self.count):
                    before = children(node.pid)
                    node.send(signal.SIGHUP)
                    node.wait_for_line(f"generation {i + 2} serves")
                    until(lambda: not children(node.pid) & before, "the old workers have left", PATIENCE)
                answers, failures = load.finish()
                sample.figure(f"{mode}: {answers} answers, {failures} failures while the pool was reloaded {self.count} times")
                self.assertEqual(failures, 0)
                node.send(signal.SIGTERM)
                until_told(node)
                self.assertEqual(node.stop(signal.SIGTERM), 0)


class ManyReloads(Reloads):
    slow = True
    count = 20
    pause = 0


class Rolling(unittest.TestCase):
    """Three nodes behind a balancer are restarted one after the other under load."""
    every = False
    rounds = 1
    restarted = 1  # of the three, in each round
    pause = 4

    @classmethod
    def setUpClass(cls):
        if not are_installed():
            raise unittest.SkipTest("haproxy, nginx or wrk is not installed")

    def start(self, row, port):
        return Sample(*row.arguments, *FOR_EVER, name="http", listen=(f"127.0.0.1:{port}",))

    def roll(self, row, balancer_of, load_of, before_drain):
        ports = [free_port() for _ in range(3)]
        with contextlib.ExitStack() as held:
            nodes = [held.enter_context(self.start(row, port)) for port in ports]
            balancer = held.enter_context(balancer_of([node.address for node in nodes]))
            load = load_of(balancer.address)
            held.callback(load.close)
            for _ in range(self.rounds):
                for i, port in enumerate(ports[:self.restarted]):
                    nodes[i].send(signal.SIGTERM)
                    until_told(nodes[i])
                    before_drain(balancer, i)
                    self.assertEqual(nodes[i].stop(signal.SIGTERM, PATIENCE), 0)
                    nodes[i].kill()
                    nodes[i] = held.enter_context(self.start(row, port))
                    until_used(nodes[i])
            answers, failures = load.finish()
        sample.figure(f"{row}: {answers} answers, {failures} failures while {self.restarted * self.rounds} nodes were restarted")
        self.assertEqual(failures, 0)
        self.assertGreater(answers, 100)

    def test_behind_haproxy_with_health_checks_no_request_fails(self):
        for row in rows_of_http(self.every, "process-pool"):
            one = ["option http-server-close"] if row.one_at_a_time else ["http-reuse always"]
            with self.subTest(row=row):
                self.roll(row, lambda nodes: HAProxy(nodes, backend=one, server="maxconn 1" if row.one_at_a_time else ""),
                          lambda address: Load(address, "/echo", method="POST", pause=self.pause),
                          lambda balancer, i: balancer.wait_for(i, False))

    def test_behind_nginx_with_passive_checks_no_request_fails(self):
        for row in rows_of_http(self.every, "loop-per-core"):
            with self.subTest(row=row):
                self.roll(row, lambda nodes: Nginx(nodes, keep=0 if row.one_at_a_time else 32),
                          lambda address: Load(address, pause=self.pause), lambda *_: None)


class EveryModelRolling(Rolling):
    slow = True
    every = True
    rounds = restarted = 3
    pause = 0


if __name__ == "__main__":
    sample.main()
