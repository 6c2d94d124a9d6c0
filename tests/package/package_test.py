#!/usr/bin/env python3
"""Installs weir from a build tree, moves the installation, and builds and runs a stranger's program with it."""
import argparse
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

STRANGER = Path(__file__).resolve().parent / "stranger"


def run(*command, **more):
    print("+", shlex.join(map(str, command)), flush=True)
    return subprocess.run(list(map(str, command)), check=True, timeout=200, **more)


def build_with_cmake(options, prefix, work):
    run(options.cmake, "-S", STRANGER, "-B", work / "stranger", f"-DCMAKE_PREFIX_PATH={prefix}",
        f"-DCMAKE_CXX_COMPILER={options.compiler}", "-DCMAKE_BUILD_TYPE=Debug")
    run(options.cmake, "--build", work / "stranger")
    return work / "stranger/stranger"


def build_with_pkg_config(options, prefix, work):
    found = [path.parent for path in prefix.rglob("weir.pc")]
    flags = run("pkg-config", "--cflags", "--libs", "weir-http", capture_output=True, text=True,
                env={**os.environ, "PKG_CONFIG_PATH": str(found[0])}).stdout
    run(options.compiler, "-std=c++20", STRANGER / "main.cpp", "-o", work / "stranger", *shlex.split(flags))
    return work / "stranger"


def main():
    ways = {"cmake": build_with_cmake, "pkg-config": build_with_pkg_config}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", choices=ways)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--cmake", required=True)
    parser.add_argument("--compiler", required=True)
    options = parser.parse_args()

    work = options.build / "package" / options.way
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    run(options.cmake, "--install", options.build, "--prefix", work / "installed", stdout=subprocess.DEVNULL)
    # A package that holds the path that it was installed to is found out by moving it.
    prefix = (work / "installed").rename(work / "moved")
    program = ways[options.way](options, prefix, work)
    libraries = {str(path.parent) for path in prefix.rglob("libweir.so")}
    run(program, env={**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
