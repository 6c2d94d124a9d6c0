#include "weir/config/detail/command_line.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <string>
#include <vector>

#include "weir/base/unique_fd.hpp"

using namespace weir;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

using words = std::vector<const char*>;

command_line parse(words arguments, words environment = {}, const program& what = {}) {
  arguments.insert(arguments.begin(), "echo");
  environment.push_back(nullptr);
  return parse_command_line(static_cast<int>(arguments.size()), arguments.data(), environment.data(), what);
}

std::vector<std::string> errors_of(words arguments, words environment = {}) {
  try {
    (void)parse(std::move(arguments), std::move(environment));
  } catch (const config_error& e) {
    return {e.messages().begin(), e.messages().end()};
  }
  return {};
}

std::vector<std::string> errors_in(std::string_view toml) {
  try {
    (void)parse_config(toml, "weir.toml");
  } catch (const config_error& e) {
    return {e.messages().begin(), e.messages().end()};
  }
  return {};
}

std::string only_error_in(std::string_view toml) {
  const auto all = errors_in(toml);
  REQUIRE(all.size() == 1);
  return all.front();
}

// A configuration file that lives as long as this object.
struct file {
  std::string path = "/tmp/weir-config-XXXXXX";
  explicit file(std::string_view text) {
    unique_fd fd(::mkostemp(path.data(), O_CLOEXEC));
    REQUIRE(fd);
    REQUIRE(::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }
  file(const file&) = delete;
  file& operator=(const file&) = delete;
  ~file() { ::unlink(path.c_str()); }
};

}  // namespace

TEST_CASE("nothing given gives the defaults, to run") {
  const auto got = parse({});
  CHECK(got.action == action::run);
  CHECK(got.settings == settings());
  CHECK(got.origin_of("listen") == "default");
}

TEST_CASE("a file sets every kind of key") {
  const auto s = parse_config(R"(
listen = ["127.0.0.1:80", "unix:/run/x.sock"]
model = "single-loop"
io = "epoll"
[cores]
use = [0, 2]
pin = false
[distribute]
policy = "two-choices"
[limits]
connections = 7
idle_timeout = "5m"
drain_timeout = "250ms"
[socket]
unix_mode = "0660"
[loop]
chunk_size = "32KiB"
[log]
level = "warning"
)",
                              "weir.toml");
  CHECK(s.listen == std::vector<std::string>{"127.0.0.1:80", "unix:/run/x.sock"});
  CHECK(s.model == model_kind::single_loop);
  CHECK(s.cores.use == "0,2");
  CHECK_FALSE(s.cores.pin);
  CHECK(s.distribute.policy == policy_kind::two_choices);
  CHECK(s.limits.connections == 7);
  CHECK(s.limits.idle_timeout == 5min);
  CHECK(s.limits.drain_timeout == 250ms);
  CHECK(s.socket.unix_mode == 0660);
  CHECK(s.loop.chunk_size == 32768);
  CHECK(s.log.level == log::level::warning);
}

TEST_CASE("one address may be a plain string, and sizes plain integers") {
  const auto s = parse_config("listen = \"*:80\"\n[loop]\nchunk_size = 4096\n", "weir.toml");
  CHECK(s.listen == std::vector<std::string>{"*:80"});
  CHECK(s.loop.chunk_size == 4096);
}

TEST_CASE("the command line beats the environment, which beats the file, which beats the default") {
  const file config("[limits]\nconnections = 1\ndrain_timeout = \"1s\"\nidle_timeout = \"1s\"\n");
  const auto got = parse({"--config", config.path.c_str(), "--set", "limits.connections=3"},
                         {"WEIR_LIMITS_CONNECTIONS=2", "WEIR_LIMITS_DRAIN_TIMEOUT=2s", "HOME=/root"});
  CHECK(got.settings.limits.connections == 3);
  CHECK(got.settings.limits.drain_timeout == 2s);
  CHECK(got.settings.limits.idle_timeout == 1s);
  CHECK(got.settings.loop.events == 512);
  CHECK(got.config_file == config.path);
}

