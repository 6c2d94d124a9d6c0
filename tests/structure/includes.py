#!/usr/bin/env python3
"""Proves that the folders of weir lean on each other only as the design allows.

Usage: includes.py ROOT [--including HEADER]. Prints one line per breach and exits with 1 if there is one. Or prints the
public headers that include HEADER, directly or through others.
"""
import re
import sys
from pathlib import Path

LOOP = {"base", "config", "observe", "task", "io", "core"}
BELOW_SERVER = {"base", "observe", "task", "config", "listen", "distribute", "model", "process", "io", "core", "admission", "connection",
                "workers", "accept"}

# Folder -> folders that it may include, besides itself.
MAY_INCLUDE = {
    "base": set(),
    "observe": {"base"},
    "task": {"base"},
    "config": {"base"},
    "listen": {"base", "config"},
    "distribute": {"base", "config"},
    "model": {"base", "config"},
    "process": {"base", "config", "distribute", "observe"},
    "io": {"base", "task", "observe"},
    "core": {"base", "config", "observe", "task", "io"},
    "admission": {"base"},
    "connection": LOOP | {"admission"},
    "workers": LOOP | {"admission", "connection"},
    "tls": LOOP | {"admission", "connection"},
    "accept": BELOW_SERVER - {"process", "workers", "accept"},
    "admin": LOOP | {"process", "listen", "model", "admission", "connection", "dump"},
    "dump": LOOP | {"admission", "connection", "workers"},
    "server": BELOW_SERVER | {"admin", "dump"},
    "pool": BELOW_SERVER | {"admin", "server"},
    "compare": BELOW_SERVER | {"admin", "server", "pool"},
    "http": BELOW_SERVER | {"admin", "server", "pool"},
}

# Folder -> single headers of other folders that it may include.
LAYERS = "weir/listen/socket_layers.hpp"
ADDRESSES = {"weir/listen/endpoint.hpp", "weir/listen/peer_address.hpp", LAYERS}
MAY_INCLUDE_HEADER = {"connection": ADDRESSES, "workers": ADDRESSES, "tls": ADDRESSES, "process": {"weir/listen/peer_address.hpp", LAYERS}}

# These run before a fork.
NO_LOOP_NO_THREAD = {"listen", "process"}
LOOP_OR_THREAD = re.compile(
    r"\b(io_context|j?thread|this_thread|async|pthread_create|coroutine\w*|co_await|co_return|co_yield)\b")

UMBRELLA = "weir/weir.hpp"
ASIO_DOOR = "weir/base/asio.hpp"
SOURCE_FILES_ONLY = re.compile(r"^(toml\+\+/|toml\.hpp|CLI/|spdlog/|hwloc|openssl/|llhttp)")

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)
CONDITIONAL = re.compile(r"^[ \t]*#[ \t]*(if|ifdef|ifndef|elif)\b", re.M)
# A comment, or a literal that may look as if it held one.
COMMENT_OR_LITERAL = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"([^\s()\\]{0,16})\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\'',
    re.S)


def without_comments(text, without_literals=False):
    def blank(match):
        if match[0].startswith("/") or without_literals:
            return re.sub(r"[^\n]", " ", match[0])
        return match[0]
    return COMMENT_OR_LITERAL.sub(blank, text)


class Tree:
    def __init__(self, root):
        self.root = Path(root)
        self.public = self.root / "include"
        self.private = self.root / "runtime"
        self.files = sorted(p for base in (self.public / "weir", self.private) if base.exists()
                            for p in base.rglob("*") if p.suffix in {".hpp", ".h", ".ipp", ".cpp", ".c"})

    def place(self, path):
        """(folder, name as in a public include): ("base", "weir/base/log.hpp"); the folder of weir.hpp is None."""
        if path.is_relative_to(self.public):
            name = path.relative_to(self.public)
            return (name.parts[1] if len(name.parts) > 2 else None), name.as_posix()
        name = path.relative_to(self.private)
        return (name.parts[0] if len(name.parts) > 1 else None), "runtime/" + name.as_posix()

    def resolve(self, including, spelled, quoted):
        """The file of weir that an include means, or nothing if it is somebody else's."""
        tries = [self.public / spelled]
        if quoted:
            tries = [including.parent / spelled, *tries, self.private / spelled, self.root / spelled]
        for path in tries:
            path = Path(path).resolve()
            if path.exists() and (path.is_relative_to(self.public.resolve())
                                  or path.is_relative_to(self.private.resolve())):
                return self.root / path.relative_to(self.root.resolve())
        return None


