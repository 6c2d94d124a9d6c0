#!/usr/bin/env python3
"""Installs weir from a build tree, moves the installation, and builds strangers' programs with it.

The programs are those of README.md, taken from its text, and stranger/guest.cpp.
"""
import argparse
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
README = HERE.parents[1] / "README.md"
SKIPPED = 77
BOUND = 20  # seconds that a program may take for anything
COMPILERS = {"gcc": ("g++-12", "g++"), "clang": ("clang++-19",)}
options = None


class Skipped(Exception):
    pass


def run(*command, check=True, **more):
    command = list(map(str, command))
    print("+", shlex.join(command), flush=True)
    return subprocess.run(command, check=check, timeout=250, text=True, **more)


def compiler(family):
    found = next(filter(None, map(shutil.which, COMPILERS[family])), None)
    if found is None:
        raise Skipped(f"no {' or '.join(COMPILERS[family])} on this machine")
    return found


def cached(compile_command):
    """With a compiler cache, if there is one."""
    return [*filter(None, [shutil.which("ccache")]), *compile_command]


def installed(work):
    run(options.cmake, "--install", options.build, "--prefix", work / "installed", stdout=subprocess.DEVNULL)
    # A package that holds the path that it was installed to is found out by moving it.
    return (work / "installed").rename(work / "moved")


def environment(prefix):
    """For programs that may be linked with a shared library, and for pkg-config."""
    return {**os.environ, "LD_LIBRARY_PATH": ":".join({str(p.parent) for p in prefix.rglob("libweir.so")}),
            "PKG_CONFIG_PATH": str(next(prefix.rglob("weir.pc")).parent)}


def pkg_config(prefix, *arguments):
    if shutil.which("pkg-config") is None:
        raise Skipped("no pkg-config on this machine")
    printed = run("pkg-config", *arguments, env=environment(prefix), capture_output=True)
    return shlex.split(printed.stdout)


# What each program of README.md is known by, and how it is talked to.
def serving(program, talk, *arguments):
    """Starts a server that logs where it listens; it must exit with 0 when it is told to stop."""
    with subprocess.Popen([program, "--listen", "127.0.0.1:0", *arguments], stderr=subprocess.PIPE, text=True) as server:
        try:
            line = next(line for line in server.stderr if "listening on" in line)
            talk(("127.0.0.1", int(re.search(r"listening on 127\.0\.0\.1:(\d+)", line)[1])))
            server.send_signal(signal.SIGTERM)
            code = server.wait(BOUND)
        finally:
            if server.poll() is None:
                server.kill()
    assert code == 0, f"{program} exited with {code}"


def whole_answer(address, said):
    with socket.create_connection(address, BOUND) as client:
        client.settimeout(BOUND)
        client.sendall(said)
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(4096), b""))


def talk_to_echo(program):
    def talk(address):
        assert whole_answer(address, b"hello") == b"hello"
    serving(program, talk)


def talk_to_counting(program):
    def talk(address):
        answers = [whole_answer(address, b"") for _ in range(3)]
        counts = [int(re.search(rb"\d+", answer)[0]) for answer in answers]
        assert counts == [1, 2, 3], answers
    serving(program, talk, "--model", "single-loop")


def talk_to_http(program):
    def talk(address):
        with urllib.request.urlopen(f"http://{address[0]}:{address[1]}/", timeout=BOUND) as answer:
            assert answer.status == 200 and answer.read() == b"hello\n"
    serving(program, talk)


def talk_to_embedded(program):
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        try:
            port = re.search(r"127\.0\.0\.1:(\d+)", server.stdout.readline())[1]
            assert whole_answer(("127.0.0.1", int(port)), b"hello") == b"hello"
            server.stdin.write("\n")
            server.stdin.flush()
            code = server.wait(BOUND)
        finally:
            if server.poll() is None:
                server.kill()
    assert code == 0, f"{program} exited with {code}"


def run_guest(program):
    run(program)


PROGRAMS = {  # name -> (what its text holds, how it is talked to)
    "echo": ("weir::run(argc, argv, echo)", talk_to_echo),
    "counting": ("weir::run<", talk_to_counting),
    "embedded": ("weir::server ", talk_to_embedded),
    "http": ("weir::http::site ", talk_to_http),
}


