#!/usr/bin/env python3
"""io = "io_uring" and "auto" as they are operated: chosen, refused with a reason, what a batch costs, and what is left
of connections. Usage: ring_test.py --build BUILD [--slow]"""
import contextlib
import ctypes
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
import sample

IO_URING_SETUP = 425
NOT_PERMITTED = 1


def without_io_uring():
    """What a child does before it becomes its program: a seccomp filter refuses the call, as in a container."""
    load, jump_if_equal, answer = 0x20, 0x15, 0x06
    instructions = [(load, 0, 0, 0), (jump_if_equal, 0, 1, IO_URING_SETUP),
                    (answer, 0, 0, 0x00050000 | NOT_PERMITTED), (answer, 0, 0, 0x7fff0000)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in instructions))
    program = struct.pack("HxxxxxxP", len(instructions), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, program, 0, 0) != 0:
        os._exit(99)


# Before the program that is to be started.
FORBIDDING = (sys.executable, os.path.abspath(__file__), "--without-io_uring")


def run(*arguments, forbidden=False, environment=None):
    return subprocess.run([sample.program("echo"), *arguments], capture_output=True, text=True, timeout=sample.BOUND,
                          env=sample.clean_environment(environment), preexec_fn=without_io_uring if forbidden else None)


def has_ring():
    return run("--check", "--io", "io_uring").returncode == 0


class Chosen(unittest.TestCase):
    def test_where_it_is_forbidden_a_start_is_refused_with_the_reason_and_auto_takes_epoll(self):
        refused = run("--io", "io_uring", forbidden=True)
        self.assertEqual(refused.returncode, 2, refused.stderr)
        self.assertRegex(refused.stderr, r'--io: .*"io_uring" is not to be had here: .*(seccomp|disabled)')
        plan = run("--plan", "--io", "auto", forbidden=True)
        self.assertRegex(plan.stdout, r"does I/O: .*\(epoll; no io_uring: .*(seccomp|disabled)")
        with sample.Sample("--io", "auto", before=FORBIDDING) as server, sample.connect(server.address) as client:
            self.assertRegex(server.wait_for_line("io: "), r"epoll; no io_uring: .*(seccomp|disabled)")
            sample.ask(client)

    def test_without_memory_that_may_be_locked_auto_serves_with_what_it_says(self):
        # The kernel charges a ring's memory otherwise since Linux 5.12: most often nothing is missing.
        limited = ("prlimit", "--memlock=0", "setpriv", "--bounding-set=-ipc_lock")
        with sample.Sample("--io", "auto", before=limited) as server, sample.connect(server.address) as client:
            said = server.wait_for_line("io: ")
            self.assertRegex(said, r"io: (io_uring; |epoll; no io_uring: .*ulimit -l)")
            sample.ask(client)
            chosen = subprocess.run([*limited, sample.program("echo"), "--check", "--io", "io_uring"],
                                    capture_output=True, text=True, timeout=sample.BOUND, env=sample.clean_environment())
            self.assertEqual(chosen.returncode, 0 if "io: io_uring" in said else 2, chosen.stderr)

    def test_a_model_whose_loops_do_no_io_refuses_it_and_names_the_nearest(self):
        for model, nearest in (("serial", "single-loop"), ("thread-per-connection", "single-loop"),
                               ("thread-per-event", "loop-per-core")):
            refused = run("--check", "--io", "io_uring", "--model", model)
            self.assertEqual(refused.returncode, 2)
            self.assertIn(f'model "{nearest}"', refused.stderr)
            self.assertEqual(run("--check", "--model", model, environment={"WEIR_IO": "io_uring"}).returncode, 2)
            self.assertEqual(run("--check", "--model", model, environment={"WEIR_IO": "auto"}).returncode, 0)
        refused = run("--check", "--io", "io_uring", "--model", "loop-with-workers", "--set", "workers.io=worker")
        self.assertIn('workers.io = "loop"', refused.stderr)

    def test_auto_takes_it_where_it_is_to_be_had(self):
        if not has_ring():
            self.skipTest("no io_uring here")
        self.assertIn("(io_uring; all that it needs is there)", run("--plan", "--io", "auto").stdout)