TEST_CASE("each key remembers what set it") {
  const file config("io = \"epoll\"\n\n[limits]\nconnections = 1\n");
  const auto got = parse({"--config", config.path.c_str(), "--listen", "*:1", "--set", "loop.events=9"},
                         {"WEIR_LOG_LEVEL=debug"});
  CHECK(got.origin_of("limits.connections") == config.path + ":4");
  CHECK(got.origin_of("log.level") == "WEIR_LOG_LEVEL");
  CHECK(got.origin_of("listen") == "--listen");
  CHECK(got.origin_of("loop.events") == "--set loop.events");
  CHECK(got.origin_of("model") == "default");
}

TEST_CASE("common keys have flags of their own, and --listen repeats") {
  const auto s = parse({"--listen", "[::1]:80", "--listen=unix:@x", "--model", "single-loop", "--io", "epoll",
                        "--cores", "0-1", "--policy", "ip-hash"})
                     .settings;
  CHECK(s.listen == std::vector<std::string>{"[::1]:80", "unix:@x"});
  CHECK(s.model == model_kind::single_loop);
  CHECK(s.cores.use == "0-1");
  CHECK(s.distribute.policy == policy_kind::ip_hash);
}

TEST_CASE("of two options about one key the later wins") {
  CHECK(parse({"--set", "model=serial", "--model", "single-loop"}).settings.model == model_kind::single_loop);
  CHECK(parse({"--model", "single-loop", "--set", "model=serial"}).settings.model == model_kind::serial);
}

TEST_CASE("the environment gives lists with commas and booleans as words") {
  const auto s =
      parse({}, {"WEIR_LISTEN=*:1,*:2", "WEIR_CORES_PIN=false", "WEIR_SOCKET_UNIX_MODE=0666"}).settings;
  CHECK(s.listen == std::vector<std::string>{"*:1", "*:2"});
  CHECK_FALSE(s.cores.pin);
  CHECK(s.socket.unix_mode == 0666);
}

TEST_CASE("an unknown key is an error with its line and the nearest key") {
  CHECK(only_error_in("[limits]\n\nconections = 5\n") ==
        "weir.toml:3: limits.conections: unknown key; did you mean \"limits.connections\"?");
  CHECK(only_error_in("connections = 5\n") ==
        "weir.toml:1: connections: unknown key; did you mean \"limits.connections\"?");
  CHECK(only_error_in("[zebra]\n") == "weir.toml:1: zebra: unknown key");
}

TEST_CASE("a value out of range is an error with the range") {
  CHECK(only_error_in("[limits]\nconnections = 0\n") ==
        "weir.toml:2: limits.connections: 0 is out of range; allowed: 1..10000000 connections");
  CHECK(only_error_in("[limits]\nidle_timeout = \"25h\"\n") ==
        "weir.toml:2: limits.idle_timeout: \"25h\" is out of range; allowed: 0s..24h");
  CHECK(only_error_in("[loop]\nchunk_size = \"2MiB\"\n") ==
        "weir.toml:2: loop.chunk_size: \"2MiB\" is out of range; allowed: 512..1MiB bytes");
  CHECK(only_error_in("[socket]\nunix_mode = \"4755\"\n") ==
        "weir.toml:2: socket.unix_mode: \"4755\" is out of range; allowed: \"0000\"..\"0777\", octal");
}

TEST_CASE("a value of the wrong type is an error that says which") {
  CHECK_THAT(only_error_in("[limits]\nconnections = \"5\"\n"), Contains("expected an integer, found \"5\""));
  CHECK_THAT(only_error_in("[limits]\nconnections = 5.5\n"), Contains("expected an integer, found a float"));
  CHECK_THAT(only_error_in("[limits]\nidle_timeout = 60\n"),
             Contains("expected a duration in h, m, s or ms"));
  CHECK_THAT(only_error_in("[socket]\nunix_mode = 600\n"), Contains("octal string, such as \"0600\""));
  CHECK_THAT(only_error_in("[cores]\npin = \"true\"\n"), Contains("expected a boolean"));
  CHECK_THAT(only_error_in("listen = []\n"), Contains("expected addresses, found []"));
  CHECK_THAT(only_error_in("[model]\nx = 1\n"),
             Contains("weir.toml:1: model: expected a string, found a table"));
  CHECK_THAT(only_error_in("limits = 3\n"), Contains("weir.toml:1: limits: is a section; write [limits]"));
}

