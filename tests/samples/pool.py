"""A process pool as its tests see it: the master, its workers, and clients that ask which process serves them."""
import contextlib
import os
import signal

import sample
from sample import Sample, connect, until

MODES = "shared", "mutex", "reuseport", "notify", "dispatch"


class Pool(Sample):
    """A pool of pool_worker unless said otherwise; its master is `pid`."""

    def __init__(self, *arguments, processes=2, name="pool_worker", **how):
        super().__init__("--model", "process-pool", "--processes", processes, *arguments, name=name, **how)

    def workers(self):
        return living(self.pid)

    def kill(self):
        # With a tracer before the program the master is another process than the one that was started.
        if self.pid != self.process.pid and self.pid in children(self.process.pid):
            os.kill(self.pid, signal.SIGKILL)
        super().kill()

    def wait_for_workers(self, count, seconds=sample.BOUND):
        until(lambda: len(self.workers()) == count, lambda: f"{count} workers, but there are {self.workers()}", seconds)
        return self.workers()

    def wait_until_serving(self, count=2):
        """Until so many workers answer."""
        seen = set()
        until(lambda: seen.add(self.who()) or len(seen) >= count, "not every worker serves")

    def wait_until_empty(self):
        """Until no worker has a client left."""
        until(lambda: not self.open_connections(), lambda: f"{self.open_connections()} connections are still open")

    def open_connections(self):
        """Sockets of the workers beyond those that listen or lead to the master."""
        port = int(self.address.rpartition(":")[2])
        mine = set()
        for line in sample.read("/proc/net/tcp").splitlines()[1:]:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == port and fields[3] not in ("0A", "06"):
                mine.add(f"socket:[{fields[9]}]")
        return sum(what in mine for worker in self.workers() for what in descriptors(worker).values())

    def who(self, command=b"who\n"):
        """The worker that serves a new client."""
        with connect(self.address) as client:
            return int(say(client, command))

    def stop_master(self, number, seconds=sample.BOUND):
        """Its exit code. Others may still write where it wrote."""
        self.send(number)
        return self.process.wait(seconds)

    def lines_with(self, part):
        return [line for line in self.lines if part in line]


def say(client, command=b"who\n"):
    client.sendall(command)
    return receive_line(client)


def receive_line(client):
    line = b""
    while not line.endswith(b"\n"):
        more = client.recv(100)
        if not more:
            raise AssertionError(f"the end came after {line!r}")
        line += more
    return line.strip()


def is_ended(client):
    try:
        return client.recv(1) == b""
    except ConnectionError:
        return True


def children(pid):
    with contextlib.suppress(FileNotFoundError):
        return {int(p) for p in sample.read(f"/proc/{pid}/task/{pid}/children").split()}
    return set()


def living(pid):
    """The children that have not ended. One that has ended may not have been reaped yet."""
    return {p for p in children(pid) if state_of(p) not in "ZX"}


def state_of(pid):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return sample.read(f"/proc/{pid}/stat").rpartition(") ")[2][0]
    return "X"


def is_stopped(pid):
    """All of its threads: one that has yet to see the signal may still take a connection."""
    return all(state_of(f"{pid}/task/{thread}") == "T" for thread in os.listdir(f"/proc/{pid}/task"))


def descriptors(pid):
    """Number -> what it is."""
    out = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            out[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
    return out


def cpu_seconds(pid):
    fields = sample.read(f"/proc/{pid}/stat").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def say_once(address):
    with connect(address) as client:
        return int(say(client))
