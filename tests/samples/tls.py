"""What tests need to speak TLS: certificates, and a client with the calls of a socket."""
import os
import socket
import ssl
import subprocess
import threading

SECONDS = 20  # a bound, not a figure


def make_certificate(folder, name, subject="/CN=localhost", names="DNS:localhost,IP:127.0.0.1", days=30, more=()):
    """The paths of a certificate that it signs itself, and of its key."""
    crt, key = (os.path.join(folder, f"{name}.{end}") for end in ("crt", "key"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", str(days), "-subj", subject, "-addext", f"subjectAltName={names}", "-keyout", key,
                    "-out", crt, *more], check=True, capture_output=True, timeout=SECONDS)
    return crt, key


class TlsSocket:
    """Two threads may use it, one for each direction, and its output may be closed alone: Python's own can do neither."""

    def __init__(self, raw, context, name="localhost"):
        self.raw = raw
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)
        self.using = threading.Lock()
        self.sending = threading.Lock()  # taken first
        self.kept = bytearray()
        self.ended = self.aborts = False
        while not self._try(self.tls.do_handshake):
            self._fill()

    def _try(self, step):
        """False if it needs input. What it has written is sent."""
        with self.sending:
            with self.using:
                try:
                    step()
                    done = True
                except ssl.SSLWantReadError:
                    done = False
                out = self.outgoing.read()
            if out:
                self.raw.sendall(out)
        return done

    def _fill(self):
        got = self.raw.recv(65536)
        with self.using:
            self.incoming.write(got) if got else self.incoming.write_eof()

    def sendall(self, data):
        """All records at once, as a plain socket has them."""
        def write():
            for at in range(0, len(data), 16384):
                self.tls.write(data[at:at + 16384])
        self._try(write)

    def _read(self, count):
        with self.using:
            try:
                return self.tls.read(count)
            except ssl.SSLWantReadError:
                return None
            except ssl.SSLZeroReturnError:
                self.ended = True
                return b""

    def recv(self, count):
        if self.kept:
            out = bytes(self.kept[:count])
            del self.kept[:count]
            return out
        while not self.ended:
            if (got := self._read(count)) is not None:
                return got
            self._fill()
        return b""

    def shutdown(self, _):
        """close_notify. A second one, which Python adds, must find no bytes: they would be lost."""
        while got := self._read(65536):
            self.kept += got
        self._try(self.tls.unwrap)

    def setsockopt(self, level, option, value):
        self.aborts |= option == socket.SO_LINGER
        self.raw.setsockopt(level, option, value)

    def settimeout(self, seconds):
        self.raw.settimeout(seconds)

    def fileno(self):
        return self.raw.fileno()

    def close(self):
        if not self.aborts and self.raw.fileno() >= 0:
            try:
                self.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        self.raw.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
