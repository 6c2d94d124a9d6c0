#!/usr/bin/env python3
"""Three machines behind HAProxy, as README describes them: network namespaces on a bridge, in a network of this test's
own that ends with it. Usage: deployment_test.py --build BUILD"""
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import unittest

import sample
from balancer import HAPROXY, PATIENCE, HAProxy
from sample import Sample, connect, until

INSIDE = "DEPLOYMENT_TEST_INSIDE"
BALANCER, REDIS = "10.77.0.2:7003", "10.77.0.5:6379"
NODES = [f"10.77.0.{i}" for i in (11, 12, 13)]
CLIENTS = [f"10.77.0.{i}" for i in range(101, 107)]


def on(machine):
    return ["ip", "netns", "exec", machine]


def make_lan():
    """Machines by name, on a bridge that belongs to this process."""
    def ip(*words, machine=None):
        subprocess.run([*(on(machine) if machine else []), "ip", *words], check=True)

    os.makedirs("/run/netns", exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "netns", "/run/netns"], check=True)
    ip("link", "set", "lo", "up")
    ip("link", "add", "lan", "type", "bridge")
    ip("link", "set", "lan", "up")
    for address in ["10.77.0.1", *CLIENTS]:
        ip("address", "add", f"{address}/24", "dev", "lan")
    machines = {"balancer": "10.77.0.2", "redis": "10.77.0.5", **{f"node{i + 1}": a for i, a in enumerate(NODES)}}
    for name, address in machines.items():
        ip("netns", "add", name)
        ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("link", "set", name, "master", "lan", "up")
        ip("address", "add", f"{address}/24", "dev", "eth0", machine=name)
        ip("link", "set", "lo", "up", machine=name)
        ip("link", "set", "eth0", "up", machine=name)


class Cart(HAProxy):
    """The balancer of the sample, whose file is used as it is."""
    def configuration(self):
        self.control = f"{self.folder}/control"
        text = sample.read(sample.source("samples", "cart", "haproxy.cfg"))
        return text.replace("/run/haproxy-cart.sock", self.control)

    def name_of(self, i):
        return f"node{i + 1}"


class Shopper(threading.Thread):
    """A client that comes again and again, and is known by its address. Each session is one request."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.address, self.stopping = address, threading.Event()
        self.added, self.failures = 0, []
        self.start()

    def run(self):
        while not self.stopping.is_set():
            try:
                told = visit(self.address, "add tea 1", "add cup 2")
            except OSError as failure:
                told = repr(failure)
            if told == "ok\nok\n":
                self.added += 1
            else:
                self.failures.append(told)


def visit(address, *lines):
    with connect(BALANCER, from_address=address) as client:
        client.sendall("".join(f"{line}\n" for line in (*lines, "bye")).encode())
        return sample.receive_all(client).decode()


class Deployment(unittest.TestCase):
    count = 1  # nodes that are drained, and then killed

    def start_node(self, i):
        return self.enterContext(Sample(
            "--config", sample.source("samples", "cart", "node.toml"), "--set", "limits.drain_delay=1h", name="cart",
            listen=(f"proxy:{NODES[i]}:7003",), before=on(f"node{i + 1}")))

    def setUp(self):
        redis = subprocess.Popen([*on("redis"), "redis-server", "--bind", "10.77.0.5", "--protected-mode", "no", "--save", "",
                                  "--appendonly", "no"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.addCleanup(redis.wait)
        self.addCleanup(redis.kill)
        def answers():
            with contextlib.suppress(OSError), connect(REDIS) as one:
                one.sendall(b"PING\r\n")
                return one.recv(7) == b"+PONG\r\n"
        until(answers, "redis-server", PATIENCE)
        self.nodes = [self.start_node(i) for i in range(3)]
        self.balancer = self.enterContext(Cart([f"{a}:7003" for a in NODES], before=on("balancer"), address=BALANCER))

    def sessions(self):
        return [self.balancer.sessions(i) for i in range(3)]

    def test_a_node_is_drained_killed_and_replaced_under_load(self):
        # The same client meets the same node, and a node knows it by its own address, not by the balancer's.
        before = self.sessions()
        for _ in range(20):
            self.assertEqual(visit("10.77.0.1", "add tea 1"), "ok\n")
        used = [now - then for now, then in zip(self.sessions(), before)]
        self.assertEqual(used.count(0), 2, used)
        self.assertEqual(visit("10.77.0.1", "show"), "tea 20\n.\n")

        shoppers = [Shopper(address) for address in CLIENTS]
        failures = lambda: sum(len(each.failures) for each in shoppers)
        def wait_for_visits(count=3):
            """So many more of each."""
            wanted = [each.added + count for each in shoppers]
            until(lambda: all(each.added >= w for each, w in zip(shoppers, wanted)), "every client is served", PATIENCE)

        wait_for_visits()
        for i in range(self.count):
            self.nodes[i].send(signal.SIGTERM)
            self.balancer.wait_for(i, False)
            wait_for_visits()
            self.assertEqual(self.nodes[i].stop(signal.SIGTERM, PATIENCE), 0)
            wait_for_visits()
            self.nodes[i] = self.start_node(i)
            self.balancer.wait_for(i, True)
            wait_for_visits()
        self.assertEqual(failures(), 0, [each.failures for each in shoppers])
        drained = sum(each.added for each in shoppers)

        for i in range(self.count):
            before = [len(each.failures) for each in shoppers]
            self.nodes[i].kill()
            self.nodes[i].expected = -signal.SIGKILL
            self.balancer.wait_for(i, False)
            wait_for_visits()
            # A client has one request in flight.
            self.assertLessEqual(max(len(each.failures) - n for each, n in zip(shoppers, before)), 1)
            self.nodes[i] = self.start_node(i)
            self.balancer.wait_for(i, True)
            wait_for_visits()
        for each in shoppers:
            each.stopping.set()
        for each in shoppers:
            each.join(PATIENCE)
        sample.figure(f"{drained} sessions while nodes were drained and replaced, {self.count} of 3: 0 failed; "
                      f"{sum(each.added for each in shoppers) - drained} while as many were killed: {failures()} failed")
        # What was answered is kept, on whichever node; what was in flight may be.
        for each in shoppers:
            self.assertEqual(visit(each.address, "show").splitlines()[-1], ".")
            tea = int(visit(each.address, "show").splitlines()[1].split()[1])
            self.assertTrue(each.added <= tea <= each.added + len(each.failures), (each.added, tea, each.failures))


class EveryNode(Deployment):
    slow = True
    count = 3


def go_inside():
    """Into a network and a list of mounts that end with this process; or out, with the reason."""
    missing = [program for program in ("ip", "unshare", "redis-server") if not shutil.which(program)]
    if not os.path.exists(HAPROXY):
        missing.append("haproxy")
    if missing:
        print(f"skipped: not installed: {', '.join(missing)}")
        sys.exit(77)
    words = ["unshare", "--net", "--mount", "--propagation", "private"]
    tried = subprocess.run([*words, "ip", "link", "add", "lan", "type", "bridge"], capture_output=True, text=True)
    if tried.returncode != 0:
        print(f"skipped: this machine makes no network namespaces: {tried.stderr.strip()}")
        sys.exit(77)
    os.environ[INSIDE] = "yes"
    os.execvp("unshare", [*words, sys.executable, *sys.argv])


if __name__ == "__main__":
    if INSIDE not in os.environ:
        go_inside()
    make_lan()
    sample.main()
