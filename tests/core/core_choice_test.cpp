#include "weir/core/detail/core_choice.hpp"

#include <catch2/catch.hpp>

#include "weir/config/config_error.hpp"

using namespace weir;
using Catch::Matchers::Contains;
using cpus = std::vector<int>;

namespace {
// Four cores with two threads each: 0 and 4 are siblings, and so on.
const cpus order{0, 1, 2, 3, 4, 5, 6, 7};
const auto everything = cpu_set::parse("0-7");
}  // namespace

TEST_CASE("auto takes every allowed CPU, physical cores first") {
  const cpus siblings_adjacent{0, 2, 1, 3};
  CHECK(choose_cores("auto", cpu_set::parse("0-3"), {}, siblings_adjacent).cpus == siblings_adjacent);
  CHECK(choose_cores("auto", cpu_set::parse("1-2"), {}, siblings_adjacent).cpus == cpus{2, 1});
}

TEST_CASE("auto takes no more CPUs than the quota feeds, and at least one") {
  const auto with = [](double n) {
    return choose_cores("auto", everything, cgroup_quota{n, "cpu.max"}, order).cpus;
  };
  CHECK(with(1.5) == cpus{0, 1});
  CHECK(with(2) == cpus{0, 1});
  CHECK(with(0.1) == cpus{0});
  CHECK(with(64) == order);
}

TEST_CASE("auto takes an allowed CPU that the topology does not know last") {
  CHECK(choose_cores("auto", cpu_set::parse("0-2"), {}, cpus{2, 1}).cpus == cpus{2, 1, 0});
  CHECK(choose_cores("auto", cpu_set::parse("0-2"), {}, {}).cpus == cpus{0, 1, 2});
}

TEST_CASE("a list is taken exactly as it is, whatever the quota") {
  const auto choice = choose_cores("5,0-1", everything, cgroup_quota{1, "cpu.max"}, order);
  CHECK(choice.cpus == cpus{5, 0, 1});
  CHECK_THAT(choice.why, Contains("asked for: 5,0-1") && Contains("more than the cgroup quota of 1.00 CPUs"));
}

TEST_CASE("the choice says why") {
  CHECK(choose_cores("auto", everything, cgroup_quota{1.5, "cpu.max"}, order).why ==
        "auto: 8 allowed, physical cores first; the cgroup quota of 1.50 CPUs leaves 2");
  CHECK_THAT(choose_cores("auto", everything, {}, order, 1).why, Contains("the model runs 1"));
}

TEST_CASE("a model of one loop takes one CPU, and refuses a longer list") {
  CHECK(choose_cores("auto", everything, {}, order, 1).cpus == cpus{0});
  CHECK(choose_cores("3", everything, {}, order, 1).cpus == cpus{3});
  CHECK_THROWS_WITH(choose_cores("0-1", everything, {}, order, 1, "--cores"),
                    "--cores: \"0-1\" names 2 CPUs, but the model runs on 1");
}

TEST_CASE("a CPU outside the allowed mask is an error that names both") {
  CHECK_THROWS_WITH(choose_cores("5", cpu_set::parse("0-1"), {}, order, 8, "--cores"),
                    "--cores: CPU 5 is not in this process's allowed mask 0-1");
}

TEST_CASE("a CPU listed twice and what is no list are errors") {
  CHECK_THROWS_WITH(choose_cores("0-2,1", everything, {}, order), "cores.use: CPU 1 is listed twice");
  CHECK_THROWS_AS(choose_cores("3-1", everything, {}, order), config_error);
}

TEST_CASE("the machine's order names each CPU once, and asking leaves the thread where it was") {
  const auto before = allowed_cpus();
  const auto machine = physical_cores_first();
  CHECK(allowed_cpus() == before);
  CHECK(cpu_set(machine).size() == machine.size());
  const auto allowed = allowed_cpus();
  CHECK(cpu_set(choose_cores("auto", allowed, {}, machine).cpus) == allowed);
}
