#include "weir/core/per_core.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "loop.hpp"
#include "weir/core/core_pool.hpp"

using namespace weir;

namespace {

const std::vector<std::optional<int>> three{std::nullopt, std::nullopt, std::nullopt};

struct counter {
  explicit counter(long from = 0) : value(from) {}
  void start() { started_on = core::here().index(); }
  void stop() { stopped_on = core::here().index(); }
  long value;
  std::optional<unsigned> started_on;
  std::optional<unsigned> stopped_on;
};

task<> count(per_core<counter>* counters, int n) {
  for (int i = 0; i < n; ++i) {
    ++counters->local().value;
    if (i % 100 == 0) co_await yield();
  }
}

}  // namespace

TEST_CASE("each core counts for itself, and a reduction adds up on one of them") {
  core_pool pool(three, {});
  per_core<counter> counters(pool, 10L);
  const auto body = [](per_core<counter>* all, core_pool* p, long* sum, std::string* path) -> task<> {
    auto work = count(all, 1000);
    co_await work;
    for (core& c : *p) {
      co_await switch_to(c);
      auto there = count(all, static_cast<int>(c.index()));
      co_await there;
    }
    co_await switch_to((*p)[1]);
    auto total = all->reduce(0L, [](counter& c) { return c.value; }, std::plus<>());
    *sum = co_await total;
    CHECK(core::here().index() == 1);
    auto names = all->reduce(
        std::string(), [](counter&) { return std::to_string(core::here().index()); }, std::plus<>());
    *path = co_await names;
    p->stop();
  };
  long sum = 0;
  std::string path;
  pool[0].spawn(body(&counters, &pool, &sum, &path));
  pool.run();
  CHECK(sum == 30 + 1000 + 0 + 1 + 2);
  CHECK(path == "012");
  CHECK(counters.on(pool[0]).value == 1010);
  CHECK(counters.on(pool[2]).value == 12);
}

TEST_CASE("start and stop are called once on each core's own thread") {
  core_pool pool(three, {});
  per_core<counter> counters(pool);
  const auto body = [](per_core<counter>* all, core_pool* p) -> task<> {
    auto start = all->run_start();
    co_await start;
    CHECK(core::here().index() == 0);
    auto stop = all->run_stop();
    co_await stop;
    CHECK(core::here().index() == 0);
    p->stop();
  };
  pool[0].spawn(body(&counters, &pool));
  pool.run();
  for (core& c : pool) {
    CHECK(counters.on(c).started_on == c.index());
    CHECK(counters.on(c).stopped_on == c.index());
  }
}

TEST_CASE("reductions from every core at once do not disturb each other") {
  core_pool pool(three, {});
  per_core<counter> counters(pool, 5L);
  std::atomic<int> left{30};
  std::atomic<int> right{0};
  const auto body = [](per_core<counter>* all, core_pool* p, std::atomic<int>* n,
                       std::atomic<int>* good) -> task<> {
    const core* const home = &core::here();
    auto total = all->reduce(0L, [](counter& c) { return c.value; }, std::plus<>());
    const long sum = co_await total;
    if (sum == 15 && core::current() == home) ++*good;
    if (--*n == 0) p->stop();
  };
  for (std::size_t i = 0; i < 30; ++i) pool[i % 3].spawn(body(&counters, &pool, &left, &right));
  pool.run();
  CHECK(right == 30);
}

TEST_CASE("a core's own object, asked for off a core, is an error") {
  core_pool pool(three, {});
  const per_core<counter> counters(pool);
  CHECK_THROWS_AS(counters.local(), std::system_error);
}

TEST_CASE("what is thrown on another core is thrown on the one that asked, and ends the asking there") {
  core_pool pool({std::nullopt, std::nullopt, std::nullopt}, {});
  per_core<counter> all(pool);
  bool right = false;
  const auto body = [](core_pool* p, per_core<counter>* each, bool* out) -> task<> {
    core& home = core::here();
    auto asked = each->reduce(
        0L,
        [](counter& c) {
          ++c.value;
          if (core::here().index() == 1) throw std::runtime_error("on another core");
          return 0L;
        },
        std::plus<>());
    bool caught = false;
    try {
      static_cast<void>(co_await asked);
    } catch (const std::runtime_error&) {
      caught = &core::here() == &home;
    }
    *out = caught && each->on((*p)[1]).value == 1 && each->on((*p)[2]).value == 0;
    p->stop();
  };
  pool[0].spawn(body(&pool, &all, &right));
  pool.run();
  CHECK(right);
}
