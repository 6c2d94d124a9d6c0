#include "weir/compare/detail/figures.hpp"

#include <catch2/catch.hpp>

using namespace weir::compare;
using Catch::Matchers::Contains;

namespace {

measured candidate_of(std::string name, std::vector<double> rates, double cpu_each,
                      std::uint64_t starved = 0) {
  measured out;
  out.what.name = std::move(name);
  out.what.keys = {{"model", "single-loop"}};
  for (const double rate : rates)
    out.runs.push_back({.seconds = 2,
                        .requests_per_second = rate,
                        .p99_us = 1500,
                        .cpu_us = cpu_each * rate * 2,
                        .served = 64,
                        .starved = starved});
  return out;
}

const comparison_facts quiet{
    .program = "p", .load = "wrk", .cpus = 8, .server_cpus = 1, .shared_cpus = false};

}  // namespace

TEST_CASE("the fastest is taken, and of those that are as fast the one with the least CPU") {
  const std::vector<measured> all{candidate_of("fast", {100'000, 101'000, 102'000}, 9),
                                  candidate_of("cheap", {95'000, 96'000, 97'000}, 7),
                                  candidate_of("slow", {40'000, 41'000, 42'000}, 5)};
  const advice what = advise(all, quiet);
  REQUIRE(what.best != nullptr);
  CHECK(what.best->what.name == "cheap");
  CHECK(what.is_certain);
  CHECK_THAT(what.text, Contains("Take cheap") && Contains("within 1.5 ms") && Contains("is fast") &&
                            Contains("slow is 2.3 times slower"));
}

TEST_CASE("one that leaves clients waiting is not taken, however fast it looks") {
  const std::vector<measured> all{candidate_of("starves", {200'000, 200'000, 200'000}, 3, 63),
                                  candidate_of("serves", {50'000, 50'000, 50'000}, 9)};
  const advice what = advise(all, quiet);
  REQUIRE(what.best != nullptr);
  CHECK(what.best->what.name == "serves");
  CHECK_THAT(what.text, Contains("Not every client was served by starves"));
  const std::vector<measured> none{candidate_of("starves", {200'000}, 3, 63)};
  CHECK(advise(none, quiet).best == nullptr);
}

TEST_CASE("what cannot be told apart is said to be so") {
  const std::vector<measured> all{candidate_of("one", {100'000, 101'000, 102'000}, 8.0),
                                  candidate_of("other", {99'000, 100'000, 101'000}, 8.2)};
  const advice what = advise(all, quiet);
  CHECK_FALSE(what.is_certain);
  CHECK_THAT(what.text, Contains("cannot be told from it"));
}

TEST_CASE(
    "of those that are as fast and as cheap the one with the fewest threads is taken, then with the least "
    "memory") {
  std::vector<measured> all{candidate_of("threads", {100'000, 101'000, 102'000}, 8.0),
                            candidate_of("ring", {100'000, 101'000, 102'000}, 8.0),
                            candidate_of("loops", {99'000, 100'000, 101'000}, 8.3)};
  for (run_figures& each : all[0].runs) each.threads = 64;
  for (run_figures& each : all[1].runs) each.memory = 9'000'000;
  for (run_figures& each : all[2].runs) each.memory = 6'000'000;
  const advice what = advise(all, quiet);
  REQUIRE(what.best != nullptr);
  CHECK(what.best->what.name == "loops");
  CHECK(what.is_certain);
  CHECK_THAT(
      what.text,
      Contains(
          "the least CPU, as do threads and ring; of these it has the fewest threads and the least memory."));
}

TEST_CASE("advice that figures a little different would change is not certain") {
  // The cheap one is just too slow to be as fast.
  const std::vector<measured> all{candidate_of("fast", {100'000, 100'000, 100'000}, 9),
                                  candidate_of("cheap", {88'000, 88'000, 88'000}, 6)};
  const advice what = advise(all, quiet);
  REQUIRE(what.best != nullptr);
  CHECK(what.best->what.name == "fast");
  CHECK_FALSE(what.is_certain);
  CHECK_THAT(what.text, Contains("a little more or less and cheap would be taken"));
}

TEST_CASE("in an open loop the one whose clients wait the shortest is taken, if it keeps up") {
  std::vector<measured> all{candidate_of("waits", {10'000, 10'000, 10'000}, 5),
                            candidate_of("answers", {10'000, 10'000, 10'000}, 9),
                            candidate_of("falls behind", {9'000, 9'000, 9'000}, 5)};
  for (measured& each : all)
    for (run_figures& run : each.runs) {
      run.is_open_loop = true;
      run.requests = *run.requests_per_second * run.seconds;
    }
  for (run_figures& each : all[0].runs) each.p99_us = 40'000;
  for (run_figures& each : all[2].runs) {
    each.p99_us = 1;
    each.unanswered = 2'000;
  }
  comparison_facts facts = quiet;
  facts.speed = 100;
  const advice what = advise(all, facts);
  REQUIRE(what.best != nullptr);
  CHECK(what.best->what.name == "answers");
  CHECK_THAT(what.text, Contains("within 1.5 ms of when they were due") &&
                            Contains("waits is 26.7 times slower") &&
                            Contains("Not every client was served by falls behind") &&
                            Contains("not what a model can do at most"));
}

TEST_CASE("doubts are told: noise, few clients, a load that limits, shared CPUs") {
  comparison_facts facts = quiet;
  facts.server_cpus = 40;
  facts.busy = 3;
  const std::vector<measured> all{candidate_of("one", {50'000, 100'000}, 8)};
  const advice what = advise(all, facts);
  CHECK_FALSE(what.is_certain);
  CHECK_THAT(what.text, Contains("runs differ by 100 %") && Contains("fewer than three rounds") &&
                            Contains("64 clients cannot show") && Contains("may be what limits") &&
                            Contains("load 3.0"));
  facts.shared_cpus = true;
  CHECK_THAT(advise(all, facts).text, Contains("shared the CPUs"));
}

TEST_CASE("table, JSON and page tell every candidate") {
  std::vector<measured> all{candidate_of("one </script>", {100'000}, 8)};
  all.push_back({});
  all.back().what.name = "refused one";
  all.back().what.refused = "the reason";
  CHECK_THAT(table_of(all),
             Contains("100000") && Contains("refused one") && Contains("not measured: the reason"));
  const std::string json = json_of(all, quiet, advise(all, quiet));
  CHECK_THAT(json, Contains("\"refused\":\"the reason\"") && !Contains("</script>"));
  CHECK_THAT(page_of(json), Contains(json) && !Contains("/* the data */"));
}
