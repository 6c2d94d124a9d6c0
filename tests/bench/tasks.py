#!/usr/bin/env python3
"""What structure costs: a table of nanoseconds per step. Usage: tasks.py [--build BUILD]"""
import argparse
import json
import os
import subprocess

parser = argparse.ArgumentParser(description=__doc__)
root = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
parser.add_argument("--build", default=os.path.join(root, "build", "release"))
options = parser.parse_args()

done = subprocess.run([os.path.join(options.build, "tests", "bench", "tasks")], stdout=subprocess.PIPE, text=True,
                      timeout=300, check=True)
print(f"{'nanoseconds per step':<28}{'weir':>10}{'asio::awaitable':>18}{'ratio':>8}")
for name, (weir, asio) in json.loads(done.stdout).items():
    print(f"{name:<28}{weir:>10.1f}{asio:>18.1f}{weir / asio:>8.2f}")
