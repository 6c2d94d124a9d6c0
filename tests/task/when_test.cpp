#include "weir/task/when.hpp"

#include <catch2/catch.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <tuple>
#include <variant>

#include "alive.hpp"
#include "loop.hpp"

using namespace weir;
using namespace std::chrono_literals;

namespace {

task<int> give(int value) { co_return value; }
task<std::unique_ptr<int>> give_later(int value, int turns) {
  co_await test::rounds(turns);
  co_return std::make_unique<int>(value);
}
task<> set_later(bool* flag, int turns) {
  co_await test::rounds(turns);
  *flag = true;
}
task<> fail_later(const char* what, int turns) {
  co_await test::rounds(turns);
  throw std::runtime_error(what);
}
task<> fail_at_once(const char* what) {
  throw std::runtime_error(what);
  co_return;
}

// Takes a few turns to end after it was cancelled.
task<> end_slowly(int* living, bool* over) {
  std::error_code why;
  co_await test::error_of(test::sleep_long(living), &why);
  co_await test::rounds();
  *over = why == std::errc::operation_canceled;
}

template <class T>
task<> ignore(task<T> t) {
  static_cast<void>(co_await t);
}

task<> all_of_sleepers(int* living) {
  return ignore(when_all(test::sleep_long(living), test::sleep_long(living)));
}
task<> any_of_sleepers(int* living) {
  return ignore(when_any(test::sleep_long(living), test::sleep_long(living)));
}

}  // namespace

TEST_CASE("when_all gives every result in the order of the tasks") {
  test::loop l;
  const auto body = []() -> task<> {
    bool set = false;
    auto all = when_all(give_later(1, 5), give(2), set_later(&set, 2));
    const auto results = co_await all;
    CHECK(*std::get<0>(results) == 1);
    CHECK(std::get<1>(results) == 2);
    CHECK(std::get<2>(results) == std::monostate{});
    CHECK(set);
  };
  l.run(body());
}

TEST_CASE("when_all of nothing, and of tasks that do not wait, ends at once") {
  test::loop l;
  const auto body = []() -> task<> {
    auto none = when_all();
    static_cast<void>(co_await none);
    auto two = when_all(give(1), give(2));
    const auto results = co_await two;
    CHECK(results == std::tuple(1, 2));
  };
  l.run(body());
}

TEST_CASE("the first exception cancels the others of when_all and is thrown when they have ended") {
  test::loop l;
  int living = 0;
  bool over = false;
  CHECK_THROWS_WITH(l.run(ignore(when_all(end_slowly(&living, &over), fail_later("one failed", 2), give(1)))),
                    "one failed");
  CHECK(over);
  CHECK(living == 0);
}

TEST_CASE("an exception before the other tasks of when_all have started cancels them too") {
  test::loop l;
  int living = 0;
  bool over = false;
  CHECK_THROWS_WITH(l.run(ignore(when_all(fail_at_once("the first"), end_slowly(&living, &over)))),
                    "the first");
  CHECK(over);
}

TEST_CASE("when_any gives the result of the first that ends and tells which it was") {
  test::loop l;
  const auto body = []() -> task<> {
    bool set = false;
    auto any = when_any(give_later(1, 20), give_later(2, 2), set_later(&set, 30));
    const auto first = co_await any;
    CHECK(first.index() == 1);
    CHECK(*std::get<1>(first) == 2);
    auto of_void = when_any(set_later(&set, 1), give_later(3, 9));
    const auto second = co_await of_void;
    CHECK(second.index() == 0);
    CHECK(set);
  };
  l.run(body());
}

TEST_CASE("when_any cancels the losers and waits for them") {
  test::loop l;
  int living = 0;
  bool over = false;
  const auto body = [](int* n, bool* ended) -> task<> {
    auto any = when_any(end_slowly(n, ended), give_later(2, 3), test::sleep_long(n));
    const auto first = co_await any;
    CHECK(first.index() == 1);
    CHECK(*ended);
    CHECK(*n == 0);
  };
  l.run(body(&living, &over));
}

TEST_CASE("a winner of when_any that does not wait leaves the others cancelled from their start") {
  test::loop l;
  int living = 0;
  bool over = false;
  const auto body = [](int* n, bool* ended) -> task<> {
    auto any = when_any(give(1), end_slowly(n, ended));
    const auto first = co_await any;
    CHECK(std::get<0>(first) == 1);
    CHECK(*ended);
  };
  l.run(body(&living, &over));
}

TEST_CASE("an exception that comes first is what when_any ends with, a later one is not") {
  test::loop l;
  int living = 0;
  CHECK_THROWS_WITH(l.run(ignore(when_any(fail_later("first", 2), test::sleep_long(&living)))), "first");
  CHECK(living == 0);
  const auto fails_when_cancelled = [](int* n) -> task<> {
    std::error_code why;
    co_await test::error_of(test::sleep_long(n), &why);
    throw std::runtime_error("late");
  };
  const auto body = [](const decltype(fails_when_cancelled)* loser, int* n) -> task<> {
    auto any = when_any((*loser)(n), give_later(5, 2));
    const auto first = co_await any;
    CHECK(*std::get<1>(first) == 5);
  };
  l.run(body(&fails_when_cancelled, &living));
}

TEST_CASE("cancelling who waits for several tasks cancels them, waits and throws operation_canceled") {
  for (auto* const waits : {&all_of_sleepers, &any_of_sleepers}) {
    test::loop l;
    int living = 0;
    std::error_code error;
    test::root r(l.core(), test::error_of((*waits)(&living), &error));
    l.run(test::rounds());
    CHECK(living == 2);
    l.run(test::cancel(&r), test::until([&] { return r.has_ended(); }));
    CHECK(error == std::errc::operation_canceled);
    CHECK(living == 0);
  }
}

TEST_CASE("the losers of nested when_any are cancelled through every level") {
  test::loop l;
  int living = 0;
  const auto body = [](int* n) -> task<> {
    auto any = when_any(any_of_sleepers(n), all_of_sleepers(n), give_later(1, 3));
    const auto first = co_await any;
    CHECK(first.index() == 2);
    CHECK(*n == 0);
  };
  l.run(body(&living));
}

TEST_CASE("a thousand tasks below when_all and when_any are destroyed with their core") {
  test::loop l;
  int living = 0;
  for (int i = 0; i < 250; ++i) {
    l.core().spawn(all_of_sleepers(&living));
    l.core().spawn(any_of_sleepers(&living));
  }
  l.run(test::rounds());
  CHECK(living == 1000);
  l.destroy();
  CHECK(living == 0);
}
