#include "weir/core/test_core.hpp"

#include <catch2/catch.hpp>

#include <vector>

#include "weir/core/offload.hpp"
#include "weir/core/sleep.hpp"
#include "weir/core/within.hpp"

using namespace weir;
using namespace std::chrono_literals;

TEST_CASE("a test core is the current core while it lives, the youngest of several") {
  CHECK(core::current() == nullptr);
  {
    test_core first;
    CHECK(core::current() == &*first);
    {
      test_core second;
      CHECK(core::current() == &*second);
    }
    CHECK(core::current() == &*first);
  }
  CHECK(core::current() == nullptr);
}

TEST_CASE("settling gives turns until everything waits, and no time passes") {
  test_core core;
  std::vector<int> order;
  const auto body = [](int name, std::vector<int>* out) -> task<> {
    out->push_back(name);
    for (int i = 0; i < 1000; ++i) co_await yield();
    out->push_back(name);
    co_await sleep_for(1ms);
    out->push_back(name);
  };
  core->spawn(body(1, &order));
  core->spawn(body(2, &order));
  CHECK(order.empty());
  core.settle();
  CHECK(order == std::vector{1, 2, 1, 2});
  core.settle();
  CHECK(order.size() == 4);
  CHECK(core.elapsed() == 0ms);
}

TEST_CASE("each deadline on the way meets the time that it asked for") {
  test_core core;
  std::vector<std::chrono::milliseconds> seen;
  const auto each_second = [](test_core* on, std::vector<std::chrono::milliseconds>* out) -> task<> {
    for (;;) {
      co_await sleep_for(1s);
      out->push_back(on->elapsed());
    }
  };
  core->spawn(each_second(&core, &seen));
  core.advance(3500ms);
  CHECK(seen == std::vector<std::chrono::milliseconds>{1s, 2s, 3s});
  CHECK(core.elapsed() == 3500ms);
  core.advance(500ms);
  CHECK(seen.size() == 4);
}

TEST_CASE("what another thread brings is there at a later settling") {
  test_core core;
  int result = 0;
  const auto body = [](int* out) -> task<> { *out = co_await offload([] { return 42; }); };
  core->spawn(body(&result));
  const auto end = std::chrono::steady_clock::now() + 30s;
  while (result == 0 && std::chrono::steady_clock::now() < end) core.settle();
  CHECK(result == 42);
}