TEST_CASE("a duration may have a fraction, and several units from the largest to the smallest") {
  const auto idle = [](const std::string& text) {
    return parse({"--set", ("limits.idle_timeout=" + text).c_str()}).settings.limits.idle_timeout;
  };
  CHECK(idle("1h30m") == 90min);
  CHECK(idle("1m30s500ms") == 90500ms);
  CHECK(idle("1.5s") == 1500ms);
  CHECK(idle("0.25h") == 15min);
  CHECK(idle("1m0.5s") == 60500ms);
}

TEST_CASE("a duration that cannot be kept is an error that lists the units") {
  const auto error = [](const std::string& text) {
    return errors_of({"--set", ("limits.idle_timeout=" + text).c_str()}).at(0);
  };
  CHECK(error("60") ==
        "--set limits.idle_timeout: expected a duration in h, m, s or ms, such as \"60s\", \"1h30m\" or "
        "\"1.5s\", found \"60\"; allowed: 0s..24h");
  for (const auto* text : {"", "s", "1", "100us", "1.5ms", "0.0001s", "30m1h", "1m1m", "1.s", ".5s", "1.5.5s",
                           "-1s", "+1s", "1 s", "1s ", "1e3s", "1h30"})
    CHECK_THAT(error(text), Contains("in h, m, s or ms"));
}

TEST_CASE("a size may have a fraction that comes to whole bytes") {
  const auto size = [](const std::string& text) {
    return parse({"--set", ("loop.chunk_size=" + text).c_str()}).settings.loop.chunk_size;
  };
  CHECK(size("1.5KiB") == 1536);
  CHECK(size("0.5MiB") == 524288);
  const auto error = [](const std::string& text) {
    return errors_of({"--set", ("loop.chunk_size=" + text).c_str()}).at(0);
  };
  for (const auto* text : {"16K", "16kB", "1.5", "0.3KiB", "1KiB1", "1MiB512KiB", ""})
    CHECK_THAT(error(text), Contains("expected bytes, such as 16384, \"16KiB\", \"1.5MiB\" or \"1GiB\""));
}

TEST_CASE("a number beyond 64 bits is out of range, wherever it is written") {
  CHECK(only_error_in("[limits]\nconnections = 99999999999999999999\n") ==
        "weir.toml:2: limits.connections: 99999999999999999999 is out of range; allowed: 1..10000000 "
        "connections");
  CHECK_THAT(only_error_in("[limits]\nconnections = -99_999_999_999_999_999_999\n"),
             Contains("-99999999999999999999 is out of range"));
  CHECK_THAT(only_error_in("[loop]\nchunk_size = \"99999999999999999999GiB\"\n"),
             Contains("is out of range"));
  CHECK_THAT(only_error_in("[limits]\nstall = \"99999999999999999999h\"\n"), Contains("is out of range"));
  CHECK_THAT(only_error_in("[limits]\nstall = \"9999999999999999h9999999999999m\"\n"),
             Contains("is out of range"));
  CHECK_THAT(errors_of({"--set", "limits.connections=99999999999999999999"}).at(0),
             Contains("99999999999999999999 is out of range"));
  CHECK_THAT(errors_of({"--processes", "99999999999999999999"}).at(0), Contains("is out of range"));
}

TEST_CASE("a number beyond 64 bits hides no other error of the file") {
  const auto all = errors_in(
      "distribute = { policy = \"\u00e9\u00e8\", seed = 99999999999999999999 }\n"
      "[limits]\n"
      "connections = 99999999999999999999 # too many\n"
      "colour = 1\n"
      "[cores]\n"
      "use = [0, 18446744073709551616]\n"
      "[workers]\n"
      "count = 0\n"
      "queue = 18446744073709551616\n");
  REQUIRE(all.size() == 6);
  for (const auto* message : {"weir.toml:1: distribute.policy: ",
                              "weir.toml:1: distribute.seed: 99999999999999999999 is out of range",
                              "weir.toml:3: limits.connections: 99999999999999999999 is out of range",
                              "weir.toml:4: limits.colour: unknown key",
                              "weir.toml:8: workers.count: 0 is out of range; allowed: 1..1024 threads",
                              "weir.toml:9: workers.queue: 18446744073709551616 is out of range"})
    CHECK(std::ranges::count_if(all, [&](const std::string& m) { return m.starts_with(message); }) == 1);
}

