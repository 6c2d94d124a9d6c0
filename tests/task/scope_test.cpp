#include "weir/task/scope.hpp"

#include <catch2/catch.hpp>

#include <stdexcept>
#include <system_error>
#include <vector>

#include "alive.hpp"
#include "loop.hpp"
#include "weir/base/error.hpp"

using namespace weir;
using namespace std::chrono_literals;

namespace {

task<> note(int name, std::vector<int>* order) {
  order->push_back(name);
  co_await yield();
  order->push_back(name);
}

task<> fail_after_a_turn(const char* what) {
  co_await yield();
  throw std::runtime_error(what);
}

// Sleeps until it is cancelled, and ends well.
task<> note_how_it_ends(std::error_code* out, int* living) {
  return test::error_of(test::sleep_long(living), out);
}

task<> join_with_sleepers(int n, int* living) {
  scope s;
  for (int i = 0; i < n; ++i) s.spawn(test::sleep_long(living));
  co_await s.join();
}

}  // namespace

TEST_CASE("a scope starts its tasks at the next turn, runs them together, and join waits for all") {
  test::loop l;
  std::vector<int> order;
  const auto body = [](std::vector<int>* out) -> task<> {
    scope s;
    s.spawn(note(1, out));
    s.spawn(note(2, out));
    CHECK(out->empty());
    CHECK(s.running() == 2);
    co_await s.join();
    CHECK(s.running() == 0);
    out->push_back(3);
  };
  l.run(body(&order));
  CHECK(order == std::vector{1, 2, 1, 2, 3});
}

TEST_CASE("joining an empty scope does not wait") {
  test::loop l;
  const auto body = []() -> task<> {
    scope s;
    co_await s.join();
  };
  l.run(body());
}

TEST_CASE("a child's exception cancels its siblings and surfaces at the join") {
  test::loop l;
  int living = 0;
  std::error_code sibling;
  const auto body = [](std::error_code* out, int* n) -> task<> {
    scope s;
    s.spawn(note_how_it_ends(out, n));
    s.spawn(fail_after_a_turn("from a child"));
    s.spawn(test::sleep_long(n));
    co_await s.join();
  };
  CHECK_THROWS_WITH(l.run(body(&sibling, &living)), "from a child");
  CHECK(sibling == std::errc::operation_canceled);
  CHECK(living == 0);
}

TEST_CASE("of two exceptions the first surfaces") {
  test::loop l;
  const auto body = []() -> task<> {
    scope s;
    s.spawn(fail_after_a_turn("first"));
    s.spawn(fail_after_a_turn("second"));
    co_await s.join();
  };
  CHECK_THROWS_WITH(l.run(body()), "first");
}

TEST_CASE("an exception before the join waits for it") {
  test::loop l;
  bool joined = false;
  const auto body = [](bool* before) -> task<> {
    scope s;
    s.spawn(fail_after_a_turn("early"));
    co_await test::rounds();
    *before = true;
    co_await s.join();
  };
  CHECK_THROWS_WITH(l.run(body(&joined)), "early");
  CHECK(joined);
}

TEST_CASE("what is spawned after an exception runs cancelled from the start") {
  test::loop l;
  int living = 0;
  std::error_code late;
  const auto body = [](std::error_code* out, int* n) -> task<> {
    scope s;
    s.spawn(fail_after_a_turn("early"));
    co_await test::rounds();
    s.spawn(note_how_it_ends(out, n));
    co_await s.join();
  };
  CHECK_THROWS_WITH(l.run(body(&late, &living)), "early");
  CHECK(late == std::errc::operation_canceled);
}

TEST_CASE("a scope that has thrown at its join is as good as new") {
  test::loop l;
  int living = 0;
  const auto body = [](int* n) -> task<> {
    scope s;
    for (int i = 0; i < 3; ++i) {
      s.spawn(test::sleep_long(n));
      s.spawn(fail_after_a_turn("again"));
      bool thrown = false;
      try {
        co_await s.join();
      } catch (const std::runtime_error&) {
        thrown = true;
      }
      CHECK(thrown);
      CHECK(*n == 0);
    }
  };
  l.run(body(&living));
}

TEST_CASE("cancelling a scope and joining it is no error") {
  test::loop l;
  int living = 0;
  std::error_code seen;
  const auto body = [](std::error_code* out, int* n) -> task<> {
    scope s;
    s.spawn(note_how_it_ends(out, n));
    s.spawn(test::sleep_long(n));
    co_await test::rounds();
    CHECK(*n == 2);
    s.cancel();
    CHECK(s.running() == 2);
    co_await s.join();
    CHECK(s.running() == 0);
  };
  l.run(body(&seen, &living));
  CHECK(seen == std::errc::operation_canceled);
  CHECK(living == 0);
}

TEST_CASE("another exception than the cancellation surfaces at the join of a cancelled scope") {
  test::loop l;
  int living = 0;
  const auto stubborn = [](int* n) -> task<> {
    std::error_code ended;
    co_await note_how_it_ends(&ended, n);
    throw std::runtime_error("while tidying up");
  };
  const auto body = [](const decltype(stubborn)* child, int* n) -> task<> {
    scope s;
    s.spawn((*child)(n));
    co_await test::rounds();
    s.cancel();
    co_await s.join();
  };
  CHECK_THROWS_WITH(l.run(body(&stubborn, &living)), "while tidying up");
}

