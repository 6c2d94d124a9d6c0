#!/usr/bin/env python3
"""io = "io_uring" and "auto" as they are operated: chosen, refused with a reason, and what a batch costs."""
import ctypes
import os
import socket
import struct
import subprocess
import sys
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


if __name__ == "__main__":
    sample.main()