TEST_CASE("options and keys of other servers are answered with weir's own") {
  const auto of = [](const char* option) { return errors_of({option, "8"}); };
  CHECK(of("--port") == std::vector<std::string>{"--port: unknown option; write --listen ADDRESS:PORT"});
  CHECK(of("-p") == std::vector<std::string>{"-p: unknown option; write --listen ADDRESS:PORT"});
  CHECK(errors_of({"--port=8"}) ==
        std::vector<std::string>{"--port: unknown option; write --listen ADDRESS:PORT"});
  CHECK(of("--threads") == std::vector<std::string>{
                               "--threads: unknown option; loops: --cores LIST; threads for handlers: --set "
                               "workers.count=N"});
  CHECK(of("--workers") ==
        std::vector<std::string>{
            "--workers: unknown option; worker processes: --model process-pool --processes N; threads for "
            "handlers: --set workers.count=N"});
  CHECK(only_error_in("port = 80\n") == "weir.toml:1: port: unknown key; write listen = \"ADDRESS:PORT\"");
  CHECK(only_error_in("threads = 4\n") ==
        "weir.toml:1: threads: unknown key; loops: cores.use; threads for handlers: workers.count");
  CHECK(errors_of({"--set", "port=80"}) ==
        std::vector<std::string>{"--set port: unknown key; write listen = \"ADDRESS:PORT\""});
}

TEST_CASE("settings that a program fills in are held to the same ranges") {
  CHECK_NOTHROW(check_settings(settings()));
  settings s;
  s.limits.connections = 0;
  s.workers.count = 0;
  s.limits.idle_timeout = -1ms;
  s.processes.pid_file = "here";
  s.listen = {};
  try {
    check_settings(s);
    FAIL("accepted");
  } catch (const config_error& e) {
    const std::string all = e.what();
    CHECK(e.messages().size() == 5);
    CHECK_THAT(all,
               Contains("settings: limits.connections: 0 is out of range; allowed: 1..10000000 connections"));
    CHECK_THAT(all, Contains("settings: workers.count: 0 is out of range; allowed: 1..1024 threads"));
    CHECK_THAT(all, Contains("limits.idle_timeout"));
    CHECK_THAT(all, Contains("processes.pid_file"));
    CHECK_THAT(all, Contains("listen"));
  }
}

TEST_CASE("a misspelt word is an error with the allowed ones and the nearest") {
  CHECK(only_error_in("[distribute]\npolicy = \"round-robbin\"\n") ==
        "weir.toml:2: distribute.policy: \"round-robbin\" is none of: round-robin, least-connections, "
        "two-choices, "
        "random, ip-hash, kernel, compete; did you mean \"round-robin\"?");
}

TEST_CASE("a syntax error names file and line") {
  CHECK_THAT(only_error_in("! the rest of the file is of no importance\n"), Contains("weir.toml:1: "));
  CHECK_THAT(only_error_in("io = \"epoll\"\nmodel = \n"), Contains("weir.toml:2: "));
}

TEST_CASE("errors of every source are reported together") {
  const file config("[limits]\nconnections = 0\ncolour = 1\n");
  const auto all = errors_of(
      {"--config", config.path.c_str(), "--set", "loop.events=x", "--model", "seriel", "--lisen", "x"},
      {"WEIR_LIMITS_CONECTIONS=5", "WEIR_CORES_PIN=yes"});
  REQUIRE(all.size() == 8);
  CHECK_THAT(all[0], Contains(config.path + ":3: limits.colour"));
  CHECK_THAT(all[1], Contains(config.path + ":2: limits.connections"));
  CHECK(all[2] == "WEIR_LIMITS_CONECTIONS: unknown variable; did you mean \"WEIR_LIMITS_CONNECTIONS\"?");
  CHECK_THAT(all[3], Contains("WEIR_CORES_PIN: expected a boolean, found \"yes\""));
  CHECK_THAT(all[4],
             Contains("--set loop.events: expected an integer, found \"x\"; allowed: 1..65536 events"));
  CHECK_THAT(all[5], Contains("--model: \"seriel\" is none of: serial,"));
  CHECK(all[6] == "--lisen: unknown option; did you mean \"--listen\"?; see --help");
  CHECK_THAT(all[7], Contains("x: unknown argument"));
}

