#include "weir/core/within.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <system_error>

#include "alive.hpp"
#include "loop.hpp"
#include "weir/base/error.hpp"
#include "weir/core/test_core.hpp"

using namespace weir;
using namespace std::chrono_literals;

namespace {

task<int> give(int value) { co_return value; }
task<std::unique_ptr<int>> give_later(int value) {
  co_await sleep_for(1ms);
  co_return std::make_unique<int>(value);
}
task<int> give_after(std::chrono::hours d, int value) {
  co_await sleep_for(d);
  co_return value;
}
task<> fail(std::chrono::milliseconds after, const char* what) {
  co_await sleep_for(after);
  throw std::runtime_error(what);
}

// Ends when it is cancelled, with a result all the same.
task<int> give_in(int value, int* living) {
  std::error_code why;
  co_await test::error_of(test::sleep_long(living), &why);
  co_return why == std::errc::operation_canceled ? value : 0;
}

task<> nested(std::chrono::milliseconds outer, std::chrono::milliseconds inner, int* living,
              int* caught_inside) {
  const auto below = [](std::chrono::milliseconds d, int* n, int* caught) -> task<> {
    auto t = within(d, test::sleep_long(n));
    try {
      co_await t;
    } catch (const std::system_error& e) {
      *caught = e.code().value();
      throw;
    }
  };
  auto t = within(outer, below(inner, living, caught_inside));
  co_await t;
}

}  // namespace

TEST_CASE("a deadline may be as far as its unit can say") {
  test_core core;
  std::error_code error;
  int value = 0;
  const auto body = [](int* out) -> task<> {
    auto late = give_after(8760h, 7);
    auto bounded = within(std::chrono::seconds::max(), std::move(late));
    *out = co_await bounded;
  };
  core->spawn(test::error_of(body(&value), &error));
  core.advance(8760h);
  CHECK(value == 7);
  CHECK(error == std::error_code());
}

TEST_CASE("what ends in time keeps its result") {
  test::loop l;
  const auto body = []() -> task<> {
    auto at_once = within(1h, give(7));
    const int seven = co_await at_once;
    CHECK(seven == 7);
    auto later = within(1h, give_later(8));
    const auto eight = co_await later;
    REQUIRE(eight);
    CHECK(*eight == 8);
  };
  l.run(body());
}

TEST_CASE("what ends without waiting keeps its result, though the time is up before it starts") {
  test::loop l;
  const auto body = []() -> task<> {
    auto at_once = within(-1s, give(7));
    const int seven = co_await at_once;
    CHECK(seven == 7);
  };
  l.run(body());
}

TEST_CASE("what takes too long is cancelled when its time is up, and the error is timed_out") {
  for (const std::chrono::milliseconds d : {-1ms, 0ms, 5ms, 3600000ms}) {
    test_core core;
    int living = 0;
    std::error_code error;
    core->spawn(test::error_of(within(d, test::sleep_for_ever(&living)), &error));
    core.advance(std::max<std::chrono::milliseconds>(d, 1ms) -
                 1ms);  // a deadline in the past is due at the next tick
    CHECK(living == 1);
    CHECK_FALSE(error);
    core.advance(1ms);
    CHECK(living == 0);
    CHECK(error == std::errc::timed_out);
  }
}

TEST_CASE("an exception of the work passes through, before the deadline and instead of it") {
  test::loop l;
  CHECK_THROWS_WITH(l.run(within(1h, fail(0ms, "at once"))), "at once");
  CHECK_THROWS_WITH(l.run(within(1h, fail(1ms, "later"))), "later");
  const auto while_cancelled = [](int* n) -> task<> {
    std::error_code why;
    co_await test::error_of(test::sleep_long(n), &why);
    throw std::runtime_error("tidying up failed");
  };
  int living = 0;
  CHECK_THROWS_WITH(l.run(within(1ms, while_cancelled(&living))), "tidying up failed");
}

TEST_CASE("work that ends although it was cancelled keeps its result") {
  test::loop l;
  int living = 0;
  const auto body = [](int* n) -> task<> {
    auto t = within(1ms, give_in(9, n));
    const int nine = co_await t;
    CHECK(nine == 9);
  };
  l.run(body(&living));
}

TEST_CASE("of nested deadlines the nearest wins") {
  test_core core;
  int living = 0;
  std::error_code error;
  int inside = 0;
  core->spawn(test::error_of(nested(1h, 5ms, &living, &inside), &error));
  core.advance(5ms);
  CHECK(error == std::errc::timed_out);
  CHECK(inside == ETIMEDOUT);
  core->spawn(test::error_of(nested(5ms, 1h, &living, &inside), &error));
  core.advance(5ms);
  CHECK(error == std::errc::timed_out);
  CHECK(inside == ECANCELED);
  CHECK(living == 0);
}

TEST_CASE("after a deadline the task that set it goes on, and later waits are its own") {
  test::loop l;
  int living = 0;
  const auto body = [](int* n) -> task<> {
    for (int i = 0; i < 3; ++i) {
      std::error_code error;
      co_await test::error_of(within(1ms, test::sleep_long(n)), &error);
      CHECK(error == std::errc::timed_out);
      co_await sleep_for(1ms);
    }
  };
  l.run(body(&living));
}

TEST_CASE("cancelling the parent cancels the work and throws operation_canceled, not timed_out") {
  test::loop l;
  int living = 0;
  std::error_code error;
  test::root r(l.core(), test::error_of(within(1h, test::sleep_long(&living)), &error));
  l.run(test::rounds());
  CHECK(living == 1);
  l.run(test::cancel(&r), test::until([&] { return r.has_ended(); }));
  CHECK(error == std::errc::operation_canceled);
  CHECK(living == 0);
}

TEST_CASE("a thousand tasks under deadlines are destroyed with their core, and no deadline fires") {
  test::loop l;
  int living = 0;
  for (int i = 0; i < 1000; ++i) l.core().spawn(within(1h, test::sleep_long(&living)));
  l.run(test::rounds());
  CHECK(living == 1000);
  l.destroy();
  CHECK(living == 0);
}

TEST_CASE("a deadline on a thread that runs no core is an error") {
  test::stray l;
  auto t = within(1h, give(1));
  const auto frame = t.release_to(l);
  frame.resume();
  REQUIRE(frame.done());
  CHECK_THROWS_AS(frame.promise().take(), std::system_error);
  frame.destroy();
}
