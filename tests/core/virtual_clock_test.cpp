#include "weir/core/detail/virtual_clock.hpp"

#include <catch2/catch.hpp>

#include <thread>
#include <vector>

#include "loop.hpp"

using namespace weir;
using namespace std::chrono_literals;

namespace {

task<> note(std::chrono::milliseconds d, std::vector<std::chrono::milliseconds>* out, virtual_clock* clock) {
  co_await sleep_for(d);
  out->push_back(clock->elapsed());
}

}  // namespace

TEST_CASE("under a virtual clock time stands still until it is moved") {
  test::loop l;
  virtual_clock clock(l.core());
  std::vector<std::chrono::milliseconds> awake;
  l.core().spawn(note(1ms, &awake, &clock));
  const auto before = l.core().driver().now();
  l.run(test::rounds(64));
  const auto end = std::chrono::steady_clock::now() + 5ms;
  while (std::chrono::steady_clock::now() < end) l.run(test::rounds());
  CHECK(awake.empty());
  CHECK(clock.elapsed() == 0ms);
  CHECK(l.core().driver().now() == before);
  clock.advance(1ms);
  l.run(test::rounds());
  CHECK(awake == std::vector{1ms});
  CHECK(l.core().driver().now() == before + 1);
}

TEST_CASE("moving to the next deadline stops there and tells what is left") {
  test::loop l;
  virtual_clock clock(l.core());
  std::vector<std::chrono::milliseconds> awake;
  for (const auto d : {30ms, 10ms, 20ms}) l.core().spawn(note(d, &awake, &clock));
  l.run(test::rounds());
  auto left = 25ms;
  while (left > 0ms) {
    left = clock.advance_to_next(left);
    l.run(test::rounds());
  }
  CHECK(clock.elapsed() == 25ms);
  CHECK(awake == std::vector{10ms, 20ms});
  clock.advance(5ms);
  l.run(test::rounds());
  CHECK(awake == std::vector{10ms, 20ms, 30ms});
}

TEST_CASE("a deadline that was set before the clock became virtual keeps its distance, to a tick") {
  test::loop l;
  int awake = 0;
  const auto sleep = [](int* n) -> task<> {
    co_await sleep_for(1h);
    ++*n;
  };
  l.core().spawn(sleep(&awake));
  l.run(test::rounds());
  virtual_clock clock(l.core());
  clock.advance(1h - 1s);
  l.run(test::rounds());
  CHECK(awake == 0);
  clock.advance(1s + 1ms);
  l.run(test::rounds());
  CHECK(awake == 1);
}

TEST_CASE("the clock of a core that runs is moved by what is posted to it") {
  core c(0, std::nullopt, {});
  virtual_clock clock(c);
  std::vector<std::chrono::milliseconds> awake;
  const auto sleep_then_stop = [](core* on, std::vector<std::chrono::milliseconds>* out,
                                  virtual_clock* moved) -> task<> {
    co_await note(24h, out, moved);
    on->stop();
  };
  c.spawn(sleep_then_stop(&c, &awake, &clock));
  std::jthread running([&] { c.run(); });
  c.post([&] { clock.advance(24h); });
  running.join();
  CHECK(awake == std::vector<std::chrono::milliseconds>{24h});
}