TEST_CASE("a file that cannot be read is an error that names it") {
  CHECK(errors_of({"--config", "/nowhere/weir.toml"}) ==
        std::vector<std::string>{"/nowhere/weir.toml: cannot be read: No such file or directory"});
  CHECK(errors_of({"--config", "/tmp"}) == std::vector<std::string>{"/tmp: cannot be read: Is a directory"});
}

TEST_CASE("a key written as an option of its own is led to --set") {
  CHECK(errors_of({"--limits.connections=5"}) ==
        std::vector<std::string>{
            "--limits.connections: no option of its own; write --set limits.connections=..."});
}

TEST_CASE("an option without its value is an error") {
  const auto all = errors_of({"--model"}, {"WEIR_IO=x"});
  REQUIRE(all.size() == 2);
  CHECK(all[0] == "--model: its value is missing; see --help");
  CHECK_THAT(all[1], Contains("WEIR_IO"));
}

TEST_CASE("a program takes arguments of its own from what is left") {
  std::string root;
  program what;
  what.take = [&](std::span<const std::string> rest) -> std::size_t {
    if (rest.size() < 2 || rest[0] != "--root") return 0;
    root = rest[1];
    return 2;
  };
  const auto got = parse({"--root", "/srv", "--model", "single-loop"}, {}, what);
  CHECK(root == "/srv");
  CHECK(got.settings.model == model_kind::single_loop);
  CHECK_THROWS_WITH(parse({"--root", "/srv", "--rot", "/"}, {}, what), Contains("--rot: unknown option"));
}

TEST_CASE("a program has defaults of its own, which everything else beats") {
  program what;
  what.defaults.listen = {"127.0.0.1:6380"};
  what.defaults.model = model_kind::single_loop;
  what.defaults.limits.idle_timeout = 0ms;
  const auto given = parse({"--model", "serial"}, {"WEIR_LIMITS_IDLE_TIMEOUT=5s"}, what);
  CHECK(given.settings.listen == std::vector<std::string>{"127.0.0.1:6380"});
  CHECK(given.settings.model == model_kind::serial);
  CHECK(given.settings.limits.idle_timeout == 5s);
  CHECK(parse({}, {}, what).settings == what.defaults);
  CHECK(parse({}, {}, what).origin_of("model") == "default");
  CHECK_THAT(help_text(what), Contains("default \"single-loop\""));
  CHECK_THAT(print_config(what.defaults, what.defaults),
             Contains("default \"single-loop\"\nmodel = \"single-loop\""));
}

TEST_CASE("every action has its flag") {
  CHECK(parse({"-h"}).action == action::help);
  CHECK(parse({"--version"}).action == action::version);
  CHECK(parse({"--check"}).action == action::check);
  CHECK(parse({"--print-config"}).action == action::print_config);
  CHECK(parse({"--plan"}).action == action::plan);
  CHECK(parse({"--list-models"}).action == action::list_models);
  CHECK_THAT(errors_of({"--check", "--plan"}).at(0), Contains("only one of"));
}

TEST_CASE("help is given whatever else is wrong") {
  CHECK(parse({"--help", "--config", "/nowhere/weir.toml", "--no-such"}, {"WEIR_NONSENSE=1"}).action ==
        action::help);
}

TEST_CASE("help tells every flag and every key with its range and default") {
  program what;
  what.name = "echo";
  what.options = "  --root DIR   files to serve";
  const auto text = help_text(what);
  for (const auto* word :
       {"--config FILE", "--listen ADDRESS", "--model NAME", "--io NAME", "--cores LIST", "--policy NAME",
        "--set KEY=VALUE", "--print-config", "--check", "--plan", "--list-models", "--root DIR",
        "limits.connections", "1..10000000 connections; default 10000", "0s..24h; default \"60s\"",
        "Exit codes: 0 clean, 1 could not start or a service failed, 2 misuse", "or jobs were cut"})
    CHECK_THAT(text, Contains(word));
}

