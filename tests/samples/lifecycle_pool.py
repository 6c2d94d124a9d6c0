"""A pool that is configured by a file and logs to one, through reloads, upgrades and rotations."""
import collections
import contextlib
import os
import re
import signal
import subprocess

import sample
from pool import children, descriptors, state_of
from sample import until

PATIENCE = 20  # seconds for any one effect


class Log:
    """The lines of a file that is rotated, whatever file they have come to."""

    def __init__(self, path):
        self.path, self.lines = path, []
        self._files = []
        self._halves = {}

    def open(self):
        """After the server has made the file."""
        self._files.append(open(self.path, encoding="utf-8", errors="replace"))

    def read(self):
        for file in self._files:
            *whole, self._halves[file] = (self._halves.get(file, "") + file.read()).split("\n")
            self.lines += whole
        return self.lines

    def unfinished(self):
        return [half for half in self._halves.values() if half]

    def close(self):
        for file in self._files:
            file.close()


class ConfiguredPool:
    """A pool that is configured by a file. `masters` are the processes that may be told something: two after USR2."""

    def __init__(self, name, mode, folder, *arguments, count=2, before=()):
        self.mode, self.folder, self.count = mode, folder, count
        self.config, self.pid_file, self.socket = f"{folder}/pool.toml", f"{folder}/pid", f"{folder}/socket"
        self.log = Log(f"{folder}/log")
        self.rotations = 0
        self.configure()
        self.mark = f"LIFECYCLE={folder}"  # in the environment of all its processes
        self.process = subprocess.Popen(
            ["prlimit", "--core=0", *before, sample.program(name), "--config", self.config, *arguments], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,  # without a terminal, whose foreground ignores WINCH
            env=sample.clean_environment(dict([self.mark.split("=", 1)])))
        self.masters = [self.process.pid]
        try:
            until(lambda: os.path.exists(self.log.path), "a log")
            self.log.open()
            self.tcp = re.search(r"listening on ([\d.:]+)", self.wait_for_line("listening on"))[1]
        except BaseException:
            self.kill()
            raise
        self.addresses = [self.tcp] + [f"unix:{self.socket}"] * (mode != "reuseport")

    def configure(self, text="", policy="least-connections"):
        listen = '"127.0.0.1:0"' if self.mode == "reuseport" else f'["127.0.0.1:0", "unix:{self.socket}"]'
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(f'{text}\nlisten = {listen}\nmodel = "process-pool"\nlog.file = "{self.log.path}"\n'
                       f'limits.drain_timeout = "10s"\ndistribute.policy = "{policy}"\n[processes]\ncount = {self.count}\n'
                       f'accept = "{self.mode}"\npid_file = "{self.pid_file}"\n')

    def wait_for_line(self, part, since=0, by=None):
        """`by`: the process that writes it."""
        def found():
            return next((line for line in self.log.read()[since:]
                         if part in line and (by is None or f"[{by}]" in line)), None)

        until(found, lambda: f"no line '{part}' of {by or 'any process'}", PATIENCE)
        return found()

    def now(self):
        return len(self.log.read())

    def reload(self, master):
        since = self.now()
        os.kill(master, signal.SIGHUP)
        self.wait_for_line(f"serves with {self.count} workers", since, by=master)

    def start_successor(self, master):
        """An upgrade: the new master, once both serve."""
        since = self.now()
        os.kill(master, signal.SIGUSR2)
        told = self.wait_for_line("serves beside this one", since, by=master)
        successor = int(re.search(r"process (\d+) serves", told)[1])
        self.masters.append(successor)
        self.wait_for_pid(successor)
        return successor

    def end_of_two(self, leaving):
        """One of the two masters ends and the other one has noticed. Its exit code."""
        since = self.now()
        was_first = leaving == self.masters[0]
        code = self.end(leaving)
        staying, = self.masters
        told = "the old program has ended" if was_first else f"process {leaving}, has ended with exit code 0"
        self.wait_for_line(told, since, by=staying)
        self.wait_for_pid(staying)
        return code

    def wait_for_pid(self, master):
        """In the pid file, which is not there for a moment while one master follows the other."""
        def is_written():
            with contextlib.suppress(FileNotFoundError):
                return sample.read(self.pid_file).strip() == str(master)
        until(is_written, f"the pid file of master {master}", PATIENCE)

    def workers(self, master=None):
        """Those of one master, or of both, that have not ended."""
        found = {w for m in ([master] if master else self.masters) for w in children(m) if state_of(w) not in "ZX"}
        return found - set(self.masters)

    def wait_for_workers(self, count, master):
        until(lambda: len(self.workers(master)) == count,
              lambda: f"{count} workers, but there are {self.workers(master)}", PATIENCE)

    def processes(self):
        """Whatever is left of it, found by its environment."""
        out = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/environ", "rb") as file:
                    if self.mark.encode() in file.read().split(b"\0"):
                        out.append(int(pid))
        return out

    def kinds_of_descriptors(self):
        return collections.Counter(re.sub(r":\[\d+\]", "", what) for what in descriptors(self.masters[0]).values())

    def ports_held_by(self, *processes):
        """Of the clients whose connections they have open."""
        inodes = {what for process in processes for what in descriptors(process).values() if what.startswith("socket:")}
        mine = f":{int(self.tcp.rpartition(':')[2]):04X}"
        rows = [row.split() for row in sample.read("/proc/net/tcp").splitlines()[1:]]
        return {int(row[2].rpartition(":")[2], 16) for row in rows
                if row[1].endswith(mine) and f"socket:[{row[9]}]" in inodes}

    def end(self, master, number=signal.SIGQUIT):
        """Its exit code."""
        os.kill(master, number)
        self.masters.remove(master)
        return self.exit_code(master)

    def exit_code(self, master):
        if master == self.process.pid:
            return self.process.wait(PATIENCE)
        code = []

        def reaped():
            with contextlib.suppress(ChildProcessError):  # of the master before it, which reaps it itself
                pid, status = os.waitpid(master, os.WNOHANG)
                if pid:
                    code.append(os.waitstatus_to_exitcode(status))
            return state_of(master) == "X"

        until(reaped, f"master {master} has ended", PATIENCE)
        return code[0] if code else 0

    def kill(self):
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for master in [self.process.pid] + self.masters:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(master, 0)
        self.process.returncode = self.process.returncode or 0  # so that Popen does not wait for it
        self.log.close()


def age(process):
    start = int(sample.read(f"/proc/{process}/stat").rpartition(") ")[2].split()[19])
    return float(sample.read("/proc/uptime").split()[0]) - start / os.sysconf("SC_CLK_TCK")


def has_stopped(process):
    """Each thread of it; or it has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        threads = f"/proc/{process}/task"
        return all(sample.read(f"{threads}/{t}/stat").rpartition(") ")[2][0] in "TZX" for t in os.listdir(threads))
    return state_of(process) in "ZX"
