#!/usr/bin/env python3
"""Holds weir to its promise: coroutines that cost less than other people's callbacks.

Counts, not times, so it may run beside anything. First the ruler itself is checked on a server whose cost
is known, so that a broken measurement cannot pass for a cheap server.
"""
import argparse
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
import measure

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
NOT_BUILT = 77  # ctest reports the test as skipped
RULER_INSTRUCTIONS = range(30, 61)
MOST_INSTRUCTIONS = 150
MOST_CALLS = 3.02  # of a lone echo: epoll_wait, recv, send
MOST_BYTES = 320
MOST_PARKED_BYTES = 200
IDLE = 5_000  # connections
ECHOES = 500, 1_500  # of the two runs in which system calls are counted
CALLS_PER_SECOND = 14  # that a loop makes for its own figures, at most
MOST_OVER_RING = {"instructions": 180, "calls": 2.02, "bytes": 360}  # io_uring_enter, send; instructions vary with batches


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, required=True, help="tree of the binaries")
    options = parser.parse_args()
    measure.raise_descriptor_limit()
    load = measure.Load(options.build)
    programs = {p.name: p for p in measure.programs(options.build)}

    ruler = measure.instructions_per_echo(programs["echo_epoll"], load, 2_000, 8_000)
    print(f"echo_epoll: {ruler:.1f} instructions per echo, known to be {RULER_INSTRUCTIONS}")
    if round(ruler) not in RULER_INSTRUCTIONS:
        return 1

    weir = programs["weir"]
    if not weir.built():
        print(f"weir: {weir.command[0]} is not built")
        return 1 if any(SAMPLES.glob("echo*")) else NOT_BUILT
    instructions = measure.instructions_per_echo(weir, load, 3_000, 9_000)
    calls = calls_per_lone_echo(weir, load)
    size = measure.bytes_per_idle_connection(weir, load, IDLE)
    print(f"weir: {instructions:.1f} instructions per echo, at most {MOST_INSTRUCTIONS}")
    print(f"weir: {calls:.3f} system calls per lone echo, at most {MOST_CALLS}")
    print(f"weir: {size:.1f} bytes per idle connection, at most {MOST_BYTES}")
    parked = measure.bytes_per_idle_connection(measure.parking_echo(options.build), load, IDLE)
    print(f"weir: {parked:.1f} bytes per parked connection, at most {MOST_PARKED_BYTES}")
    within = instructions <= MOST_INSTRUCTIONS and calls <= MOST_CALLS and size <= MOST_BYTES
    return 0 if within and parked <= MOST_PARKED_BYTES and ring_is_within(programs["weir-io_uring"], load) else 1


def calls_per_lone_echo(weir, load):
    """Without those that come with the time, of which each echo has more on a slow machine."""
    begun = time.monotonic()
    calls = measure.system_calls_per_echo(weir, load, 1, *ECHOES)
    return calls - CALLS_PER_SECOND * (time.monotonic() - begun) / sum(ECHOES)


def ring_is_within(weir, load):
    if refusal := weir.refuses():
        print(refusal)
        return True
    found = {"instructions": measure.instructions_per_echo(weir, load, 3_000, 9_000),
             "calls": calls_per_lone_echo(weir, load),
             "bytes": measure.bytes_per_idle_connection(weir, load, IDLE)}
    for what, most in MOST_OVER_RING.items():
        print(f"weir over io_uring: {found[what]:.2f} {what}, at most {most}")
    return all(found[what] <= most for what, most in MOST_OVER_RING.items())


if __name__ == "__main__":
    try:
        sys.exit(main())
    except measure.Failure as failure:
        print(failure)
        sys.exit(1)
