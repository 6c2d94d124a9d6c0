#include "weir/config/detail/names.hpp"

#include <catch2/catch.hpp>

using namespace weir;

TEMPLATE_TEST_CASE("every value has a word that leads back to it", "", model_kind, io_kind, policy_kind,
                   worker_io_kind, excess_kind, accept_kind, log::level) {
  REQUIRE(names<TestType>.size() > 0);
  for (const auto& each : names<TestType>) {
    CHECK(name_of(each.value) == each.name);
    CHECK(parse_name<TestType>(each.name) == each.value);
  }
}

TEST_CASE("words are exact") {
  CHECK(parse_name<model_kind>("loop-per-core") == model_kind::loop_per_core);
  CHECK_FALSE(parse_name<model_kind>("loop_per_core"));
  CHECK_FALSE(parse_name<policy_kind>("Random"));
  CHECK_FALSE(parse_name<policy_kind>(""));
}
