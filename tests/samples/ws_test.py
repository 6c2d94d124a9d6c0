#!/usr/bin/env python3
"""The ws sample under Debian's python3-websocket, and under bytes that no client should send.
Usage: ws_test.py --build BUILD"""
import os
import struct
import sys
import unittest

import sample
from sample import Sample, connect, receive_all, receive_exactly

sys.path.append("/usr/lib/python3/dist-packages")  # another interpreter may run this
try:
    import websocket
except ImportError:
    websocket = None

# The key and the answer of RFC 6455, 1.3.
HANDSHAKE = (b"GET /echo HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
ACCEPT = b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"


def ws(*arguments):
    return Sample(*arguments, name="ws")


def frame(head, payload, mask=b"\1\2\3\4"):
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack(">H", len(payload))
    return bytes([head]) + size + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def receive_head(client):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += receive_exactly(client, 1)
    return head


class Ws(unittest.TestCase):
    @unittest.skipUnless(websocket, "python3-websocket is not installed")
    def test_messages_come_back(self):
        for model in ("loop-per-core", "thread-per-connection", "loop-with-workers"):
            with self.subTest(model), ws("--model", model) as server:
                client = websocket.create_connection(f"ws://{server.address}/echo", timeout=sample.BOUND)
                for text in ("", "hello", "ä" * 200, "x" * 70000):
                    client.send(text)
                    self.assertEqual(client.recv(), text)
                data = os.urandom(300_000)
                client.send_binary(data)
                self.assertEqual(client.recv(), data)
                client.ping("are you there")
                self.assertEqual(client.recv_data(control_frame=True), (websocket.ABNF.OPCODE_PONG, b"are you there"))
                client.close(status=1000)
                self.assertFalse(client.connected)

    @unittest.skipUnless(websocket, "python3-websocket is not installed")
    def test_idle_clients_hold_up_no_stop(self):
        with ws() as server:
            clients = [websocket.create_connection(f"ws://{server.address}/echo", timeout=sample.BOUND) for _ in range(20)]
            for client in clients:
                client.send("hello")
                self.assertEqual(client.recv(), "hello")
            self.assertEqual(server.stop(), 0)

    def test_the_handshake_is_that_of_the_rfc_and_early_frames_count(self):
        with ws() as server, connect(server.address) as client:
            client.sendall(HANDSHAKE + frame(0x81, b"early") + frame(0x81, b"split")[:4])
            head = receive_head(client)
            self.assertTrue(head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n"), head)
            self.assertIn(ACCEPT, head)
            self.assertEqual(receive_exactly(client, 7), b"\x81\x05early")
            client.sendall(frame(0x81, b"split")[4:] + frame(0x88, b"\x03\xe8"))
            self.assertEqual(receive_all(client), b"\x81\x05split\x88\x02\x03\xe8")

    def test_what_is_no_websocket_is_refused(self):
        with ws() as server:
            for wrong, status in ((HANDSHAKE.replace(b"13", b"8"), b"400"), (HANDSHAKE.replace(b"Upgrade: websocket\r\n", b""), b"426"),
                                  (HANDSHAKE.replace(b"/echo", b"/other"), b"404"), (HANDSHAKE.replace(b"GET", b"POST"), b"405")):
                with connect(server.address) as client:
                    client.sendall(wrong)
                    self.assertEqual(receive_head(client).split()[1], status)
            for bad in (b"\x81\x05hello", frame(0xf1, b"x"), b"\x82\xff" + struct.pack(">Q", 1 << 62) + b"\1\2\3\4", frame(0x89, b"x" * 126)):
                with connect(server.address) as client:
                    client.sendall(HANDSHAKE)
                    receive_head(client)
                    client.sendall(bad)
                    self.assertEqual(receive_all(client), b"")


if __name__ == "__main__":
    sample.main()
