#!/usr/bin/env python3
"""The documents name tests, headers and files that exist. Usage: readme_test.py --build BUILD --ctest CTEST"""
import argparse
import json
import re
import subprocess
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "runtime/DESIGN.md", *sorted(ROOT.glob("samples/*/README.md"))]
# Tests of benchmarks, which most trees do not build.
MAY_BE_ABSENT = {"instructions and bytes"}
options = None


def found(pattern):
    return [(document.relative_to(ROOT), match) for document in DOCUMENTS
            for match in re.findall(pattern, document.read_text())]


class Documents(unittest.TestCase):
    def test_each_test_that_is_named_exists(self):
        listed = subprocess.run([options.ctest, "--test-dir", options.build, "--show-only=json-v1"], check=True,
                                capture_output=True, text=True).stdout
        names = [test["name"] for test in json.loads(listed)["tests"]]
        named = found(r"\./dev test[^`\n]*? -R (\"[^\"]+\"|[^\s`]+)`")
        self.assertGreater(len(named), 10)
        for document, pattern in named:
            pattern = pattern.strip('"')
            if pattern not in MAY_BE_ABSENT:
                self.assertTrue(any(re.search(pattern, name) for name in names), f"{document}: no test '{pattern}'")

    def test_each_benchmark_and_sample_that_is_named_exists(self):
        for document, name in found(r"\./dev bench (\w+)"):
            self.assertTrue((ROOT / f"tests/bench/{name}.py").exists(), f"{document}: no benchmark '{name}'")
        for document, name in found(r"\./dev run (\w+)"):
            self.assertTrue((ROOT / f"samples/{name}").is_dir(), f"{document}: no sample '{name}'")

    def test_each_header_and_file_that_is_named_exists(self):
        for document, path in found(r"\b((?:\w+/)+\w+\.hpp)\b"):
            places = [ROOT / path, ROOT / "include/weir" / path, ROOT / "include" / path, ROOT / "runtime" / path]
            self.assertTrue(any(place.exists() for place in places), f"{document}: no header '{path}'")
        for document, path in found(r"\]\(([\w./-]+)\)"):
            self.assertTrue(((ROOT / document).parent / path).exists(), f"{document}: no file '{path}'")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True)
    parser.add_argument("--ctest", required=True)
    options, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest])
