#include "weir/compare/detail/candidates.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

#include "weir/config/detail/command_line.hpp"

using namespace weir;
using Catch::Matchers::Contains;
using compare::candidate;
using compare::candidates;

namespace {

const candidate* find(const std::vector<candidate>& all, std::string_view name) {
  const auto at = std::find_if(all.begin(), all.end(), [&](const candidate& c) { return c.name == name; });
  return at == all.end() ? nullptr : &*at;
}

}  // namespace

TEST_CASE(
    "every model is a candidate, over io_uring where its loops do the I/O, with few and with many workers") {
  const auto all = candidates({}, state_kind::per_connection, 2, "");
  for (const auto* name :
       {"serial", "thread-per-connection", "single-loop", "single-loop, io_uring", "loop-per-core",
        "loop-per-core, io_uring", "process-pool, 2 workers", "process-pool, 2 workers, io_uring",
        "thread-per-event", "loop-with-workers, io by the loop, 4 workers",
        "loop-with-workers, io by the loop, 32 workers, io_uring",
        "loop-with-workers, io by the worker, 32 workers"}) {
    CAPTURE(name);
    REQUIRE(find(all, name) != nullptr);
    CHECK(find(all, name)->refused.empty());
  }
  CHECK(find(all, "serial, io_uring") == nullptr);
  CHECK(find(all, "loop-with-workers, io by the worker, 32 workers, io_uring") == nullptr);
}

TEST_CASE("where many workers are configured, no fewer are tried") {
  settings s;
  for (const std::uint32_t count : {32U, 100U}) {
    s.workers.count = count;
    const auto all = candidates(s, state_kind::per_connection, 2, "");
    CHECK(find(all, "loop-with-workers, io by the worker, " + std::to_string(count) + " workers") != nullptr);
    CHECK(std::count_if(all.begin(), all.end(), [](const candidate& c) {
            return c.name.starts_with("loop-with-workers, io by the worker");
          }) == 1);
  }
}

TEST_CASE("what the state of a handler forbids, and what the kernel has not, is listed with the reason") {
  const auto all = candidates({}, state_kind::sharded, 2, "the kernel is too old");
  CHECK_THAT(find(all, "thread-per-event")->refused, Contains("without locks"));
  CHECK_THAT(find(all, "process-pool, 2 workers")->refused, Contains("another process may serve it"));
  CHECK_THAT(find(all, "single-loop, io_uring")->refused, Contains("too old"));
  CHECK(find(all, "single-loop")->refused.empty());
}

TEST_CASE("the lines to paste are a configuration that means the candidate") {
  const auto all = candidates({}, state_kind::per_connection, 2, "");
  for (const candidate& each : all) {
    settings wanted;
    for (const auto& [key, value] : each.keys) CHECK(find_tunable(key)->set(wanted, untyped{value}).empty());
    CAPTURE(as_toml(each));
    CHECK(parse_config(as_toml(each), "pasted") == wanted);
  }
}
