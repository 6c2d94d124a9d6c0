#!/usr/bin/env python3
"""The cart sample: a client finds what it has left. Usage: cart_test.py --build BUILD"""
import tempfile
import unittest

import sample
from admin_test import metrics, total
from sample import Sample, connect


def talk(address, *lines, **how):
    with connect(address, **how) as client:
        client.sendall(b"".join(line.encode() + b"\n" for line in (*lines, "bye")))
        return sample.receive_all(client).decode()


class Cart(unittest.TestCase):
    def test_a_named_cart_is_found_from_every_loop(self):
        for model in ("loop-per-core", "single-loop", "serial"):
            with self.subTest(model), Sample("--model", model, "--policy", "least-connections", name="cart") as cart:
                for i in range(20):  # by whichever loop
                    self.assertEqual(talk(cart.address, f"cart c{i % 5}", "add tea 1", f"add cup{i} 2"), "ok\nok\nok\n")
                for i in range(5):
                    shown = talk(cart.address, f"cart c{i}", "show")
                    cups = "".join(f"cup{j} 2\n" for j in sorted((i, i + 5, i + 10, i + 15), key=str))
                    self.assertEqual(shown, f"ok\n{cups}tea 4\n.\n")
                self.assertEqual(talk(cart.address, "cart c1", "empty", "show"), "ok\nok\n.\n")

    def test_a_client_without_a_name_is_known_by_its_address(self):
        with Sample("--policy", "ip-hash", name="cart") as cart:
            hosts = [f"127.0.0.{i}" for i in range(1, 9)]
            for host in hosts:
                talk(cart.address, f"add {host} 1", from_address=host)
            for host in hosts:
                self.assertEqual(talk(cart.address, "show", from_address=host), f"{host} 1\n.\n")

    def test_commands_are_counted_beside_what_the_server_counts(self):
        with tempfile.TemporaryDirectory() as folder:
            admin = f"unix:{folder}/admin"
            with Sample("--set", f"admin={admin}", name="cart") as cart:
                talk(cart.address, "cart a", "add tea 1", "add tea 1", "show", "what", "ready")
                figures = metrics(admin)
                counted = {labels: value for (name, labels), value in figures.items() if name == "cart_commands_total" and value}
                self.assertEqual(counted, {f'command="{what}"': n for what, n in
                                           {"add": 2, "show": 1, "unknown": 1, "ready": 1}.items()})
                self.assertEqual(total(figures, "cart_answer_seconds_count"), 5)

    def test_what_is_wrong_is_said(self):
        with Sample(name="cart") as cart:
            self.assertEqual(talk(cart.address, "add tea", "add tea -1", "add  1", "what", "show").count("error: "), 4)

    def test_lines_end_as_telnet_ends_them_too(self):
        with Sample(name="cart") as cart, connect(cart.address) as client:
            client.sendall(b"cart c\r\nadd tea 1\r\nshow\r\nempty\r\nshow\r\nbye\r\n")
            self.assertEqual(sample.receive_all(client), b"ok\nok\ntea 1\n.\nok\n.\n")

    def test_counts_are_numbers_and_do_not_overflow(self):
        most = 2 ** 63 - 1
        with Sample(name="cart") as cart:
            self.assertEqual(talk(cart.address, "cart c", f"add tea {most}", "add tea 1", "add tea 3kg", "add tea 0x1", "add tea +1",
                                  f"add tea {most + 1}", "add tea 1 ", "show"),
                             "ok\nok\nerror: too many\n" + "error: add ITEM COUNT\n" * 5 + f"tea {most}\n.\n")

    def test_an_item_never_makes_another_client_s_terminal_do_anything(self):
        with Sample(name="cart") as cart:
            shown = talk(cart.address, "cart c", "add \x1b[2J 1", "add a\tb 1", "add \x9b2J 1", "add t\xe9 1", "show")
            self.assertEqual(shown, "ok\n" + "error: add ITEM COUNT\n" * 3 + "ok\nt\xe9 1\n.\n")

    def test_a_model_in_which_carts_would_get_lost_is_refused(self):
        for model in ("loop-with-workers", "thread-per-connection", "thread-per-event", "process-pool"):
            ended = sample.run("--model", model, name="cart")
            self.assertEqual(ended.returncode, 2, ended.stderr)
            self.assertIn("the handler keeps state", ended.stderr)


if __name__ == "__main__":
    sample.main()
