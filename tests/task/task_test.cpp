#include "weir/task/task.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "loop.hpp"
#include "weir/base/detail/build.hpp"

using namespace weir;
using namespace std::chrono_literals;

namespace {

// Counts how many of it live: in a frame, the frame.
struct counted {
  explicit counted(int* n) : count(n) { ++*count; }
  counted(counted&& other) noexcept : count(other.count) { ++*count; }
  counted(const counted&) = delete;
  counted& operator=(const counted&) = delete;
  ~counted() { --*count; }
  int* count;
};

task<int> give(int value) { co_return value; }
task<std::string> text(std::string value) { co_return value; }
task<std::unique_ptr<int>> owned(int value) { co_return std::make_unique<int>(value); }
task<std::vector<int>> braces() { co_return {1, 2, 3}; }
task<> set(bool* flag) {
  *flag = true;
  co_return;
}
task<> sleep_long(counted /*alive*/) { co_await sleep_for(1h); }
task<> sleep_below(counted alive) {
  const counted inner(alive.count);
  auto below = sleep_long(counted(alive.count));
  co_await below;
}

// Sleeps below `depth` tasks, each of which awaits the next.
task<> nest(int depth, int* living) {
  const counted here(living);
  co_await yield();  // each level starts from the run queue, so that going down needs no stack either
  if (depth == 0) {
    co_await sleep_for(1h);
  } else {
    auto below = nest(depth - 1, living);
    co_await below;
  }
}

// Notes when it is destroyed.
struct noting {
  noting(int n, std::vector<int>* o) : name(n), order(o) {}
  noting(const noting&) = delete;
  noting& operator=(const noting&) = delete;
  ~noting() { order->push_back(name); }
  int name;
  std::vector<int>* order;
};
task<> note_end(int depth, std::vector<int>* order) {
  const noting here(depth, order);
  if (depth == 0) {
    co_await sleep_for(1h);
    co_return;
  }
  auto never_started = note_end(100 + depth, order);
  auto below = note_end(depth - 1, order);
  co_await below;
}

struct no_default {
  explicit no_default(int v) : value(v) {}
  no_default(no_default&&) = default;
  int value;
};
task<no_default> strict() { co_return no_default(7); }

}  // namespace

TEST_CASE("a task does not start before it is awaited") {
  test::loop l;
  bool started = false;
  bool started_early = true;
  auto t = set(&started);
  CHECK_FALSE(started);
  const auto body = [](task<> inner, const bool* flag, bool* early) -> task<> {
    *early = *flag;
    co_await inner;
  };
  l.run(body(std::move(t), &started, &started_early));
  CHECK_FALSE(started_early);
  CHECK(started);
}

TEST_CASE("a task gives its value: plain, movable only, without a default, from braces") {
  test::loop l;
  const auto body = []() -> task<> {
    const int number = co_await give(42);
    CHECK(number == 42);
    const std::string words = co_await text(std::string(100, 'x'));
    CHECK(words == std::string(100, 'x'));
    const auto pointer = co_await owned(3);
    CHECK(*pointer == 3);
    const auto seven = co_await strict();
    CHECK(seven.value == 7);
    const auto list = co_await braces();
    CHECK(list == std::vector{1, 2, 3});
  };
  l.run(body());
}

TEST_CASE("a task that is a named local is awaited like a temporary") {
  test::loop l;
  const auto body = []() -> task<> {
    auto t = give(5);
    CHECK(t);
    const int value = co_await t;
    CHECK(value == 5);
  };
  l.run(body());
}

TEST_CASE("an exception passes through every level, and each level's locals are destroyed on its way") {
  test::loop l;
  int alive = 0;
  struct levels {
    static task<> down(int depth, int* count) {
      const counted here(count);
      if (depth == 0) throw std::runtime_error("from below");
      co_await down(depth - 1, count);
    }
  };
  CHECK_THROWS_WITH(l.run(levels::down(10, &alive)), "from below");
  CHECK(alive == 0);
}

TEST_CASE("an exception that is caught leaves the task that caught it running") {
  test::loop l;
  const auto thrower = []() -> task<int> {
    throw 7;
    co_return 0;
  };
  const auto body = [](const decltype(thrower)* inner, int* seen) -> task<> {
    try {
      co_await (*inner)();
    } catch (int e) {
      *seen = e;
    }
    co_await yield();
    ++*seen;
  };
  int seen = 0;
  l.run(body(&thrower, &seen));
  CHECK(seen == 8);
}

