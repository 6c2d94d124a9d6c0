#include "weir/server/run.hpp"

#include <signal.h>

#include <catch2/catch.hpp>

#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "output.hpp"
#include "sockets.hpp"
#include "weir/config/detail/command_line.hpp"
#include "weir/core/sleep.hpp"

using namespace weir;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

namespace {

struct result {
  int code;
  std::string out;
  std::string error;
};

task<> echo(connection c) {
  while (auto data = co_await c.receive()) co_await c.send(data);
}

result run_with(std::vector<std::string> arguments, const connection_handler& handler = echo,
                const program& what = {}) {
  arguments.insert(arguments.begin(), "/usr/bin/tried");
  std::vector<char*> argv;
  for (auto& a : arguments) argv.push_back(a.data());
  argv.push_back(nullptr);
  const test::output out(1);
  const test::output error(2);
  const int code = run(static_cast<int>(arguments.size()), argv.data(), handler, what);
  return {code, out.text(), error.text()};
}

struct config_file {
  explicit config_file(std::string_view text) {
    const unique_fd fd(::mkstemp(path.data()));
    std::ofstream(path) << text;
  }
  config_file(const config_file&) = delete;
  config_file& operator=(const config_file&) = delete;
  ~config_file() { ::unlink(path.c_str()); }
  std::string path = "/tmp/weir-run-XXXXXX";
};

}  // namespace

TEST_CASE("asked with --help, run tells how to use the program by its name, and that is a success") {
  const auto r = run_with({"--help"});
  CHECK(r.code == 0);
  CHECK_THAT(r.out, Contains("tried") && Contains("--listen") && Contains("--config") && Contains("--check"));
  CHECK(r.error.empty());
}

TEST_CASE("asked with --version, run tells the program's version and weir's") {
  program what;
  what.name = "shop";
  what.version = "4.2";
  const auto r = run_with({"--version"}, echo, what);
  CHECK(r.code == 0);
  CHECK_THAT(r.out, Contains("shop") && Contains("4.2") && Contains("weir"));
}

TEST_CASE("asked with --check, run judges a configuration without serving") {
  const config_file good("listen = [\"127.0.0.1:0\"]\n[limits]\nconnections = 5\n");
  const auto r = run_with({"--config", good.path, "--check"});
  CHECK(r.code == 0);
  CHECK_THAT(r.out, Contains("valid"));
  CHECK(r.error.empty());
}

TEST_CASE("asked with --print-config, run prints what reads back as the same settings") {
  const auto r = run_with({"--listen", "127.0.0.1:7777", "--set", "limits.connections=77", "--print-config"});
  CHECK(r.code == 0);
  const auto read = parse_config(r.out, "printed");
  CHECK(read.listen == std::vector<std::string>{"127.0.0.1:7777"});
  CHECK(read.limits.connections == 77);
}

TEST_CASE("asked with --plan, run prints and does not serve") {
  const auto plan = run_with({"--plan"});
  CHECK(plan.code == 0);
  CHECK_THAT(plan.out, StartsWith("model"));
}

TEST_CASE("a bad configuration is exit code 2, with every mistake and its place on standard error") {
  const config_file bad("listen = [\"127.0.0.1:0\"]\nmodle = \"serial\"\n[limits]\nconnections = -1\n");
  for (const bool check : {true, false}) {
    const auto r = check ? run_with({"--config", bad.path, "--check"}) : run_with({"--config", bad.path});
    CHECK(r.code == 2);
    CHECK(r.out.empty());
    CHECK_THAT(r.error, StartsWith("tried: ") && Contains(bad.path + ":2") && Contains("modle") &&
                            Contains(bad.path + ":4") && Contains("limits.connections"));
  }
}

TEST_CASE("a wrong address, a missing file and an unknown option are exit code 2") {
  auto r = run_with({"--listen", "nonsense"});
  CHECK(r.code == 2);
  CHECK_THAT(r.error, Contains("--listen") && Contains("nonsense"));
  r = run_with({"--config", "/nonexistent/weir.toml"});
  CHECK(r.code == 2);
  CHECK_THAT(r.error, Contains("/nonexistent/weir.toml"));
  r = run_with({"--no-such-option"});
  CHECK(r.code == 2);
  CHECK_THAT(r.error, Contains("--no-such-option"));
}

TEST_CASE("a server that cannot start is exit code 1, and the error names the address") {
  const auto taken = bound_socket::bind(endpoint::parse("127.0.0.1:0"), {});
  const auto r = run_with({"--listen", taken.local().to_string()});
  CHECK(r.code == 1);
  CHECK_THAT(r.error, Contains("tried: bind " + taken.local().to_string()));
}