def including(tree, header):
    """Names of the public headers in which `header` is included, at whatever distance."""
    direct = {}
    for path in tree.files:
        if path.is_relative_to(tree.public):
            targets = (tree.resolve(path, found[2], found[1] == '"')
                       for found in INCLUDE.finditer(without_comments(path.read_text())))
            direct[tree.place(path)[1]] = {tree.place(t)[1] for t in targets if t is not None}
    reached, before = {header}, None
    while reached != before:
        before = reached
        reached = reached | {name for name, targets in direct.items() if targets & reached}
    return sorted(reached)


def own_header(tree, source):
    """The public header that a source file implements, or nothing. The source includes it first, and so proves with
    each build that it stands alone."""
    if source.suffix != ".cpp" or not source.is_relative_to(tree.private):
        return None
    folder = tree.public / "weir" / source.relative_to(tree.private).parent
    tries = (folder / f"{source.stem}.hpp", folder / "detail" / f"{source.stem}.hpp")
    return next((path for path in tries if path.exists()), None)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def breaches_of(tree, path):
    folder, name = tree.place(path)
    text = without_comments(path.read_text())
    bare = without_comments(path.read_text(), without_literals=True)
    public = path.is_relative_to(tree.public)

    if folder is not None and folder not in MAY_INCLUDE:
        yield 1, f"folder '{folder}' is not in the table of tests/structure/includes.py"
        return
    if folder is None and name != UMBRELLA:
        yield 1, "lies in no folder"
        return

    for found in INCLUDE.finditer(text):
        spelled, line = found[2], line_of(text, found.start())
        target = tree.resolve(path, spelled, found[1] == '"')
        if target is None:
            if spelled.startswith("weir/"):
                yield line, f"'{spelled}' does not exist"
            if re.match(r"asio(\.hpp$|/)", spelled) and name != ASIO_DOOR and not name.startswith("runtime/base/"):
                yield line, f"'{spelled}': Asio comes in through {ASIO_DOOR} only"
            if SOURCE_FILES_ONLY.match(spelled) and path.suffix != ".cpp":
                yield line, f"'{spelled}' may be included by source files only"
            continue
        to, to_name = tree.place(target)
        if to_name == UMBRELLA:
            yield line, f"'{spelled}' is for users: include what is needed"
            continue
        if public and to_name.startswith("runtime/"):
            yield line, f"a public header includes the private '{spelled}'"
        elif to_name.startswith("runtime/") and to != folder:
            yield line, f"'{spelled}' is private to {to}"
            continue
        allowed = MAY_INCLUDE.get(folder)
        if folder is None and "/detail/" in to_name:
            yield line, f"'{spelled}' is a detail and not for users"
        if folder is None or to == folder or to in allowed:
            continue
        if to_name not in MAY_INCLUDE_HEADER.get(folder, ()):
            yield line, f"{folder} may not include {to} ('{spelled}')"

    own = own_header(tree, path)
    first = INCLUDE.search(text)
    if own is not None and tree.place(own)[1] != ASIO_DOOR and (first is None or tree.resolve(path, first[2], first[1] == '"') != own):
        yield line_of(text, first.start()) if first else 1, f"the first include must be '{tree.place(own)[1]}'"

    if folder in NO_LOOP_NO_THREAD:
        for found in LOOP_OR_THREAD.finditer(bare):
            yield line_of(bare, found.start()), f"{folder} runs before a fork and may not name '{found[1]}'"
    if folder != "base":
        for found in CONDITIONAL.finditer(bare):
            yield line_of(bare, found.start()), f"'#{found[1]}' belongs into base"
    if path.suffix == ".hpp" and not re.match(r"#pragma once\n", path.read_text()):
        yield 1, "a header starts with '#pragma once'"


def breaches(root):
    tree = Tree(root)
    for path in tree.files:
        for line, what in breaches_of(tree, path):
            yield f"{path.relative_to(tree.root).as_posix()}:{line}: {what}"


def main():
    root = Path(sys.argv[1])
    if sys.argv[2:3] == ["--including"]:
        print("\n".join(including(Tree(root), sys.argv[3])))
        return 0
    if not Tree(root).files:
        print(f"no sources under {root}")
        return 1
    found = list(breaches(root))
    print("\n".join(found) if found else f"{len(Tree(root).files)} files keep to the table")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
