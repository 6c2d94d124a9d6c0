#!/usr/bin/env python3
"""The checker of promises must fail when it should."""
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
import promises

TABLE = "text\n\n| when | what holds | tests |\n|---|---|---|\n"
PYTHON = "class Pool(unittest.TestCase):\n    def test_one(self):\n        pass\n"
CATCH = 'TEST_CASE("a sentence") {}\nTEST_CASE(\n    "a sentence that is "\n    "long") {}\n'


class Promises(unittest.TestCase):
    def found(self, rows, lists="weir_sample_test(pool_test)\nweir_test(process table_test.cpp)\n"):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            for name in "samples", "process":
                (root / "tests" / name).mkdir(parents=True)
            (root / "README.md").write_text(rows)
            (root / "tests/CMakeLists.txt").write_text(lists)
            (root / "tests/samples/pool_test.py").write_text(PYTHON)
            (root / "tests/process/table_test.cpp").write_text(CATCH)
            return list(promises.breaches(root))

    def test_tests_that_exist_are_found(self):
        self.assertEqual(self.found(TABLE + "| a | b | `pool_test::test_one`, `table_test::a sentence` |\n"
                                    "| c | d | `table_test::a sentence that is long` |\n\nmore\n"), [])

    def test_what_does_not_exist_is_told_with_its_line(self):
        for test in "pool_test::test_two", "pool_test::test_on", "gone_test::test_one", "table_test::a sentence that is":
            with self.subTest(test):
                self.assertEqual(self.found(TABLE + f"| a | b | `{test}` |\n"), [f"README.md:5: no test '{test}'"])

    def test_a_row_without_a_test_is_told(self):
        self.assertEqual(self.found(TABLE + "| a | b `x` | none |\n"), ["README.md:5: a promise without a test"])

    def test_a_test_that_is_not_run_is_told(self):
        self.assertEqual(self.found(TABLE + "| a | b | `pool_test::test_one` |\n", lists="weir_sample_test(other)\n"),
                         ["README.md:5: 'pool_test::test_one' is in no CMakeLists.txt"])

    def test_a_table_that_is_gone_is_told(self):
        self.assertEqual(self.found("text\n"), ["README.md: no table '| when | what holds | tests |'"])


if __name__ == "__main__":
    sys.exit(unittest.main())
