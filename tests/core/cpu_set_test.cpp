#include "weir/core/detail/cpu_set.hpp"

#include <sched.h>

#include <catch2/catch.hpp>
#include <stdexcept>

using namespace weir;
using Catch::Matchers::Contains;

TEST_CASE("a list is read in its own order, a set in ascending order") {
  CHECK(parse_cpu_list("8,0-3,2") == std::vector<int>{8, 0, 1, 2, 3, 2});
  const auto set = cpu_set::parse("8,0-3,2");
  CHECK(std::vector<int>(set.begin(), set.end()) == std::vector<int>{0, 1, 2, 3, 8});
  CHECK(set.size() == 5);
  CHECK(set.contains(8));
  CHECK_FALSE(set.contains(4));
}

TEST_CASE("a set prints as the shortest list that reads as the same set") {
  for (const auto& [written, printed] : {std::pair("0,1,2,3,8", "0-3,8"), std::pair("5", "5"),
                                         std::pair("2,1", "1-2"), std::pair("0,2,4-5,5", "0,2,4-5")}) {
    CHECK(cpu_set::parse(written).to_string() == printed);
    CHECK(cpu_set::parse(printed) == cpu_set::parse(written));
  }
  CHECK(cpu_set().to_string().empty());
}

TEST_CASE("what is no list is refused with its text") {
  for (const auto* text : {"", ",", "0,", "a", "-1", "1-", "0x1", "0-3-5", " 1", "65536", "0-4000000000"}) {
    INFO(text);
    CHECK_THROWS_WITH(cpu_set::parse(text),
                      Contains("\"" + std::string(text) + "\"") && Contains("is no CPU number"));
  }
  CHECK_THROWS_WITH(cpu_set::parse("0,3-1"), Contains("\"0,3-1\": the range 3-1 runs backwards"));
}

TEST_CASE("the allowed CPUs follow the thread's affinity") {
  cpu_set_t before;
  REQUIRE(::sched_getaffinity(0, sizeof before, &before) == 0);
  const auto all = allowed_cpus();
  REQUIRE_FALSE(all.empty());
  CHECK(static_cast<int>(all.size()) == CPU_COUNT(&before));

  const int last = *(all.end() - 1);
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<std::size_t>(last), &one);
  REQUIRE(::sched_setaffinity(0, sizeof one, &one) == 0);
  CHECK(allowed_cpus() == cpu_set(std::vector<int>{last}));
  REQUIRE(::sched_setaffinity(0, sizeof before, &before) == 0);
}
