#include "weir/task/event.hpp"

#include <catch2/catch.hpp>

#include <system_error>
#include <vector>

#include "alive.hpp"
#include "loop.hpp"

using namespace weir;

namespace {

task<> wait_then_note(event* e, int name, std::vector<int>* order) {
  co_await e->wait();
  order->push_back(name);
}
task<> set(event* e) {
  e->set();
  co_return;
}
task<> wait_alive(event* e, int* living) {
  const test::alive here(living);
  co_await e->wait();
}

}  // namespace

TEST_CASE("an event resumes all who wait, in the order in which they came") {
  test::loop l;
  event e;
  std::vector<int> order;
  CHECK_FALSE(e.is_set());
  l.run(wait_then_note(&e, 1, &order), wait_then_note(&e, 2, &order), wait_then_note(&e, 3, &order), set(&e));
  CHECK(e.is_set());
  CHECK(order == std::vector{1, 2, 3});
}

TEST_CASE("who waits for an event that is set does not wait, until it is reset") {
  test::loop l;
  event e;
  e.set();
  e.set();
  std::vector<int> order;
  l.run(wait_then_note(&e, 1, &order));
  CHECK(order == std::vector{1});
  e.reset();
  CHECK_FALSE(e.is_set());
  test::root r(l.core(), wait_then_note(&e, 2, &order));
  l.run(test::rounds());
  CHECK(r.is_suspended());
  l.run(set(&e), test::until([&] { return r.has_ended(); }));
  CHECK(order == std::vector{1, 2});
}

TEST_CASE("an event that is set and reset at once has woken those who waited") {
  test::loop l;
  event e;
  std::vector<int> order;
  const auto pulse = [](event* on) -> task<> {
    on->set();
    on->reset();
    co_return;
  };
  l.run(wait_then_note(&e, 1, &order), wait_then_note(&e, 2, &order), pulse(&e));
  CHECK(order == std::vector{1, 2});
  CHECK_FALSE(e.is_set());
}

TEST_CASE("a cancelled wait throws operation_canceled, and the event is as it was for the others") {
  test::loop l;
  event e;
  std::vector<int> order;
  std::error_code error;
  test::root first(l.core(), wait_then_note(&e, 1, &order));
  test::root second(l.core(), test::error_of(wait_then_note(&e, 2, &order), &error));
  test::root third(l.core(), wait_then_note(&e, 3, &order));
  l.run(test::rounds());
  l.run(test::cancel(&second), test::until([&] { return second.has_ended(); }));
  CHECK(error == std::errc::operation_canceled);
  CHECK_FALSE(e.is_set());
  l.run(set(&e), test::until([&] { return first.has_ended() && third.has_ended(); }));
  CHECK(order == std::vector{1, 3});
}

TEST_CASE("waiting in a cancelled task ends at once with operation_canceled") {
  test::loop l;
  event e;
  std::vector<int> order;
  std::error_code error;
  test::root r(l.core(), test::error_of(wait_then_note(&e, 1, &order), &error));
  r.cancel();
  l.run(test::until([&] { return r.has_ended(); }));
  CHECK(error == std::errc::operation_canceled);
}

TEST_CASE("a thousand tasks that wait for an event are destroyed with their core") {
  event e;
  test::loop l;
  int living = 0;
  for (int i = 0; i < 1000; ++i) l.core().spawn(wait_alive(&e, &living));
  l.run(test::rounds());
  CHECK(living == 1000);
  SECTION("as they wait") {}
  SECTION("when the event has just been set") { e.set(); }
  l.destroy();
  CHECK(living == 0);
}