TEST_CASE("what is spawned into a cancelled scope runs until its first wait") {
  test::loop l;
  std::vector<int> order;
  const auto child = [](std::vector<int>* out) -> task<> {
    out->push_back(1);
    co_await sleep_for(1h);
    out->push_back(2);
  };
  const auto body = [](const decltype(child)* c, std::vector<int>* out) -> task<> {
    scope s;
    s.cancel();
    s.spawn((*c)(out));
    co_await s.join();
  };
  l.run(body(&child, &order));
  CHECK(order == std::vector{1});
}

TEST_CASE("a join that is cancelled cancels the tasks, waits for them and throws operation_canceled") {
  test::loop l;
  int living = 0;
  std::error_code error;
  test::root r(l.core(), test::error_of(join_with_sleepers(3, &living), &error));
  l.run(test::rounds());
  REQUIRE(r.is_suspended());
  CHECK(living == 3);
  l.run(test::cancel(&r), test::until([&] { return r.has_ended(); }));
  CHECK(error == std::errc::operation_canceled);
  CHECK(living == 0);
}

TEST_CASE("a task that was cancelled before it joins cancels its children there") {
  test::loop l;
  int living = 0;
  std::error_code error;
  const auto body = [](int* n) -> task<> {
    scope s;
    s.spawn(test::sleep_long(n));
    co_await yield();
    co_await yield();
    co_await s.join();
  };
  test::root r(l.core(), test::error_of(body(&living), &error));
  r.cancel();
  l.run(test::until([&] { return r.has_ended(); }));
  CHECK(error == std::errc::operation_canceled);
  CHECK(living == 0);
}

TEST_CASE("a scope that an exception leaves behind destroys its tasks where they wait") {
  test::loop l;
  int living = 0;
  const auto body = [](int* n) -> task<> {
    scope s;
    for (int i = 0; i < 10; ++i) s.spawn(test::sleep_long(n));
    s.spawn(join_with_sleepers(5, n));
    co_await test::rounds();
    CHECK(*n == 15);
    throw std::runtime_error("before the join");
  };
  CHECK_THROWS_WITH(l.run(body(&living)), "before the join");
  CHECK(living == 0);
  l.run(test::rounds());
}

TEST_CASE("a scope that dies at once never starts its tasks") {
  test::loop l;
  std::vector<int> order;
  const auto body = [](std::vector<int>* out) -> task<> {
    {
      scope s;
      s.spawn(note(1, out));
    }
    co_await test::rounds();
  };
  l.run(body(&order));
  CHECK(order.empty());
}

TEST_CASE("in nested scopes an exception comes up and a cancellation goes down") {
  test::loop l;
  int living = 0;
  const auto inner = [](int* n) -> task<> {
    scope s;
    s.spawn(join_with_sleepers(2, n));
    s.spawn(fail_after_a_turn("from the depth"));
    co_await s.join();
  };
  const auto outer = [](const decltype(inner)* below, int* n) -> task<> {
    scope s;
    s.spawn(join_with_sleepers(3, n));
    s.spawn((*below)(n));
    co_await s.join();
  };
  CHECK_THROWS_WITH(l.run(outer(&inner, &living)), "from the depth");
  CHECK(living == 0);
}

TEST_CASE("a child may spawn its siblings and cancel its own scope") {
  test::loop l;
  int living = 0;
  const auto last = [](scope* s) -> task<> {
    s->cancel();
    co_return;
  };
  const auto first = [](const decltype(last)* next, scope* s, int* n) -> task<> {
    s->spawn(test::sleep_long(n));
    s->spawn((*next)(s));
    co_await sleep_for(1h);
  };
  const auto body = [](const decltype(first)* child, const decltype(last)* next, int* n) -> task<> {
    scope s;
    s.spawn((*child)(next, &s, n));
    co_await s.join();
  };
  l.run(body(&first, &last, &living));
  CHECK(living == 0);
}

TEST_CASE("a thousand tasks that wait in scopes are destroyed with their core") {
  test::loop l;
  int living = 0;
  for (int i = 0; i < 100; ++i) l.core().spawn(join_with_sleepers(10, &living));
  l.run(test::rounds());
  CHECK(living == 1000);
  l.destroy();
  CHECK(living == 0);
}

TEST_CASE("a scope off a core and outside a task is an error") {
  CHECK_THROWS_AS(scope(), std::system_error);
}

constexpr int many = 200'000;

// What grows with the square of the number could not end within the time that a test has.
TEST_CASE(
    "two hundred thousand children are destroyed before their first turn, or cancelled while they wait") {
  test::loop l;
  int living = 0;
  const auto destroy = [](int* n) -> task<> {
    scope s;
    for (int i = 0; i < many; ++i) s.spawn(test::sleep_long(n));
    CHECK(s.running() == many);
    co_return;
  };
  l.run(destroy(&living));
  CHECK(living == 0);
  const auto cancel = [](int* n) -> task<> {
    scope s;
    for (int i = 0; i < many; ++i) s.spawn(test::sleep_long(n));
    co_await test::rounds();
    CHECK(*n == many);
    s.cancel();
    co_await s.join();
  };
  l.run(cancel(&living));
  CHECK(living == 0);
}
