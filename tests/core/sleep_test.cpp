#include "weir/core/sleep.hpp"

#include <catch2/catch.hpp>

#include <vector>

#include "loop.hpp"
#include "weir/base/error.hpp"
#include "weir/core/test_core.hpp"

using namespace weir;
using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;

namespace {

task<> sleep_then_note(clock_type::duration d, int name, std::vector<int>* order) {
  co_await sleep_for(d);
  order->push_back(name);
}

task<> turns(int name, int n, std::vector<int>* order) {
  for (int i = 0; i < n; ++i) {
    order->push_back(name);
    co_await yield();
  }
}

}  // namespace

TEST_CASE("a sleep takes at least as long as was asked for") {
  test::loop l;
  const auto body = []() -> task<> {
    for (const auto d : {1ms, 3ms, 20ms}) {
      const auto before = clock_type::now();
      co_await sleep_for(d);
      CHECK(clock_type::now() - before >= d);
    }
  };
  l.run(body());
}

TEST_CASE("sleepers wake in the order of their deadlines, each at its own time") {
  test_core core;
  std::vector<int> order;
  core->spawn(sleep_then_note(25ms, 3, &order));
  core->spawn(sleep_then_note(5ms, 1, &order));
  core->spawn(sleep_then_note(15ms, 2, &order));
  core.advance(4ms);
  CHECK(order.empty());
  core.advance(11ms);
  CHECK(order == std::vector{1, 2});
  core.advance(10ms);
  CHECK(order == std::vector{1, 2, 3});
}

TEST_CASE("a sleep of zero or less goes on at once, without giving others a turn") {
  test::loop l;
  std::vector<int> order;
  const auto body = [](std::vector<int>* out) -> task<> {
    co_await sleep_for(0ms);
    co_await sleep_for(-1h);
    out->push_back(1);
  };
  l.run(body(&order), turns(2, 1, &order));
  CHECK(order == std::vector{1, 2});
}

TEST_CASE("a sleep may be as long as its unit can say, and longer than a year") {
  test_core core;
  std::vector<int> order;
  const auto for_ever = [](std::vector<int>* out) -> task<> {
    co_await sleep_for(std::chrono::seconds::max());
    out->push_back(1);
  };
  const auto for_hours = [](std::vector<int>* out) -> task<> {
    co_await sleep_for(std::chrono::hours::max());
    out->push_back(2);
  };
  core->spawn(for_ever(&order));
  core->spawn(for_hours(&order));
  core->spawn(sleep_then_note(2 * 8760h, 3, &order));
  core.advance(2 * 8760h - 1ms);
  CHECK(order.empty());
  core.advance(1ms);
  CHECK(order == std::vector{3});
  core.advance(200 * 8760h);
  CHECK(order == std::vector{3});
}

TEST_CASE("a cancelled sleep throws operation_canceled and leaves no timer behind") {
  test::loop l;
  std::vector<int> order;
  std::error_code error;
  test::root r(l.core(), test::error_of(sleep_then_note(1h, 1, &order), &error));
  l.run(test::rounds());
  REQUIRE(r.is_suspended());
  r.end_wait(ECANCELED);
  CHECK_FALSE(r.has_ended());  // from the run queue
  l.run(test::rounds());
  CHECK(r.has_ended());
  CHECK(error == std::errc::operation_canceled);
  CHECK(order.empty());
}

TEST_CASE("a sleep that has just fired may still be cancelled, and ends once") {
  test::loop l;
  for (int i = 0; i < 20; ++i) {
    std::vector<int> order;
    std::error_code error;
    test::root r(l.core(), test::error_of(sleep_then_note(1ms, 1, &order), &error));
    const auto canceller = [](chain* c) -> task<> {
      co_await sleep_for(1ms);
      c->end_wait(ECANCELED);
    };
    l.run(canceller(&r), test::until([&] { return r.has_ended(); }));
    CHECK((error == std::errc::operation_canceled) == order.empty());
  }
}

TEST_CASE("sleeping on a thread that runs no core is an error") {
  test::stray l;
  std::vector<int> order;
  auto t = sleep_then_note(1ms, 1, &order);
  const auto frame = t.release_to(l);
  frame.resume();
  REQUIRE(frame.done());
  try {
    frame.promise().take();
    FAIL("no error");
  } catch (const std::system_error& e) {
    CHECK(e.code() == errc::not_on_a_core);
  }
  frame.destroy();
}

TEST_CASE("coroutines that yield take turns") {
  test::loop l;
  std::vector<int> order;
  l.run(turns(1, 3, &order), turns(2, 3, &order), turns(3, 3, &order));
  CHECK(order == std::vector{1, 2, 3, 1, 2, 3, 1, 2, 3});
}

TEST_CASE("ten thousand sleepers all wake") {
  test_core core;
  int awake = 0;
  const auto body = [](int n, int* count) -> task<> {
    co_await sleep_for(std::chrono::microseconds(n % 50 * 1000 + n));
    ++*count;
  };
  for (int i = 0; i < 10'000; ++i) core->spawn(body(i, &awake));
  core.advance(1min);
  CHECK(awake == 10'000);
}
