#include "weir/core/detail/standing_timer.hpp"

#include <catch2/catch.hpp>

#include <chrono>

#include "weir/core/test_core.hpp"

using namespace weir;
using namespace std::chrono_literals;

TEST_CASE("a standing timer calls once each time that it is set, and may set itself") {
  test_core core;
  int calls = 0;
  standing_timer once(*core, [&] { ++calls; });
  core.advance(10s);
  CHECK(calls == 0);
  once.expires_after(5s);
  core.advance(4s);
  CHECK(calls == 0);
  once.expires_after(5s);  // is moved
  core.advance(4s);
  CHECK(calls == 0);
  core.advance(1s);
  CHECK(calls == 1);
  core.advance(10s);
  CHECK(calls == 1);

  int beats = 0;
  standing_timer* again = nullptr;
  standing_timer timer(*core, [&] {
    ++beats;
    again->expires_after(1s);
  });
  again = &timer;
  timer.expires_after(0s);
  for (int i = 0; i < 10; ++i) core.advance(1s);
  CHECK(beats >= 10);
}

TEST_CASE("a standing timer that goes while it is set is not called") {
  test_core core;
  int calls = 0;
  {
    standing_timer gone(*core, [&] { ++calls; });
    gone.expires_after(1s);
  }
  core.advance(2s);
  CHECK(calls == 0);
}
