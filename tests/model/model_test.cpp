#include "weir/model/model.hpp"

#include <catch2/catch.hpp>

using namespace weir;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

TEST_CASE("each kind has its own row with every answer") {
  for (const auto& each : names<model_kind>) {
    const auto& row = row_of(each.value);
    CHECK(row.name() == each.name);
    for (const auto answer : {row.accepts, row.does_io, row.runs_handler, row.in_the_wild, row.advice})
      CHECK_FALSE(answer.empty());
  }
}

TEST_CASE("state per core is refused where handlers do not run on cores") {
  for (const auto& row : model_table) {
    settings s;
    s.model = row.kind;
    const bool wrong = !row.handlers_run_on_loops();
    CHECK(check(s, state_kind::per_core).has_value() == wrong);
    CHECK_FALSE(check(s, state_kind::per_process));
  }
  settings s;
  s.model = model_kind::loop_with_workers;
  REQUIRE(check(s, state_kind::per_core));
  CHECK(check(s, state_kind::per_core)->key == "model");
  CHECK_THAT(check(s, state_kind::per_core)->text, Contains("without locks") && Contains("\"single-loop\""));
}

TEST_CASE("a recorder is refused where threads wait within their turns") {
  for (const model_row& row : model_table) {
    settings s;
    s.model = row.kind;
    s.observe.recorder = 65536;
    const auto refused = check(s);
    CHECK((refused && refused->key == "observe.recorder") == row.io_blocks);
  }
}

TEST_CASE("every model runs with its defaults") {
  for (const auto& row : model_table) {
    settings s;
    s.model = row.kind;
    CHECK_FALSE(check(s));
  }
}

TEST_CASE("the kernel does not choose for a single loop") {
  settings s;
  s.distribute.policy = policy_kind::kernel;
  CHECK_FALSE(check(s));
  s.model = model_kind::single_loop;
  REQUIRE(check(s));
  CHECK(check(s)->key == "distribute.policy");
  CHECK_THAT(check(s)->text, Contains("has one") && Contains("\"loop-per-core\""));
}

TEST_CASE("the kernel does not spread unix and inherited sockets") {
  for (const auto* address : {"unix:/run/x.sock", "fd:3"}) {
    settings s;
    s.listen = {"127.0.0.1:80", address};
    CHECK_FALSE(check(s));
    s.distribute.policy = policy_kind::kernel;
    REQUIRE(check(s));
    CHECK_THAT(check(s)->text, Contains(address));
  }
}

TEST_CASE("pinning incoming connections needs the kernel's choice and pinned loops") {
  settings s;
  s.distribute.pin_incoming = true;
  REQUIRE(check(s));
  CHECK_THAT(check(s)->text, Contains("\"least-connections\" chooses here"));
  s.distribute.policy = policy_kind::kernel;
  CHECK_FALSE(check(s));
  s.cores.pin = false;
  REQUIRE(check(s));
  CHECK_THAT(check(s)->text, Contains("cores.pin = true"));
}

TEST_CASE("the list shows every model and marks those that do not run") {
  const auto text = list_models();
  CHECK_THAT(text, StartsWith("serial\n  accepts:      the one thread"));
  CHECK_THAT(text, Contains("\nloop-per-core\n") && Contains("\nprocess-pool"));
  CHECK_THAT(text, Contains("in the wild:  Redis"));
}

TEST_CASE("a worker is of any model that its way to accept can serve") {
  for (const auto& mode : names<accept_kind>)
    for (const auto& row : model_table) {
      settings s;
      s.model = model_kind::process_pool;
      s.processes.accept = mode.value;
      s.processes.model = row.kind;
      const bool asks = mode.value == accept_kind::shared || mode.value == accept_kind::mutex;
      const bool runs = row.in_pool == as_worker::always || (row.in_pool == as_worker::if_it_asks && asks);
      CAPTURE(mode.name, row.name());
      CHECK(check(s).has_value() != runs);
      if (!runs) CHECK(check(s)->key == "processes.model");
    }
}

TEST_CASE("worker i is of model i modulo the number of models") {
  settings s;
  s.model = model_kind::process_pool;
  CHECK(models_of(s) == std::vector{model_kind::loop_per_core});
  s.processes.models = {model_kind::single_loop, model_kind::thread_per_event, model_kind::single_loop};
  CHECK(models_of(s) == std::vector{model_kind::single_loop, model_kind::thread_per_event});
  CHECK(settings_of_worker(s, 4).model == model_kind::thread_per_event);
  s.model = model_kind::serial;
  CHECK(models_of(s) == std::vector{model_kind::serial});
}

TEST_CASE("every model of a pool's workers is checked") {
  settings s;
  s.model = model_kind::process_pool;
  s.processes.models = {model_kind::loop_per_core, model_kind::loop_with_workers};
  CHECK_FALSE(check(s));
  REQUIRE(check(s, state_kind::per_core));
  CHECK(check(s, state_kind::per_core)->key == "processes.models");
  s.io = io_kind::io_uring;
  CHECK_FALSE(check(s));
  s.workers.io = worker_io_kind::worker;
  REQUIRE(check(s));
  CHECK(check(s)->key == "io");
  s.io = io_kind::epoll;
  s.processes.count = 1;
  REQUIRE(check(s));
  CHECK_THAT(check(s)->text, Contains("processes.count = 2"));
  s.processes.models = {model_kind::single_loop};
  s.processes.loops = 2;
  REQUIRE(check(s));
  CHECK(check(s)->key == "processes.loops");
  s.processes = {};
  s.processes.model = model_kind::thread_per_connection;
  s.listen = {"127.0.0.1:80", "127.0.0.1:81"};
  CHECK_FALSE(check(s));
  s.workers.most = 1;
  REQUIRE(check(s));
  CHECK_THAT(check(s)->text, Contains("workers.most = 2"));
}

TEST_CASE("a pool is refused what its way to accept cannot do") {
  settings s;
  s.model = model_kind::process_pool;
  CHECK_FALSE(check(s));

  s.distribute.policy = policy_kind::kernel;
  REQUIRE(check(s));
  CHECK_THAT(check(s)->text, Contains("the master's"));

  s.distribute.policy = policy_kind::ip_hash;
  s.processes.accept = accept_kind::notify;
  REQUIRE(check(s));
  CHECK_THAT(check(s)->text, Contains("\"dispatch\""));
  s.processes.accept = accept_kind::dispatch;
  CHECK_FALSE(check(s));

  s.distribute.policy = policy_kind::compete;
  REQUIRE(check(s));
  CHECK_THAT(check(s)->text, Contains("\"notify\""));
  s.processes.accept = accept_kind::notify;
  CHECK_FALSE(check(s));
  s.distribute.policy = policy_kind::ip_hash;

  s.processes.accept = accept_kind::reuseport;
  CHECK_FALSE(check(s));
  s.listen = {"127.0.0.1:80", "unix:/run/x.sock"};
  REQUIRE(check(s));
  CHECK(check(s)->key == "processes.accept");

  s.processes.accept = accept_kind::shared;
  s.limits.connections = 1;
  REQUIRE(check(s));
  CHECK_THAT(check(s)->text, Contains("limits.connections = 2"));
}
