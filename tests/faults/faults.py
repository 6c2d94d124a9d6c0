"""Failures on demand in the processes of a sample: see faults.hpp. Arms and disarms rules while they run."""
import errno
import mmap
import os
import struct
import subprocess
import tempfile

import sample

ALLOCATION, NEW_THREAD = 10_000, 10_001
CALLS = {"read": 0, "write": 1, "mmap": 9, "pread64": 17, "writev": 20, "sendfile": 40, "socket": 41, "connect": 42,
         "sendto": 44, "recvfrom": 45, "sendmsg": 46, "recvmsg": 47, "socketpair": 53, "epoll_wait": 232,
         "epoll_ctl": 233, "openat": 257, "accept4": 288, "eventfd2": 290, "timerfd_settime": 286, "timerfd_create": 283}
SHORT = -1
LAYOUT, HEAD, RULES = 1, 96, 62
RULE = struct.Struct("IIiiQQIiqQQQ")
EPOLL_CTL_ADD = 1


def library():
    return os.path.join(sample.options.build, "tests", "faults", "libweir_faults.so")


def works():
    """Whether programs of this build can be made to fail here."""
    if sample.options.sanitized:
        return False
    with Faults(["accept4"]) as faults:
        done = subprocess.run(["/bin/true"], env={**os.environ, **faults.environment}, capture_output=True)
        return done.returncode == 0


class Faults:
    """The control of one sample and of what it forks. Only the calls that are named can be made to fail."""

    def __init__(self, calls=(), traces=False):
        self._file = tempfile.NamedTemporaryFile(prefix="weir-faults-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
        self._file.truncate(HEAD + RULE.size * RULES)
        self._memory = mmap.mmap(self._file.fileno(), HEAD + RULE.size * RULES)
        trapped = sum(1 << number for number in {CALLS[c] for c in calls})
        self._memory[:HEAD] = struct.pack("Q", LAYOUT) + trapped.to_bytes(64, "little") + struct.pack("Q", traces) + bytes(16)
        self._armed = 0
        self.environment = {"LD_PRELOAD": library(), "FAULTS_CONTROL": self._file.name}

    def arm(self, call, error=errno.ENOMEM, first=1, count=1, per_million=0, seed=0, process=0, argument=None):
        """A further rule; `count` 0: all from `first` on. `call`: a name, ALLOCATION or NEW_THREAD. `argument`: the
        index and the value that one must have."""
        index, value = argument or (-1, 0)
        at = HEAD + RULE.size * self._armed
        self._memory[at:at + RULE.size] = RULE.pack(0, CALLS.get(call, call), process, error, first, count, per_million,
                                                    index, value, seed, 0, 0)
        self._memory[at:at + 4] = struct.pack("I", 1)
        self._armed += 1
        return self._armed - 1

    def disarm(self):
        """All rules; what has been counted stays until the next is armed."""
        self.pause()
        self._armed = 0

    def pause(self):
        """As disarm(), but all_hits() still counts them."""
        for i in range(self._armed):
            self._memory[HEAD + RULE.size * i:HEAD + RULE.size * i + 4] = bytes(4)

    def all_hits(self):
        return sum(self.hits(i) for i in range(self._armed))

    def calls(self, rule=0):
        return self._counts(rule)[0]

    def hits(self, rule=0):
        return self._counts(rule)[1]

    def _counts(self, rule):
        return RULE.unpack_from(self._memory, HEAD + RULE.size * rule)[-2:]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.disarm()
        self._memory.close()
        self._file.close()
