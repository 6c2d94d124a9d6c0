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
