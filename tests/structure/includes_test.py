#!/usr/bin/env python3
"""The checker of includes must fail when it should: each case is a small tree and the breaches in it."""
import contextlib
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
import includes

ONCE = "#pragma once\n"
BASE = {"include/weir/base/error.hpp": ONCE, "include/weir/task/task.hpp": ONCE + '#include "weir/base/error.hpp"\n'}


class Includes(unittest.TestCase):
    def found(self, files):
        with self.tree({**BASE, **files}) as root:
            return list(includes.breaches(root))

    @staticmethod
    @contextlib.contextmanager
    def tree(files):
        with tempfile.TemporaryDirectory() as root:
            for name, text in files.items():
                path = Path(root) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            yield root

    def breach(self, name, text, expected, **more):
        self.assertEqual(self.found({name: text, **more.get("files", {})}), [f"{name}:{expected}"])

    def test_arrows_of_the_table_are_allowed(self):
        self.assertEqual(self.found({
            "include/weir/io/driver.hpp": ONCE + '#include "weir/task/task.hpp"\n#include <weir/base/error.hpp>\n',
            "runtime/io/epoll.hpp": ONCE,
            "runtime/io/epoll.cpp": '#include "epoll.hpp"\n#include "weir/io/driver.hpp"\n#include <vector>\n',
            "runtime/server/run.cpp": '#include "weir/io/driver.hpp"\n#include "weir/task/task.hpp"\n',
            "include/weir/weir.hpp": ONCE + '#include "weir/io/driver.hpp"\n',
        }), [])

    def test_an_arrow_against_the_table_is_found(self):
        self.breach("runtime/base/log.cpp", '\n#include "weir/task/task.hpp"\n',
                    "2: base may not include task ('weir/task/task.hpp')")

    def test_angle_brackets_do_not_hide_it(self):
        self.breach("include/weir/config/settings.hpp", ONCE + "#  include <weir/task/task.hpp>\n",
                    "2: config may not include task ('weir/task/task.hpp')")

    def test_a_relative_path_does_not_hide_it(self):
        self.breach("runtime/config/toml.cpp", '#include "../task/frame.hpp"\n',
                    "1: '../task/frame.hpp' is private to task",
                    files={"runtime/task/frame.hpp": ONCE})

    def test_a_source_includes_the_header_that_it_implements_first(self):
        header = {"include/weir/task/detail/chain.hpp": ONCE}
        self.breach("runtime/task/chain.cpp", '\n#include "weir/task/task.hpp"\n#include "weir/task/detail/chain.hpp"\n',
                    "2: the first include must be 'weir/task/detail/chain.hpp'", files=header)
        self.breach("runtime/task/chain.cpp", "int x;\n", "1: the first include must be 'weir/task/detail/chain.hpp'",
                    files=header)
        self.assertEqual(self.found({"runtime/task/chain.cpp": '#include "weir/task/detail/chain.hpp"\n', **header}), [])

    def test_a_comment_is_no_include(self):
        self.assertEqual(self.found({"runtime/base/log.cpp": '// x\n/*\n#include "weir/task/task.hpp"\n*/\n'}), [])

    def test_connection_sees_one_header_of_listen(self):
        files = {"include/weir/listen/endpoint.hpp": ONCE, "include/weir/listen/bound_socket.hpp": ONCE}
        self.assertEqual(self.found({
            **files, "include/weir/connection/connection.hpp": ONCE + '#include "weir/listen/endpoint.hpp"\n'}), [])
        self.breach("include/weir/connection/connection.hpp", ONCE + '#include "weir/listen/bound_socket.hpp"\n',
                    "2: connection may not include listen ('weir/listen/bound_socket.hpp')", files=files)

    def test_accept_knows_no_process(self):
        self.breach("runtime/accept/acceptor.cpp", '#include "weir/process/worker.hpp"\n',
                    "1: accept may not include process ('weir/process/worker.hpp')",
                    files={"include/weir/process/worker.hpp": ONCE})

    def test_a_public_header_includes_nothing_private(self):
        self.breach("include/weir/task/scope.hpp", ONCE + '#include "task/frame.hpp"\n',
                    "2: a public header includes the private 'task/frame.hpp'",
                    files={"runtime/task/frame.hpp": ONCE})

    def test_a_private_header_is_for_its_own_folder(self):
        self.breach("runtime/server/run.cpp", '#include "../task/frame.hpp"\n',
                    "1: '../task/frame.hpp' is private to task", files={"runtime/task/frame.hpp": ONCE})

    def test_the_umbrella_promises_no_detail(self):
        self.breach("include/weir/weir.hpp", ONCE + '#include "weir/task/detail/chain.hpp"\n',
                    "2: 'weir/task/detail/chain.hpp' is a detail and not for users",
                    files={"include/weir/task/detail/chain.hpp": ONCE})

    def test_server_does_not_know_the_pool(self):
        self.breach("runtime/server/run.cpp", '#include "weir/pool/detail/status.hpp"\n',
                    "1: server may not include pool ('weir/pool/detail/status.hpp')",
                    files={"include/weir/pool/detail/status.hpp": ONCE})

    def test_connection_does_not_know_workers(self):
        self.breach("runtime/connection/connection_state.cpp", '#include "weir/workers/detail/worker_pool.hpp"\n',
                    "1: connection may not include workers ('weir/workers/detail/worker_pool.hpp')",
                    files={"include/weir/workers/detail/worker_pool.hpp": ONCE})

    def test_the_umbrella_is_for_users(self):
        self.breach("runtime/server/run.cpp", '#include "weir/weir.hpp"\n',
                    "1: 'weir/weir.hpp' is for users: include what is needed",
                    files={"include/weir/weir.hpp": ONCE})

    def test_an_unknown_folder_and_a_missing_header_are_found(self):
        self.breach("runtime/helper/string.cpp", "",
                    "1: folder 'helper' is not in the table of tests/structure/includes.py")
        self.breach("runtime/base/log.cpp", '#include "weir/base/gone.hpp"\n', "1: 'weir/base/gone.hpp' does not exist")

    def test_code_before_the_fork_names_no_loop_thread_or_coroutine(self):
        for token in ("asio::io_context io;", "std::thread t;", "std::jthread t;", "co_return;", "#include <thread>",
                      "std::coroutine_handle<> h;", "pthread_create(a, b, c, d);"):
            with self.subTest(token):
                self.assertEqual(len(self.found({"runtime/process/master.cpp": token + "\n"})), 1)
        self.assertEqual(self.found({
            "runtime/listen/bound_socket.cpp": '// no thread, no io_context\nconst char* s = "thread // co_await";\n'
                                               "thread_local int n = 1'000;\n"}), [])
        self.assertEqual(self.found({"runtime/core/core.cpp": "std::thread t;\n"}), [])

    def test_conditionals_live_in_base(self):
        self.breach("runtime/io/epoll.cpp", "\n#if defined(X)\n#endif\n", "2: '#if' belongs into base")
        self.breach("include/weir/io/driver.hpp", ONCE + "# ifdef X\n#endif\n", "2: '#ifdef' belongs into base")
        self.assertEqual(self.found({"runtime/base/asio.cpp": "#if X\n#endif\n"}), [])

    def test_asio_has_one_door(self):
        door = {"include/weir/base/asio.hpp": ONCE + "#include <asio.hpp>\n",
                "runtime/base/asio.cpp": "#include <asio/impl/src.hpp>\n"}
        self.assertEqual(self.found(door), [])
        self.breach("runtime/core/core.cpp", "#include <asio/steady_timer.hpp>\n",
                    "1: 'asio/steady_timer.hpp': Asio comes in through weir/base/asio.hpp only")

    def test_private_libraries_stay_in_source_files(self):
        for header in ("toml++/toml.h", "CLI/CLI.hpp", "spdlog/spdlog.h", "hwloc.h", "openssl/ssl.h"):
            with self.subTest(header):
                self.assertEqual(len(self.found({"runtime/config/x.hpp": ONCE + f"#include <{header}>\n"})), 1)
                self.assertEqual(self.found({"runtime/config/x.cpp": f"#include <{header}>\n"}), [])

    def test_who_includes_a_header_at_any_distance_is_told(self):
        with self.tree({"include/weir/base/asio.hpp": ONCE, "include/weir/base/log.hpp": ONCE,
                        "include/weir/io/timer.hpp": ONCE + '#include "weir/base/asio.hpp"\n',
                        "include/weir/core/core.hpp": ONCE + '#include "weir/io/timer.hpp"\n// #include "weir/base/log.hpp"\n',
                        "runtime/core/core.cpp": '#include "weir/core/core.hpp"\n'}) as root:
            tree = includes.Tree(root)
            self.assertEqual(includes.including(tree, "weir/base/asio.hpp"),
                             ["weir/base/asio.hpp", "weir/core/core.hpp", "weir/io/timer.hpp"])
            self.assertEqual(includes.including(tree, "weir/base/log.hpp"), ["weir/base/log.hpp"])

    def test_a_header_is_read_once(self):
        self.breach("runtime/io/epoll.hpp", "#define X\n", "1: a header starts with '#pragma once'")


if __name__ == "__main__":
    sys.exit(unittest.main())
