#include "weir/core/core_pool.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <optional>
#include <thread>
#include <vector>

#include "weir/task/task.hpp"

using namespace weir;
using Catch::Matchers::Contains;

namespace {

const std::vector<std::optional<int>> three{std::nullopt, std::nullopt, std::nullopt};

}  // namespace

TEST_CASE("core 0 runs on the calling thread, every other one on a thread of its own") {
  core_pool pool(three, {});
  REQUIRE(pool.size() == 3);
  std::vector<std::thread::id> ran_on(3);
  std::atomic<int> left{3};
  for (core& c : pool) {
    c.post([&, i = c.index()] {
      ran_on[i] = std::this_thread::get_id();
      if (core::current() == &pool[i]) ++left;
      left -= 2;
      if (left == 0) pool.stop();
    });
  }
  pool.run();
  CHECK(left == 0);
  CHECK(ran_on[0] == std::this_thread::get_id());
  CHECK(ran_on[1] != ran_on[0]);
  CHECK(ran_on[2] != ran_on[0]);
  CHECK(ran_on[1] != ran_on[2]);
}

TEST_CASE("a pool of one core is a single-threaded process") {
  core_pool pool({std::nullopt}, {});
  std::thread::id ran_on;
  pool[0].post([&] {
    ran_on = std::this_thread::get_id();
    pool.stop();
  });
  pool.run();
  CHECK(ran_on == std::this_thread::get_id());
}

TEST_CASE("any thread stops a pool") {
  core_pool pool(three, {});
  std::atomic<int> running{0};
  for (core& c : pool) {
    c.post([&] {
      ++running;
      running.notify_one();
    });
  }
  std::jthread other([&] {
    for (int now = running; now < 3; now = running) running.wait(now);
    pool.stop();
  });
  pool.run();
  CHECK(running == 3);
}

TEST_CASE("a core that cannot be pinned stops the pool, and the error names its CPU") {
  for (const std::size_t broken : {0U, 2U}) {
    auto cpus = three;
    cpus[broken] = 1000;
    core_pool pool(cpus, {});
    CHECK_THROWS_WITH(pool.run(), Contains("CPU 1000"));
  }
}

TEST_CASE("a task on one core wakes a task on another") {
  core_pool pool(three, {});
  struct relay {
    static task<> run(core_pool* p, std::size_t at, int left, std::vector<unsigned>* seen) {
      seen->push_back(core::here().index());
      if (left == 0) {
        p->stop();
        co_return;
      }
      const std::size_t next = (at + 1) % p->size();
      (*p)[next].post([=] { (*p)[next].spawn(run(p, next, left - 1, seen)); });
    }
  };
  std::vector<unsigned> seen;
  pool[0].spawn(relay::run(&pool, 0, 300, &seen));
  pool.run();
  REQUIRE(seen.size() == 301);
  bool in_order = true;
  for (std::size_t i = 0; i < seen.size(); ++i) in_order = in_order && seen[i] == i % 3;
  CHECK(in_order);
}
