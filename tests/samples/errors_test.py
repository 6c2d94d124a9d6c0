#!/usr/bin/env python3
"""Errors of accept4(2), injected by strace. Usage: errors_test.py --build BUILD; 77: ptrace is not allowed"""
import os
import re
import subprocess
import sys
import tempfile
import unittest

import sample
from sample import Sample, ask, connect, read

# How many in a row: the first four make the listener pause, for 100 to 500 ms each.
ERRORS = {"EMFILE": 4, "ENFILE": 4, "ENOMEM": 4, "ENOBUFS": 4, "ECONNABORTED": 20, "EPROTO": 20, "EINTR": 20,
          "EPERM": 20}


def no_leaks():
    """The leak sanitizer wants to be the one that traces."""
    return os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"


class Injected(unittest.TestCase):
    def test_accepting_goes_on_within_a_second_of_the_last_error(self):
        with tempfile.TemporaryDirectory() as folder:
            servers = {}
            try:
                for error, count in ERRORS.items():
                    # -D: the tracer is a grandchild, so that the process started is the server itself.
                    trace = ["strace", "-D", "-f", "-ttt", "-o", os.path.join(folder, error), "-e", "trace=accept4", "-e",
                             f"inject=accept4:error={error}:when=1..{count}"]
                    servers[error] = Sample("--cores", min(os.sched_getaffinity(0)), before=trace,
                                            environment={"ASAN_OPTIONS": no_leaks()})
                clients = {error: connect(server.address) for error, server in servers.items()}
                for error, client in clients.items():
                    with self.subTest(error), client:
                        self.assertEqual(ask(client), b"ping")
                for error, server in servers.items():
                    with self.subTest(error), connect(server.address) as client:
                        self.assertEqual(ask(client), b"ping")
                        self.assertLessEqual(len(server.lines), 1 + 5, server.lines)
                    with self.subTest(error), server:
                        pass
                    with self.subTest(error):
                        self.check(error, read(os.path.join(folder, error)))
            finally:
                for server in servers.values():
                    server.kill()

    def check(self, error, trace):
        calls = [(float(time), line) for time, line in re.findall(r"^\d+\s+([\d.]+) (accept4.*|<\.\.\. accept4.*)$", trace,
                                                                 re.MULTILINE)]
        injected = [time for time, line in calls if "(INJECTED)" in line]
        accepted = [time for time, line in calls if re.search(r"= \d+$", line)]
        self.assertEqual(len(injected), ERRORS[error], trace)
        after = min(time for time in accepted) - injected[-1]
        sample.figure(f"{error} x {len(injected)} in {injected[-1] - injected[0]:.3f} s: accepting again after "
                      f"{after * 1000:.1f} ms")
        sample.promised(after, 1, "accepting again")


if __name__ == "__main__":
    try:
        may = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, text=True, check=False)
        why = may.stderr.strip() if may.returncode != 0 else None
    except FileNotFoundError:
        why = "strace is not installed"
    if why:
        print("skipped: system calls cannot be traced here:", why)
        sys.exit(77)
    sample.main()