def write_programs(folder, with_readme):
    """The sources to build; their names and how each program is talked to."""
    folder.mkdir(parents=True)
    shutil.copy(HERE / "stranger/guest.cpp", folder)
    talks = {"guest": run_guest}
    if not with_readme:
        return talks
    programs = [text for text in re.findall(r"^```cpp\n(.*?)^```", README.read_text(), re.M | re.S)
                if "int main(" in text]
    assert len(programs) == len(PROGRAMS), f"README.md holds {len(programs)} programs, expected {list(PROGRAMS)}"
    for name, (mark, talk) in PROGRAMS.items():
        found = [text for text in programs if mark in text]
        assert len(found) == 1, f"README.md holds {len(found)} programs with '{mark}'"
        (folder / f"{name}.cpp").write_text(found[0])
        talks[name] = talk
    return talks


def build_with_cmake(family, work, prefix, with_readme):
    talks = write_programs(work / "sources", with_readme)
    launcher = shutil.which("ccache")
    run(options.cmake, "-S", HERE / "stranger", "-B", work / "built", f"-DCMAKE_PREFIX_PATH={prefix}",
        f"-DPROGRAMS={work / 'sources'}", f"-DCMAKE_CXX_COMPILER={compiler(family)}",
        *([f"-DCMAKE_CXX_COMPILER_LAUNCHER={launcher}"] if launcher else []))
    run(options.cmake, "--build", work / "built", "--parallel", "2")
    return {work / "built" / name: talk for name, talk in talks.items()}


def build_with_pkg_config(family, work, prefix, with_readme):
    talks = write_programs(work / "sources", with_readme)
    compile_flags = pkg_config(prefix, "--cflags", "weir-http")
    link_flags = pkg_config(prefix, "--static", "--libs", "weir-http")
    for name in talks:
        # Without a standard: the package's own flags name it.
        run(*cached([compiler(family), "-c", work / "sources" / f"{name}.cpp", "-o", work / f"{name}.o", *compile_flags]))
        run(compiler(family), work / f"{name}.o", "-o", work / name, *link_flags)
    return {work / name: talk for name, talk in talks.items()}


def build_and_run(family, build, with_readme):
    def case(work):
        compiler(family)
        prefix = installed(work)
        os.environ.update(environment(prefix))
        for program, talk in build(family, work, prefix, with_readme).items():
            print("talking to", program.name, flush=True)
            talk(program)
    return case


def cache_entry(name):
    return re.search(rf"^{name}:\w+=(.*)$", (options.build / "CMakeCache.txt").read_text(), re.M)[1]


def configure(work, prefix, project, *arguments):
    """In one tree, which keeps what CMake has found out about the compiler, and nothing else."""
    folder = work / "configured"
    folder.mkdir(exist_ok=True)
    (folder / "CMakeLists.txt").write_text(f"cmake_minimum_required(VERSION 3.25)\nproject(x LANGUAGES CXX)\n{project}\n")
    (folder / "build/CMakeCache.txt").unlink(missing_ok=True)
    done = run(options.cmake, "-S", folder, "-B", folder / "build", f"-DCMAKE_PREFIX_PATH={prefix}", *arguments,
               check=False, capture_output=True)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def other_asio(work):
    prefix = installed(work)
    version = pkg_config(prefix, "--variable=asio_version", "weir")[0]
    assert pkg_config(prefix, "--variable=cxx_standard", "weir") == ["20"]

    # The same headers under another number.
    other = work / "asio"
    theirs = Path(cache_entry("Asio_INCLUDE_DIR"))
    shutil.copytree(theirs / "asio", other / "asio")
    shutil.copy(theirs / "asio.hpp", other)
    number = other / "asio/version.hpp"
    number.write_text(re.sub(r"(define ASIO_VERSION) \d+", r"\1 199901", number.read_text()))

    code, said = configure(work, prefix, "find_package(weir REQUIRED)", f"-DAsio_INCLUDE_DIR={other}")
    assert code != 0 and f'exact version "{version}"' in said, said

    source = work / "small.cpp"
    source.write_text("#include <weir/base/asio.hpp>\n#include <weir/base/log.hpp>\n"
                      "int main() { weir::log::info(\"hello\"); }\n")
    compile_flags = pkg_config(prefix, "--cflags", "weir")
    link_flags = pkg_config(prefix, "--libs", "weir")

    def link(headers, sections, garbage):
        run(*cached([compiler("gcc"), *headers, "-c", source, "-o", work / "small.o", *sections, *compile_flags]))
        return run(compiler("gcc"), work / "small.o", "-o", work / "small", *garbage, *link_flags, check=False,
                   capture_output=True)

    # Sections that are dropped must not take the check with them.
    for how in [([], []), (["-ffunction-sections", "-fdata-sections"], ["-Wl,--gc-sections"])]:
        linked = link([], *how)
        assert linked.returncode == 0, linked.stderr
        run(work / "small", env=environment(prefix))
        linked = link([f"-I{other}"], *how)
        assert linked.returncode != 0 and "weir::built_with_asio<199901>" in linked.stderr, linked.stderr


