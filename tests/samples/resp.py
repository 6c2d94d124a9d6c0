"""The protocol of Redis, for tests: requests as bytes, replies as values."""


class Error(str):
    """A reply that begins with a minus."""


class Status(str):
    """A reply that begins with a plus."""


class Typed(tuple):
    """A reply of a kind that only the third version of the protocol has, with the kind."""

    def __new__(cls, kind, value):
        return super().__new__(cls, (kind, value))


def request(*words):
    encoded = [w if isinstance(w, bytes) else str(w).encode() for w in words]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in encoded)


class Client:
    """Talks over a connected socket, which it owns."""

    def __init__(self, socket):
        self.socket = socket
        self.buffered = bytearray()
        self.at = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def ask(self, *words):
        self.send(request(*words))
        return self.reply()

    def ask_all(self, requests):
        """Many at once; all replies. What is sent must fit into what the kernel buffers both ways."""
        self.send(b"".join(request(*words) for words in requests))
        return [self.reply() for _ in requests]

    def _more(self):
        if self.at > 1 << 20:
            del self.buffered[:self.at]
            self.at = 0
        got = self.socket.recv(1 << 18)
        if not got:
            raise AssertionError(f"the end came after {bytes(self.buffered[self.at:])!r}")
        self.buffered += got

    def _line(self):
        while (end := self.buffered.find(b"\r\n", self.at)) < 0:
            self._more()
        line = bytes(self.buffered[self.at:end])
        self.at = end + 2
        return line

    def reply(self):
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return Status(rest.decode())
        if kind == b"-":
            return Error(rest.decode(errors="backslashreplace"))
        if kind == b":":
            return int(rest)
        if kind == b"*":
            return None if rest == b"-1" else [self.reply() for _ in range(int(rest))]
        if kind in b"%~>" and kind:  # of the third version: a map, a set, a push
            count = int(rest) * (2 if kind == b"%" else 1)
            return Typed(kind.decode(), [self.reply() for _ in range(count)])
        if kind == b"_":
            return Typed("_", None)
        if kind == b"=":
            return Typed("=", self._bytes(int(rest)))
        if kind != b"$":
            raise AssertionError(f"no reply begins with {line!r}")
        size = int(rest)
        return None if size < 0 else self._bytes(size)

    def _bytes(self, size):
        while len(self.buffered) < self.at + size + 2:
            self._more()
        value = bytes(self.buffered[self.at:self.at + size])
        self.at += size + 2
        return value

    def ends(self):
        """True if the server has closed and nothing more has come."""
        return self.at == len(self.buffered) and self.socket.recv(1) == b""
