#!/usr/bin/env python3
"""Each promise of README's table names tests that exist and are run. Usage: promises.py ROOT"""
import re
import sys
from pathlib import Path

HEAD = "| when | what holds | tests |"


def rows_of(readme):
    """(line number, cells) of the table."""
    lines = readme.splitlines()
    if HEAD not in lines:
        return
    for number, line in enumerate(lines[lines.index(HEAD) + 2:], lines.index(HEAD) + 3):
        if not line.startswith("|"):
            return
        yield number, [cell.strip() for cell in line.strip("|").split(" | ")]


def has_case(file, name):
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".py":
        return re.search(rf"^    def {re.escape(name)}\(self\):", text, re.M) is not None
    # The compiler joins what is between quotes, and so must this.
    titles = re.findall(r'TEST_CASE\(\s*((?:"(?:[^"\\]|\\.)*"\s*)+)', text)
    return name in ("".join(re.findall(r'"((?:[^"\\]|\\.)*)"', title)) for title in titles)


def is_run(root, file):
    lists = [file.with_name("CMakeLists.txt"), root / "tests/CMakeLists.txt"]
    named = rf"\b{file.stem}\b" if file.suffix == ".py" else rf"\b{file.name}\b"
    return any(re.search(named, each.read_text(encoding="utf-8")) for each in lists if each.exists())


def breaches(root):
    root = Path(root)
    rows = list(rows_of((root / "README.md").read_text(encoding="utf-8")))
    if not rows:
        yield f"README.md: no table '{HEAD}'"
    for number, cells in rows:
        tests = re.findall(r"`([^`]+)`", cells[-1])
        if len(cells) != 3 or not tests:
            yield f"README.md:{number}: a promise without a test"
        for test in tests:
            stem, _, name = test.partition("::")
            files = [f for f in root.glob(f"tests/*/{stem}.*") if f.suffix in (".py", ".cpp")]
            if not any(has_case(f, name) for f in files):
                yield f"README.md:{number}: no test '{test}'"
            elif not any(is_run(root, f) for f in files):
                yield f"README.md:{number}: '{test}' is in no CMakeLists.txt"


if __name__ == "__main__":
    found = list(breaches(sys.argv[1]))
    print("\n".join(found))
    sys.exit(bool(found))