def components(work):
    prefix = installed(work)
    code, said = configure(work, prefix, "find_package(weir REQUIRED COMPONENTS http tls)\n"
                           "if(NOT TARGET weir::http OR NOT TARGET weir::tls)\n  message(FATAL_ERROR \"no target\")\nendif()")
    assert code == 0, said
    code, said = configure(work, prefix, "find_package(weir REQUIRED COMPONENTS http zebra)")
    assert code != 0 and 'no component "zebra"' in said, said
    code, said = configure(work, prefix, "find_package(weir COMPONENTS zebra)\n"
                           "if(weir_FOUND)\n  message(FATAL_ERROR \"found\")\nendif()")
    assert code == 0, said
    code, said = configure(work, prefix, "find_package(weir REQUIRED OPTIONAL_COMPONENTS zebra)")
    assert code == 0, said


def comparison(work):
    """A program of README.md, built from the package alone, tells its user which model suits it, each time within 3 minutes."""
    if shutil.which("wrk") is None:
        raise Skipped("no wrk on this machine")
    programs = build_with_pkg_config("gcc", work, installed(work), with_readme=True)
    program = next(path for path in programs if path.name == "http")
    recording = work / "recorded"

    def load(address):
        for _ in range(20):
            assert whole_answer(address, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").endswith(b"hello\n")

    serving(program, load, "--record", recording, "--set", "record.answers=true")
    for what, key in (("wrk -t1 -c16 -d{seconds}s --latency http://{address}/", ""), (recording, "0"), (recording, "100")):
        began = time.monotonic()
        done = run(program, "--compare", what, "--set", f"compare.output={work}", *(["--set", f"compare.speed={key}"] if key else []),
                   capture_output=True, check=False)
        took = time.monotonic() - began
        print(done.stdout, f"took {took:.0f} s", sep="\n", flush=True)
        assert done.returncode == 0, done.stderr
        found = json.loads((work / "compare.json").read_text())
        assert f"Take {found['best']}:" in done.stdout and found["toml"] in done.stdout, done.stdout
        assert json.dumps(found["best"]) in (work / "compare.html").read_text()
        assert took < 200, took
        assert not [r["different"] for c in found["candidates"] for r in c["runs"] if r["different"]]


CASES = {
    "comparison": comparison,
    "gcc-cmake": build_and_run("gcc", build_with_cmake, with_readme=True),
    "clang-pkg-config": build_and_run("clang", build_with_pkg_config, with_readme=True),
    "clang-cmake": build_and_run("clang", build_with_cmake, with_readme=False),
    "gcc-pkg-config": build_and_run("gcc", build_with_pkg_config, with_readme=False),
    "other-asio": other_asio,
    "components": components,
}


def main():
    global options
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--cmake", required=True)
    options = parser.parse_args()

    work = options.build.resolve() / "package" / options.case
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        CASES[options.case](work)
    except Skipped as why:
        print("skipped:", why)
        return SKIPPED
    return 0


if __name__ == "__main__":
    sys.exit(main())
