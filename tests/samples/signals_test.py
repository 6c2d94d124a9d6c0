#!/usr/bin/env python3
"""What a server of one process does at USR1 and HUP, what it tells the service manager, and that its log holds up
nothing, in every model. Usage: signals_test.py --build BUILD"""
import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import tempfile
import time
import unittest

import sample
from rows import rows
from sample import Sample, connect, receive_exactly, until


class EveryModel(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # With policy kernel there is no unix socket.
        cls.rows = [row for row in rows(sample.program("blocker")) if "kernel" not in row.name]

    def setUp(self):
        self.held = contextlib.ExitStack()
        self.addCleanup(self.held.close)
        self.folder = self.held.enter_context(tempfile.TemporaryDirectory())

    def of_one_process(self):
        return [row for row in self.rows if row.model != "process-pool"]


class Server:
    """A server on a unix socket whose standard error is what the test says."""

    def __init__(self, row, folder, *arguments, environment=None, stderr=subprocess.DEVNULL):
        self.path = f"{folder}/{row.name}".replace(" ", "")
        self.process = subprocess.Popen([sample.program("blocker"), "--listen", f"unix:{self.path}", *row.arguments,
                                         *map(str, arguments)], stdin=subprocess.DEVNULL, stderr=stderr,
                                        env=sample.clean_environment({"BLOCKER_NOTES": f"{folder}/notes",
                                                                      **(environment or {})}))

    def __enter__(self):
        try:
            until(self.serves, "it does not serve")
        except BaseException:
            self.__exit__(None)
            raise
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def serves(self):
        try:
            return self.log("hello", 0) is None
        except OSError:
            return False

    def log(self, word, count=1):
        """So many lines with that word are in the log, or dropped, when this has returned."""
        said = f"log {word} {count}\n".encode()
        with connect(f"unix:{self.path}") as client:
            client.sendall(said)
            receive_exactly(client, len(said))

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(sample.BOUND)


def contents(path):
    with contextlib.suppress(FileNotFoundError, IsADirectoryError):
        return sample.read(path)
    return ""


class Obeying(EveryModel):
    def test_usr1_opens_the_log_file_again_and_keeps_the_old_one_if_it_cannot_be_opened(self):
        for row in self.of_one_process():
            log, old = f"{self.folder}/log", f"{self.folder}/old"
            with self.subTest(row=row), Server(row, self.folder, "--set", f"log.file={log}") as server:
                os.rename(log, old)
                server.process.send_signal(signal.SIGUSR1)
                until(lambda: os.path.exists(log), "there is no new file")
                server.log("after-usr1")
                until(lambda: "after-usr1" in contents(log), "the line is not in the new file")
                self.assertNotIn("after-usr1", contents(old))
                os.rename(log, old)
                os.mkdir(log)
                server.process.send_signal(signal.SIGUSR1)
                until(lambda: "Is a directory" in contents(old), "the error is not in the old file")
                server.log("still-here")
                until(lambda: "still-here" in contents(old), "the line is not in the old file")
                self.assertEqual(server.stop(), 0)
            os.rmdir(log)
            os.remove(old)

    def test_usr1_keeps_the_old_file_if_it_cannot_be_opened_again_by_who_is_nobody(self):
        if os.geteuid() != 0:
            self.skipTest("only root can become another user")
        os.chmod(self.folder, 0o777)
        for row in self.of_one_process():
            folder = f"{self.folder}/private"
            os.mkdir(folder, 0o755)
            log, old = f"{folder}/log", f"{folder}/old"
            with self.subTest(row=row), Server(row, self.folder, "--set", f"log.file={log}", "--set",
                                               "privileges.user=nobody") as server:
                os.rename(log, old)  # and in that folder nobody can make another
                server.process.send_signal(signal.SIGUSR1)
                until(lambda: "Permission denied" in contents(old), lambda: f"no error in {contents(old)}")
                server.log("still-here")
                until(lambda: "still-here" in contents(old), "the line is not in the old file")
                self.assertFalse(os.path.exists(log))
                self.assertEqual(server.stop(), 0)
            os.remove(old)
            os.rmdir(folder)

    def write(self, text):
        config = f"{self.folder}/weir.toml"
        with open(config + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(config + ".new", config)

    def reload(self, server, text, told):
        """What HUP makes of the configuration is in the log file, below this folder."""
        log = f"{self.folder}/log"
        self.write(text)
        server.process.send_signal(signal.SIGHUP)
        until(lambda: told in contents(log), lambda: f"{told} is not in {contents(log)}")

    def test_hup_takes_the_limits_in_every_model(self):
        for row in self.of_one_process():
            log = f'[log]\nfile = "{self.folder}/log"\n'
            limits = '[limits]\nconnections = %d\nconnections_per_ip = %d\nidle_timeout = "%s"\ndrain_timeout = "%s"\n'
            self.write(log + limits % (2, 0, "1h", "1h"))
            with (self.subTest(row=row), Server(row, self.folder, "--config", f"{self.folder}/weir.toml") as server,
                  contextlib.ExitStack() as held):
                clients = [held.enter_context(connect(f"unix:{server.path}")) for _ in range(3)]
                for each in clients:
                    each.sendall(b"hello\n")
                most = 1 if row.model == "serial" else 2
                self.assertEqual(len(sample.answered(clients, sample.BOUND, enough=most)), most)
                self.reload(server, log + limits % (3, 0, "1h", "1h"), "taken: limits.connections = 3\n")
                most = 1 if row.model == "serial" else 3
                self.assertEqual(len(sample.answered(clients, sample.BOUND, enough=most)), most)
                self.reload(server, log + limits % (3, 5, "1h", "1h"),
                            "limits.connections_per_ip = 5 needs a restart; it stays 0")
                for each in clients:
                    each.close()
                self.reload(server, log + limits % (9, 0, "100ms", "100ms"),
                            'taken: limits.connections = 9, limits.idle_timeout = "100ms", limits.drain_timeout = "100ms"\n')
                with connect(f"unix:{server.path}") as idle:
                    self.assertEqual(idle.recv(1), b"")
                self.reload(server, log + limits % (9, 0, "1h", "100ms"), 'taken: limits.idle_timeout = "1h"\n')
                with connect(f"unix:{server.path}") as unfinished:
                    unfinished.sendall(b"hello\nhel")
                    receive_exactly(unfinished, 6)
                    self.assertEqual(server.stop(), sample.CUT)
            os.remove(f"{self.folder}/log")

    def test_hup_takes_what_can_change_and_names_what_needs_a_restart(self):
        config, log = f"{self.folder}/weir.toml", f"{self.folder}/log"
        for row in self.of_one_process():
            self.write(f'[log]\nfile = "{log}"\n')
            with self.subTest(row=row), Server(row, self.folder, "--config", config) as server:
                def reload(text, told):
                    self.reload(server, text, told)

                reload(f'[log]\nfile = "{log}"\nlevel = "warnign"\n', "the present one serves on")
                self.assertIn(f"{config}:3", contents(log))
                self.assertTrue(server.serves())
                reload(f'[log]\nfile = "{log}2"\nlevel = "warning"\n[socket]\nbacklog = 7\n',
                       "socket.backlog = 7 needs a restart; it stays 4096")
                until(lambda: os.path.exists(f"{log}2"), "the new log file is not opened")
                server.log("in-the-second-file")
                until(lambda: "in-the-second-file" in contents(f"{log}2"), "the line is not in the new file")
                self.assertEqual(server.stop(), 0)
                self.assertNotIn("stopping", contents(f"{log}2"))  # information, below the new level
            os.remove(log)
            os.remove(f"{log}2")


class ServiceManager(EveryModel):
    def manager(self):
        path = f"{self.folder}/notify"
        socket_ = self.held.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        socket_.bind(path)
        socket_.settimeout(sample.BOUND)
        return path, socket_

    def test_ready_is_told_when_every_service_has_started_and_not_if_one_fails(self):
        path, manager = self.manager()
        init = f"{self.folder}/init"
        with open(init, "w", encoding="utf-8") as file:
            file.write("refuse")
        keeps_per_core = [row for row in self.of_one_process() if "worker" not in row.name and "event" not in row.name
                          and "thread-per" not in row.name]
        for row in keeps_per_core:
            with self.subTest(row=row):
                failed = sample.run("--listen", "127.0.0.1:0", *row.arguments, name="pool_worker",
                                    environment={"NOTIFY_SOCKET": path, "POOL_INIT": init})
                self.assertEqual(failed.returncode, 1, failed.stderr)
                manager.settimeout(0)
                self.assertRaises(BlockingIOError, manager.recv, 100)
                manager.settimeout(sample.BOUND)
        for row in self.of_one_process():
            with self.subTest(row=row), Server(row, self.folder, environment={"NOTIFY_SOCKET": path}) as server:
                self.assertEqual(manager.recv(100), b"READY=1")
                self.assertEqual(server.stop(), 0)
                self.assertEqual(manager.recv(100), b"STOPPING=1")

    def test_the_watchdog_is_told_nothing_when_any_loop_hangs(self):
        path, manager = self.manager()
        for row in self.of_one_process():
            if row.name == "loop-per-core" and "," not in row.arguments[-1]:
                continue
            loop = 1 if row.model == "loop-per-core" else 0
            how = {"name": "blocker", "environment": {
                "NOTIFY_SOCKET": path, "WATCHDOG_USEC": "100000", "BLOCKER_NOTES": f"{self.folder}/notes"}}
            if "per-core" not in row.model and row.model not in ("single-loop", "serial"):
                continue  # handlers may block there
            with self.subTest(row=row), Sample(*row.arguments, **how) as server:
                seen = []
                while seen.count(b"WATCHDOG=1") < 5:
                    seen.append(manager.recv(100))
                with connect(server.address) as client:
                    client.sendall(b"loop %d\n" % loop)
                    until(lambda: "begun" in contents(f"{self.folder}/notes"), "the loop does not hang")
                drained(manager)
                late = []
                end = time.monotonic() + 0.3  # six times the interval
                while (left := end - time.monotonic()) > 0:
                    manager.settimeout(left)
                    with contextlib.suppress(TimeoutError):
                        late.append(manager.recv(100))
                self.assertLess(late.count(b"WATCHDOG=1"), 3, late)
                server.process.kill()
                server.process.wait()
                server.expected = -signal.SIGKILL
            os.remove(f"{self.folder}/notes")
            drained(manager)


def drained(datagrams):
    datagrams.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while datagrams.recv(100):
            pass
    datagrams.settimeout(sample.BOUND)


class Logging(EveryModel):
    """A log that nobody reads holds up neither a connection nor the end."""
    LINES = 500  # more than a pipe of one page, or a socket, has room for

    def read_what_is_there(self, pipe):
        text = b""
        with contextlib.suppress(BlockingIOError):
            while more := os.read(pipe, 65536):
                text += more
        return text.decode()

    def holds_up_nothing(self, row, server, pipe):
        server.log("first", self.LINES)
        self.assertTrue(server.serves())
        text = self.read_what_is_there(pipe)
        self.assertIn("first", text)

        def is_told():
            nonlocal text
            server.log("second")
            text += self.read_what_is_there(pipe)
            return "lines were dropped because nobody reads standard error" in text

        until(is_told, lambda: f"the lines that were dropped are not told: {text}")
        for _ in range(8):  # the workers of a pool take turns
            server.log("third", self.LINES)
        self.assertEqual(server.stop(), 0)

    def test_a_pipe_that_nobody_reads(self):
        for row in self.rows:
            reading, writing = os.pipe()
            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
            os.set_blocking(reading, False)
            try:
                with self.subTest(row=row), Server(row, self.folder, "--set", "log.level=debug", stderr=writing) as server:
                    self.holds_up_nothing(row, server, reading)
                    self.assertFalse(fcntl.fcntl(writing, fcntl.F_GETFL) & os.O_NONBLOCK)  # shared with this process
            finally:
                os.close(reading)
                os.close(writing)

    def test_a_log_file_that_is_a_fifo_which_nobody_reads(self):
        fifo = f"{self.folder}/fifo"
        os.mkfifo(fifo)
        reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, 4096)
        try:
            for row in self.rows:
                with self.subTest(row=row), Server(row, self.folder, "--set", f"log.file={fifo}") as server:
                    self.holds_up_nothing(row, server, reading)
                    self.read_what_is_there(reading)
        finally:
            os.close(reading)

    def test_a_socket_that_nobody_reads(self):
        for row in self.rows:
            mine, theirs = socket.socketpair()
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
            mine.setblocking(False)
            with self.subTest(row=row), mine, theirs, Server(row, self.folder, stderr=theirs) as server:
                self.holds_up_nothing(row, server, mine.fileno())


if __name__ == "__main__":
    sample.main()