class Serves(unittest.TestCase):
    def test_every_model_that_has_it_echoes_and_stops(self):
        if not has_ring():
            self.skipTest("no io_uring here")
        for model in ("single-loop", "loop-per-core", "loop-with-workers", "process-pool"):
            with self.subTest(model=model), sample.Sample("--model", model, "--io", "io_uring") as server:
                clients = [sample.connect(server.address) for _ in range(20)]
                for i, c in enumerate(clients):
                    c.sendall(b"%d bytes and FIN at once" % i)
                    c.shutdown(socket.SHUT_WR)
                for i, c in enumerate(clients):
                    got = b""
                    while part := c.recv(4096):
                        got += part
                    self.assertEqual(got, b"%d bytes and FIN at once" % i)
                    c.close()

    def test_a_batch_of_messages_costs_one_call_to_receive_and_each_answer_one(self):
        if not has_ring():
            self.skipTest("no io_uring here")
        if subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=False).returncode != 0:
            self.skipTest("ptrace is not allowed")
        rounds, count = 10, 40
        with tempfile.TemporaryDirectory() as folder:
            trace = os.path.join(folder, "trace")
            calls = "trace=io_uring_enter,recvfrom,sendto,sendmsg,epoll_wait,epoll_pwait"
            leaks = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"  # would trace as well
            with sample.Sample("--io", "io_uring", "--model", "single-loop", environment={"ASAN_OPTIONS": leaks},
                               before=["strace", "-D", "-f", "-o", trace, "-e", calls]) as server:
                clients = [sample.connect(server.address) for _ in range(count)]
                for c in clients:
                    sample.ask(c)
                before = len(sample.read(trace).splitlines())
                for _ in range(rounds):
                    # All of them come while it cannot look.
                    server.send(signal.SIGSTOP)
                    sample.until(lambda: re.search(r"State:\s*[Tt]", sample.read(f"/proc/{server.pid}/status")), "goes on")
                    for c in clients:
                        c.sendall(b"ping")
                    server.send(signal.SIGCONT)
                    for c in clients:
                        self.assertEqual(sample.receive_exactly(c, 4), b"ping")
                lines = sample.read(trace).splitlines()[before:]
                for c in clients:
                    c.close()
            lines = [line for line in lines if "resumed>" not in line and "---" not in line]
            sends = [line for line in lines if "sendto" in line]
            self.assertEqual(len(sends), rounds * count, "\n".join(lines))
            # What comes before the others are seen is a batch of its own.
            self.assertLessEqual(len(lines) - len(sends), 10 * rounds, "\n".join(lines))
            sample.figure(f"{rounds} batches of {count} echoes: {len(lines)} calls")

    def test_fast_senders_that_read_nothing_fill_no_memory_and_their_window_closes(self):
        if not has_ring():
            self.skipTest("no io_uring here")
        count, chunk, ahead = 2, 4096, 2
        settings = ("--set", f"loop.chunk_size={chunk}", "--set", f"loop.read_ahead={ahead}")
        with sample.Sample("--io", "io_uring", "--model", "single-loop", *settings) as server:
            clients = [sample.connect(server.address) for _ in range(count)]
            for c in clients:
                sample.ask(c)
                c.setblocking(False)
            before = server.rss()
            sent = [0] * count
            standing, last = 0, -1
            while standing < 20:  # looks at which none could send any more
                for i, c in enumerate(clients):
                    try:
                        sent[i] += c.send(b"x" * 65536)
                    except BlockingIOError:
                        pass
                standing = standing + 1 if sum(sent) == last else 0
                last = sum(sent)
                time.sleep(0.01)
            # One wake-up of the kernel may bring 32 buffers before reading ahead ends.
            grown, bound = server.rss() - before, count * (ahead + 32) * chunk
            sample.figure(f"{count} senders stand still after {last / count / 1024:,.0f} KiB each; {grown / 1024:,.0f} KiB "
                          f"of memory, {bound / 1024:,.0f} at most")
            if not sample.options.sanitized:
                self.assertLess(grown, bound + (1 << 20))
            for c, total in zip(clients, sent):  # nothing was lost
                c.settimeout(sample.BOUND)
                while total:
                    total -= len(c.recv(min(total, 65536)))
                c.close()


class Window(unittest.TestCase):
    slow = False
    clients, size = 20, 64 << 10

    def test_much_goes_through_a_small_window(self):
        """Both ways at once, to clients whose socket takes 2 KB."""
        with sample.Sample() as server:
            data = os.urandom(self.size)
            clients = [sample.connect(server.address, receive_buffer=2048) for _ in range(self.clients)]
            poller = select.poll()
            got = {c.fileno(): 0 for c in clients}
            sent = dict(got)
            by_fd = {c.fileno(): c for c in clients}
            for c in clients:
                c.setblocking(False)
                poller.register(c, select.POLLIN | select.POLLOUT)
            while by_fd:
                ready = poller.poll(sample.BOUND * 1000)
                self.assertTrue(ready, "nothing moves")
                for fd, what in ready:
                    if what & select.POLLOUT and sent[fd] < self.size:
                        with contextlib.suppress(BlockingIOError):
                            sent[fd] += by_fd[fd].send(data[sent[fd]:sent[fd] + 65536])
                    if sent[fd] == self.size:
                        poller.modify(fd, select.POLLIN)
                    if what & ~select.POLLOUT:
                        part = by_fd[fd].recv(65536)
                        self.assertEqual(part, data[got[fd]:got[fd] + len(part)])
                        self.assertTrue(part)
                        got[fd] += len(part)
                        if got[fd] == self.size:
                            poller.unregister(fd)
                            by_fd.pop(fd).close()


class WideWindow(Window):
    slow = True
    clients, size = 100, 8 << 20


if __name__ == "__main__":
    if sys.argv[1:2] == ["--without-io_uring"]:
        without_io_uring()
        os.execv(sys.argv[2], sys.argv[2:])
    sample.main()
