#include "weir/core/detail/stall_detector.hpp"

#include <catch2/catch.hpp>

#include <chrono>
#include <mutex>
#include <optional>
#include <vector>

#include "weir/core/core_pool.hpp"
#include "weir/core/sleep.hpp"

using namespace weir;
using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;

namespace {

const std::vector<std::optional<int>> two{std::nullopt, std::nullopt};

void spin(clock_type::duration d) {
  const auto end = clock_type::now() + d;
  while (clock_type::now() < end) {
  }
}

// Collects reports, from the detector's thread.
struct reports {
  void operator()(const stall& s) {
    const std::lock_guard lock(mutex);
    all.push_back(s);
  }
  [[nodiscard]] std::size_t size() {
    const std::lock_guard lock(mutex);
    return all.size();
  }
  std::mutex mutex;
  std::vector<stall> all;
};

}  // namespace

TEST_CASE("a task that spins is reported with its core, its time and its stack") {
  for (const unsigned at : {0U, 1U}) {
    core_pool pool(two, {});
    reports seen;
    stall_detector detector(pool, 50ms, [&](const stall& s) { seen(s); });
    // Spins until it has been reported, or for far too long.
    const auto body = [](core_pool* p, reports* r) -> task<> {
      co_await yield();
      const auto end = clock_type::now() + 20s;
      while (r->size() == 0 && clock_type::now() < end) spin(200ms);
      p->stop();
    };
    pool[at].spawn(body(&pool, &seen));
    pool.run();
    REQUIRE(seen.size() == 1);
    CHECK(seen.all[0].core == at);
    CHECK(seen.all[0].lasted >= 50ms);
    CHECK(seen.all[0].chain_name == "a task");
    CHECK_FALSE(seen.all[0].stack.empty());
    CHECK(detector.seen() == 1);
  }
}

TEST_CASE("tasks that come back to their loop are not reported, nor a loop that has nothing to do") {
  core_pool pool(two, {});
  reports seen;
  // Longer than a busy machine keeps a thread from running.
  stall_detector detector(pool, 2s, [&](const stall& s) { seen(s); });
  const auto body = [](core_pool* p) -> task<> {
    const auto end = clock_type::now() + 3s;
    while (clock_type::now() < end) {
      spin(1ms);
      co_await yield();
    }
    p->stop();
  };
  pool[0].spawn(body(&pool));
  pool.run();
  CHECK(seen.size() == 0);
  CHECK(detector.seen() == 0);
}

TEST_CASE("within the interval one report is made, and the other stalls are counted") {
  core_pool pool({std::nullopt}, {});
  reports seen;
  stall_detector detector(pool, 20ms, [&](const stall& s) { seen(s); }, 1h);
  const auto body = [](core_pool* p, const stall_detector* d) -> task<> {
    const auto end = clock_type::now() + 20s;
    while (d->seen() < 3 && clock_type::now() < end) {
      spin(60ms);
      co_await sleep_for(1ms);
    }
    p->stop();
  };
  pool[0].spawn(body(&pool, &detector));
  pool.run();
  CHECK(detector.seen() >= 3);
  CHECK(seen.size() == 1);
}