TEST_CASE("run serves until SIGTERM or SIGINT, lets handlers finish and returns 0") {
  for (const int signal : {SIGTERM, SIGINT}) {
    auto listener = bound_socket::bind(endpoint::parse("127.0.0.1:0"), {});
    const auto at = listener.local();
    test::client c(at);  // waits in the kernel's queue
    std::string got;
    bool closed = false;
    std::jthread other([&] {
      if (c.send("hello")) got = c.receive(5);
      ::kill(::getpid(), signal);
      closed = c.is_closed();
    });
    const auto r = run_with({"--listen", "fd:" + std::to_string(::dup(listener.get()))});
    other.join();
    CHECK(r.code == 0);
    CHECK(got == "hello");
    CHECK(closed);
    CHECK_THAT(r.error, Contains("listening on " + at.to_string()) &&
                            Contains("stopping, 1 connections open") &&
                            Contains("stopped after 1 connections"));
  }
}

TEST_CASE("SIGQUIT is a drain however often it comes, also after SIGTERM, and SIGTERM after it cuts") {
  const std::vector<std::pair<std::vector<int>, int>> cases{
      {{SIGQUIT, SIGQUIT}, 0}, {{SIGTERM, SIGQUIT}, 0}, {{SIGQUIT, SIGTERM}, 3}, {{SIGINT, SIGTERM}, 3}};
  for (const auto& [signals, code] : cases) {
    auto listener = bound_socket::bind(endpoint::parse("127.0.0.1:0"), {});
    test::client c(listener.local());
    // Answers the second half of a request although the server stops.
    const auto handler = [](connection client) -> task<> {
      co_await client.send("1");
      std::array<char, 8> request;
      if (co_await client.read_exactly(std::as_writable_bytes(std::span(request)))) co_await client.send("2");
    };
    std::string answer;
    std::jthread other([&, &all = signals, cut = code != 0] {
      if (c.receive(1).empty() || !c.send("half")) return;
      for (const int each : all) {
        ::kill(::getpid(), each);
        // Taken, and the loop has turned.
        for (sigset_t pending; ::sigpending(&pending) == 0 && sigismember(&pending, each) == 1;)
          std::this_thread::sleep_for(1ms);
      }
      if (!cut && c.send("half")) answer = c.receive(1);
    });
    const auto r = run_with({"--listen", "fd:" + std::to_string(::dup(listener.get()))}, handler);
    other.join();
    CHECK(r.code == code);
    CHECK(answer == (code == 0 ? "2" : ""));
  }
}

TEST_CASE("a second signal does not wait for handlers") {
  auto listener = bound_socket::bind(endpoint::parse("127.0.0.1:0"), {});
  test::client c(listener.local());
  const auto stubborn = [](connection client) -> task<> {
    co_await client.send("1");
    static_cast<void>(co_await client.receive());  // until the server stops
    co_await client.send("2");
    co_await sleep_for(1h);
  };
  std::jthread other([&] {
    for (int i = 0; i < 2; ++i)
      if (c.receive(1).size() == 1) ::kill(::getpid(), SIGTERM);
  });
  const auto r = run_with({"--listen", "fd:" + std::to_string(::dup(listener.get()))}, stubborn);
  CHECK(r.code == 3);
  CHECK_THAT(r.error, Contains("1 connections were cut"));
}

TEST_CASE("asked with --help, run tells its exit codes") {
  CHECK_THAT(run_with({"--help"}).out,
             Contains("Exit codes: 0") && Contains("3 stopped as told, but connections"));
}

TEST_CASE(
    "an address that is listed twice and a log file that cannot be made are refused with file, line and "
    "key") {
  const config_file bad(
      "listen = [\"127.0.0.1:7000\", \"127.0.0.1:7000\"]\n[log]\nfile = \"/nonexistent/weir/log\"\n");
  for (const bool check : {true, false}) {
    const auto r = check ? run_with({"--config", bad.path, "--check"}) : run_with({"--config", bad.path});
    CHECK(r.code == 2);
    CHECK_THAT(r.error,
               Contains(bad.path + ":1: listen: \"127.0.0.1:7000\" is listed twice") &&
                   Contains(bad.path + ":3: log.file: \"/nonexistent/weir/log\" cannot be written") &&
                   Contains("No such file"));
  }
  CHECK(run_with({"--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--check"}).code == 0);
  CHECK(run_with({"--set", "log.file=/tmp", "--check"}).code == 2);
}

TEST_CASE("limits of zero are refused, wherever they were set") {
  for (const std::string key : {"limits.connections", "workers.count"}) {
    const auto r = run_with({"--set", key + "=0", "--check"});
    CHECK(r.code == 2);
    CHECK_THAT(r.error, Contains(key));
  }
  program what;
  what.defaults.limits.connections = 0;
  const auto r = run_with({"--check"}, echo, what);
  CHECK(r.code == 2);
  CHECK_THAT(r.error, Contains("limits.connections"));
}
