#include "weir/task/named_task.hpp"

#include <catch2/catch.hpp>

#include <memory>
#include <string>
#include <type_traits>

#include "loop.hpp"
#include "weir/task/scope.hpp"
#include "weir/task/when.hpp"

using namespace weir;

namespace {

task<int> give(int value) { co_return value; }
named_task<int> give_named(int value) { return named_task<int>(give(value)); }
task<> count(int* n) {
  ++*n;
  co_return;
}

struct refers {
  int* to;
};

}  // namespace

TEST_CASE("a named task gives its result, alone, beside others and as a child") {
  test::loop l;
  const auto body = []() -> task<> {
    auto one = give_named(1);
    const int first = co_await one;
    CHECK(first == 1);
    auto both = when_all(give_named(2), give(3));
    const auto sum = co_await both;
    CHECK(std::get<0>(sum) + std::get<1>(sum) == 5);
    auto any = when_any(give_named(4), give(5));
    const auto either = co_await any;
    CHECK(std::get<0>(either) == 4);
    int n = 0;
    scope s;
    s.spawn(named_task<void>(count(&n)));
    co_await s.join();
    CHECK(n == 1);
    task<int> moved = give_named(6);
    const int last = co_await moved;
    CHECK(last == 6);
  };
  l.run(body());
}

TEST_CASE("a task needs a name only where a temporary with a destructor would be destroyed twice") {
  using with_text = std::string;
  CHECK(std::is_same_v<detail::task_for<int, refers>, task<int>>);
  CHECK(std::is_same_v<detail::task_for<int, with_text&>, task<int>>);
  CHECK(std::is_same_v<detail::task_for<int, const with_text&>, task<int>>);
  CHECK(std::is_same_v<detail::task_for<int, refers, with_text>, named_task<int>> ==
        build::careful_coroutines);
}