TEST_CASE("the version names program and runtime") {
  program what;
  what.name = "echo";
  what.version = "2.1";
  CHECK_THAT(version_text(what), Contains("echo 2.1 (weir 0."));
}

TEST_CASE("a printed configuration reads back as the same settings") {
  settings s;
  s.listen = {"*:80", "unix:/tmp/a \"b\"\\c"};
  s.model = model_kind::process_pool;
  s.cores.use = "0,2";
  s.limits.idle_timeout = 0ms;
  s.limits.drain_timeout = 1500ms;
  s.loop.chunk_size = 1000;
  s.socket.unix_mode = 0007;
  s.log.level = log::level::off;
  const auto text = print_config(s);
  CHECK(parse_config(text, "printed") == s);
  CHECK(parse_config(print_config(settings()), "printed") == settings());
  CHECK_THAT(text, Contains("# connections open at once; at the limit no more are accepted\n# 1..10000000 "
                            "connections; default 10000\n"
                            "connections = 10000\n"));
}

TEST_CASE(
    "what becomes of clients beyond a limit, and of a handler that spins, is set like everything else") {
  const auto s = parse({"--set", "limits.excess=refuse", "--set", "limits.connections_per_ip=3", "--set",
                        "limits.stall=100ms", "--set", "distribute.seed=7"})
                     .settings;
  CHECK(s.limits.excess == excess_kind::refuse);
  CHECK(s.limits.connections_per_ip == 3);
  CHECK(s.limits.stall == 100ms);
  CHECK(s.distribute.seed == 7);
  CHECK(parse_config(print_config(s), "printed") == s);
  CHECK(parse({}, {"WEIR_LIMITS_EXCESS=wait", "WEIR_LIMITS_STALL=2s"}).settings.limits.stall == 2s);

  CHECK_THAT(errors_of({"--set", "limits.excess=drop"}).at(0),
             Contains("limits.excess") && Contains("refuse"));
  CHECK_THAT(errors_of({"--set", "limits.connections_per_ip=-1"}).at(0), Contains("0..10000000"));
  CHECK_THAT(errors_of({"--set", "limits.stall=100"}).at(0), Contains("limits.stall"));
}

TEST_CASE("the models of workers are a list of names, one name, or none") {
  using kinds = std::vector<model_kind>;
  CHECK(parse_config("[processes]\nmodels = [\"serial\", \"loop-per-core\"]\n", "f").processes.models ==
        kinds{model_kind::serial, model_kind::loop_per_core});
  CHECK(parse_config("[processes]\nmodels = \"serial\"\n", "f").processes.models ==
        kinds{model_kind::serial});
  CHECK(parse_config("[processes]\nmodels = []\n", "f").processes.models.empty());
  const auto s =
      parse({"--set", "processes.models=single-loop,thread-per-event", "--set", "processes.model=serial"})
          .settings;
  CHECK(s.processes.model_of(0) == model_kind::single_loop);
  CHECK(s.processes.model_of(3) == model_kind::thread_per_event);
  CHECK(parse({"--set", "processes.model=serial"}).settings.processes.model_of(3) == model_kind::serial);
  CHECK(parse_config(print_config(s), "printed") == s);
  CHECK_THAT(errors_of({"--set", "processes.models=serial,loop"}).at(0),
             Contains("processes.models") && Contains("\"loop\""));
}

TEST_CASE("a comparison and a recording are asked for by flags of their own") {
  const auto asked = parse({"--compare", "wrk http://{address}/"});
  CHECK((asked.action == action::compare && asked.compare == "wrk http://{address}/"));
  CHECK(parse({"--record", "/tmp/x"}).settings.record.file == "/tmp/x");
  CHECK_THAT(errors_of({"--compare", "x", "--plan"}).at(0), Contains("--compare"));
  CHECK_THAT(errors_of({"--record", "x"}).at(0), Contains("absolute"));
  CHECK_THAT(errors_of({"--set", "record.redact=a b"}).at(0), Contains("record.redact"));
}
