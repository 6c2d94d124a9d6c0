#include "weir/task/semaphore.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <optional>
#include <system_error>
#include <vector>

#include "alive.hpp"
#include "loop.hpp"
#include "weir/task/scope.hpp"

using namespace weir;

namespace {

task<> take_then_note(semaphore* s, int name, std::vector<int>* order) {
  co_await s->acquire();
  order->push_back(name);
}
task<> give(semaphore* s) {
  s->release();
  co_return;
}
task<> take_alive(semaphore* s, int* living) {
  const test::alive here(living);
  co_await s->acquire();
}

}  // namespace

TEST_CASE("no more than the permits are inside at once, and all get in") {
  test::loop l;
  const auto worker = [](semaphore* s, int* inside, int* most, int* done) -> task<> {
    for (int i = 0; i < 20; ++i) {
      co_await s->acquire();
      *most = std::max(*most, ++*inside);
      co_await test::rounds(3);
      --*inside;
      s->release();
    }
    ++*done;
  };
  const auto body = [](const decltype(worker)* w, int* most, int* done) -> task<> {
    semaphore permits(3);
    int inside = 0;
    scope all;
    for (int i = 0; i < 50; ++i) all.spawn((*w)(&permits, &inside, most, done));
    co_await all.join();
    CHECK(permits.available() == 3);
  };
  int most = 0;
  int done = 0;
  l.run(body(&worker, &most, &done));
  CHECK(most == 3);
  CHECK(done == 50);
}

TEST_CASE("a release goes to the coroutine that has waited longest, and none overtakes it") {
  test::loop l;
  semaphore s(0);
  std::vector<int> order;
  test::root first(l.core(), take_then_note(&s, 1, &order));
  test::root second(l.core(), take_then_note(&s, 2, &order));
  l.run(test::rounds());
  CHECK_FALSE(s.try_acquire());
  const auto release_and_try = [](semaphore* on) -> task<> {
    on->release();
    CHECK_FALSE(on->try_acquire());  // it has been given to the first
    co_return;
  };
  l.run(release_and_try(&s), test::until([&] { return first.has_ended(); }));
  CHECK(order == std::vector{1});
  l.run(give(&s), test::until([&] { return second.has_ended(); }));
  CHECK(order == std::vector{1, 2});
  CHECK(s.available() == 0);
}

TEST_CASE("try_acquire takes a free permit and no other") {
  semaphore s(1);
  CHECK(s.available() == 1);
  CHECK(s.try_acquire());
  CHECK_FALSE(s.try_acquire());
  s.release();
  CHECK(s.available() == 1);
}

TEST_CASE("a cancelled acquire throws operation_canceled and takes no permit") {
  test::loop l;
  semaphore s(0);
  std::vector<int> order;
  std::error_code error;
  test::root first(l.core(), test::error_of(take_then_note(&s, 1, &order), &error));
  test::root second(l.core(), take_then_note(&s, 2, &order));
  l.run(test::rounds());
  l.run(test::cancel(&first), test::until([&] { return first.has_ended(); }));
  CHECK(error == std::errc::operation_canceled);
  l.run(give(&s), test::until([&] { return second.has_ended(); }));
  CHECK(order == std::vector{2});
  CHECK(s.available() == 0);
}

TEST_CASE("a permit that was given before the cancellation is had") {
  test::loop l;
  semaphore s(0);
  std::vector<int> order;
  std::error_code error;
  test::root r(l.core(), test::error_of(take_then_note(&s, 1, &order), &error));
  l.run(test::rounds());
  const auto both = [](semaphore* on, chain* c) -> task<> {
    on->release();
    c->cancel();
    co_return;
  };
  l.run(both(&s, &r), test::until([&] { return r.has_ended(); }));
  CHECK(order == std::vector{1});
  CHECK_FALSE(error);
  CHECK(s.available() == 0);
}

TEST_CASE("a permit on its way to a frame that is destroyed goes to the next in line") {
  test::loop l;
  semaphore s(0);
  std::vector<int> order;
  std::optional<test::root> first;
  first.emplace(l.core(), take_then_note(&s, 1, &order));
  test::root second(l.core(), take_then_note(&s, 2, &order));
  l.run(test::rounds());
  const auto both = [](semaphore* on, std::optional<test::root>* r) -> task<> {
    on->release();
    r->reset();
    co_return;
  };
  l.run(both(&s, &first), test::until([&] { return second.has_ended(); }));
  CHECK(order == std::vector{2});
}

TEST_CASE("a thousand tasks that wait for a semaphore are destroyed with their core, and no permit is lost") {
  semaphore s(0);
  test::loop l;
  int living = 0;
  for (int i = 0; i < 1000; ++i) l.core().spawn(take_alive(&s, &living));
  l.run(test::rounds());
  CHECK(living == 1000);
  for (int i = 0; i < 10; ++i) s.release();
  l.destroy();
  CHECK(living == 0);
  CHECK(s.available() == 10);
}
