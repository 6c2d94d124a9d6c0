#include "weir/process/detail/restart_policy.hpp"

#include <catch2/catch.hpp>

#include <queue>
#include <vector>

using namespace weir::process;
using namespace std::chrono_literals;

namespace {

const steady_time start{1h};
const exit_reason crash{true, 11, false};
const exit_reason refusal{false, 1, false};

restart_history served() { return {.ever_served = true}; }

}  // namespace

TEST_CASE("a worker that lived is replaced at once, however many there were before") {
  auto history = served();
  history.young_deaths = 7;
  history.last_young_death = start;
  const auto d = decide_restart(history, {start, 1s, true, crash});
  CHECK(d.what == restart_decision::kind::after);
  CHECK(d.delay == 0ms);
  CHECK(d.history.young_deaths == 7);
}

TEST_CASE("workers that die young are replaced after twice the time each, up to a bound") {
  auto history = served();
  std::vector<std::chrono::milliseconds> delays;
  for (int i = 0; i < 12; ++i) {
    const auto d = decide_restart(history, {start, 10ms, true, crash});
    REQUIRE(d.what == restart_decision::kind::after);
    delays.push_back(d.delay);
    history = d.history;
  }
  CHECK(delays == std::vector<std::chrono::milliseconds>{0ms, 200ms, 400ms, 800ms, 1600ms, 3200ms, 6400ms,
                                                         12800ms, 25600ms, 30000ms, 30000ms, 30000ms});
}

TEST_CASE("one that never served waits from its first death on") {
  CHECK(decide_restart(served(), {start, 10ms, false, crash}).delay == 200ms);
}

TEST_CASE("a quiet time ends the row of young deaths") {
  auto history = served();
  history.young_deaths = 6;
  history.last_young_death = start;
  CHECK(decide_restart(history, {start + 2 * longest_delay + 10ms, 10ms, true, crash}).delay == 6400ms);
  CHECK(decide_restart(history, {start + 2 * longest_delay + 11ms, 10ms, true, crash}).delay == 0ms);
}

TEST_CASE("a pool that never served gives up when a worker refuses, or after some crashes") {
  CHECK(decide_restart({}, {start, 10ms, false, refusal}).what == restart_decision::kind::give_up);
  restart_history history;
  for (unsigned i = 1; i < most_failed_starts; ++i) {
    const auto d = decide_restart(history, {start, 10ms, false, crash});
    CHECK(d.what == restart_decision::kind::after);
    history = d.history;
  }
  CHECK(decide_restart(history, {start, 10ms, false, crash}).what == restart_decision::kind::give_up);
}

TEST_CASE("a pool that has served does not give up") {
  auto history = served();
  history.young_deaths = 100;
  history.last_young_death = start;
  CHECK(decide_restart(history, {start, 10ms, false, refusal}).what == restart_decision::kind::after);
}

TEST_CASE("two workers that crash as soon as they are started cost at most 10 forks in 10 seconds") {
  for (const bool serve_first : {true, false}) {
    std::priority_queue<steady_time, std::vector<steady_time>, std::greater<>> deaths;
    for (int i = 0; i < 2; ++i) deaths.push(start + 1ms);
    auto history = served();
    int forks = 2;
    while (deaths.top() < start + 10s) {
      const auto now = deaths.top();
      deaths.pop();
      const auto d = decide_restart(history, {now, 1ms, serve_first, crash});
      history = d.history;
      forks += now + d.delay < start + 10s;
      deaths.push(now + d.delay + 1ms);
    }
    CHECK(forks <= 10);
    CHECK(forks > 4);
  }
}

TEST_CASE("a worker that never served is judged by that, however long it took to fail") {
  restart_history history;
  for (unsigned i = 1; i < most_failed_starts; ++i) {
    const auto d = decide_restart(history, {start + i * 2min, 90s, false, crash});
    REQUIRE(d.what == restart_decision::kind::after);
    history = d.history;
  }
  CHECK(decide_restart(history, {start + most_failed_starts * 2min, 90s, false, crash}).what ==
        restart_decision::kind::give_up);

  history = served();
  std::vector<std::chrono::milliseconds> delays;
  for (int i = 0; i < 4; ++i) {
    const auto d = decide_restart(history, {start + i * 2min, 90s, false, refusal});
    REQUIRE(d.what == restart_decision::kind::after);
    delays.push_back(d.delay);
    history = d.history;
  }
  CHECK(delays == std::vector<std::chrono::milliseconds>{200ms, 400ms, 800ms, 1600ms});
}
