#include "weir/process/detail/deferred_commands.hpp"

#include <catch2/catch.hpp>

#include <initializer_list>

using namespace weir::process;

namespace {

deferred_commands told(std::initializer_list<command> all) {
  deferred_commands out;
  for (const command each : all) out.add(each);
  return out;
}

}  // namespace

TEST_CASE("one worker fewer leaves the last one, and one more ends at the bound") {
  CHECK(resized(2, command::one_fewer) == 1);
  CHECK(resized(1, command::one_fewer) == 1);
  CHECK(resized(0, command::one_fewer) == 0);
  CHECK(resized(0, command::one_more) == 1);
  CHECK(resized(most_workers, command::one_more) == most_workers);
  CHECK(resized(7, command::drain_workers) == 0);
  CHECK(resized(7, command::reopen_log) == 7);
}

TEST_CASE("deferred commands have the effect that they would have had one after another") {
  using enum command;
  CHECK(told({}).apply_to(4) == 4);
  CHECK(told({one_more, one_more, one_fewer}).apply_to(4) == 5);
  CHECK(told({one_fewer, one_fewer}).apply_to(2) == 1);
  CHECK(told({one_more, drain_workers}).apply_to(4) == 0);
  CHECK(told({drain_workers, one_more}).apply_to(4) == 1);
  CHECK(told({drain_workers, one_fewer}).apply_to(4) == 0);
}

TEST_CASE(
    "a reload is asked for once, and replaces what earlier commands have made of the number of workers") {
  using enum command;
  auto all = told({drain_workers, one_more, reload, reload, one_fewer});
  CHECK(all.take_reload());
  CHECK_FALSE(all.take_reload());
  CHECK(all.apply_to(3) == 2);
  CHECK_FALSE(told({drain_workers}).take_reload());
  auto drained = told({reload, drain_workers});
  CHECK(drained.take_reload());
  CHECK(drained.apply_to(3) == 0);
}

TEST_CASE("very many commands are no more than the bound of workers") {
  deferred_commands all;
  for (int i = 0; i < 100'000; ++i) all.add(command::one_more);
  CHECK(all.apply_to(1) == most_workers);
}