TEST_CASE("a task that was never started frees its frame and its parameters") {
  int alive = 0;
  {
    const auto t = sleep_long(counted(&alive));
    CHECK(alive == 1);
  }
  CHECK(alive == 0);
}

TEST_CASE("assigning to a task destroys what it held, and a moved one holds nothing") {
  int alive = 0;
  auto first = sleep_long(counted(&alive));
  auto second = sleep_long(counted(&alive));
  CHECK(alive == 2);
  first = std::move(second);
  CHECK(alive == 1);
  CHECK(first);
  CHECK_FALSE(second);  // NOLINT(bugprone-use-after-move): that is the question
  first = {};
  CHECK(alive == 0);
}

TEST_CASE("a suspended chain of tasks is destroyed with all of its frames, and its sleep never fires") {
  test::loop l;
  int alive = 0;
  {
    test::root r(l.core(), sleep_below(counted(&alive)));
    l.run(test::rounds());
    CHECK(r.is_suspended());
    CHECK(alive == 3);
  }
  CHECK(alive == 0);
  l.run(test::rounds());
}

TEST_CASE("a million awaits of ready tasks in a loop do not grow the stack") {
  test::loop l;
  const auto body = [](std::uint64_t* sum) -> task<> {
    for (int i = 0; i < 1'000'000; ++i) {
      const int value = co_await give(i % 3);
      *sum += static_cast<std::uint64_t>(value);
    }
  };
  std::uint64_t sum = 0;
  l.run(body(&sum));
  CHECK(sum == 999'999);
}

TEST_CASE("exceptions from ready tasks, however many, do not grow the stack") {
  test::loop l;
  const auto thrower = []() -> task<> {
    throw 1;
    co_return;
  };
  const auto body = [](const decltype(thrower)* inner, int* caught) -> task<> {
    for (int i = 0; i < (build::tail_calls ? 200'000 : 20'000); ++i) {
      try {
        co_await (*inner)();
      } catch (int) {
        ++*caught;
      }
    }
  };
  int caught = 0;
  l.run(body(&thrower, &caught));
  CHECK(caught == (build::tail_calls ? 200'000 : 20'000));
}

TEST_CASE("a thousand levels of tasks go down and come up again") {
  test::loop l;
  struct levels {
    static task<int> down(int depth) {
      if (depth == 0) co_return 0;
      const int below = co_await down(depth - 1);
      co_return below + 1;
    }
  };
  const auto body = [](int* depth) -> task<> {
    for (int i = 0; i < 10; ++i) {
      const int levels_below = co_await levels::down(1000);
      *depth += levels_below;
    }
  };
  int depth = 0;
  l.run(body(&depth));
  CHECK(depth == 10'000);
}

TEST_CASE("the frame of an ended task is the next one's memory") {
  if (!build::pools) return;
  test::loop l;
  const auto where = [](int here) -> task<const void*> { co_return &here; };
  const auto body = [](const decltype(where)* inner) -> task<> {
    const void* const first = co_await (*inner)(1);
    const void* const second = co_await (*inner)(2);
    CHECK(first == second);
  };
  l.run(body(&where));
}

TEST_CASE("a frame that is freed on another thread comes home") {
  if (!build::pools) return;
  // Notes where in the frame it has been moved to.
  struct place {
    explicit place(const void** w) : where(w) {}
    place(place&& other) noexcept : where(other.where) { *where = this; }
    const void** where;
  };
  // Of a size that no other frame has.
  const auto big = [](place /*p*/, std::array<char, 1311> /*room*/) -> task<> { co_return; };
  const void* first = nullptr;
  const void* second = nullptr;
  auto t = big(place(&first), {});
  std::jthread([moved = std::move(t)]() mutable { moved = {}; }).join();
  const auto again = big(place(&second), {});
  CHECK(first != nullptr);
  CHECK(first == second);
}

TEST_CASE("a million suspended tasks, each awaited by the one above, are destroyed") {
  test::loop l;
  int living = 0;
  std::optional<test::root> r;
  r.emplace(l.core(), nest(1'000'000, &living));
  l.run(test::until([&] { return living == 1'000'001; }));
  l.run(test::rounds());
  r.reset();
  CHECK(living == 0);
}

TEST_CASE("suspended tasks are destroyed from the innermost outwards, while what they refer to still lives") {
  test::loop l;
  std::vector<int> order;
  std::optional<test::root> r;
  r.emplace(l.core(), note_end(3, &order));
  l.run(test::rounds());
  CHECK(order.empty());
  r.reset();
  CHECK(order == std::vector{0, 1, 2, 3});
}
