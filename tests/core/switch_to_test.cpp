#include "weir/core/switch_to.hpp"

#include <catch2/catch.hpp>

#include <exception>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "alive.hpp"
#include "loop.hpp"
#include "weir/core/core_pool.hpp"
#include "weir/core/within.hpp"
#include "weir/task/scope.hpp"

using namespace weir;
using namespace std::chrono_literals;

namespace {

const std::vector<std::optional<int>> two{std::nullopt, std::nullopt};

// Runs `t` on core 0 and throws what it has thrown.
void run(core_pool& pool, task<> t) {
  std::exception_ptr failure;
  const auto watched = [](task<> inner, core_pool* p, std::exception_ptr* out) -> task<> {
    try {
      co_await inner;
    } catch (...) {
      *out = std::current_exception();
    }
    p->stop();
  };
  pool[0].spawn(watched(std::move(t), &pool, &failure));
  pool.run();
  if (failure) std::rethrow_exception(failure);
}

task<unsigned> index_there(core* there) {
  co_await switch_to(*there);
  co_await yield();
  co_return core::here().index();
}

}  // namespace

TEST_CASE("a task goes on at the other core's thread, and comes home") {
  core_pool pool(two, {});
  const auto body = [](core_pool* p) -> task<> {
    const auto home = std::this_thread::get_id();
    co_await switch_to((*p)[1]);
    CHECK(core::current() == &(*p)[1]);
    CHECK(std::this_thread::get_id() != home);
    co_await sleep_for(1ms);  // on the other core's clock
    CHECK(core::current() == &(*p)[1]);
    co_await switch_to((*p)[0]);
    CHECK(core::current() == &(*p)[0]);
    CHECK(std::this_thread::get_id() == home);
  };
  run(pool, body(&pool));
}

TEST_CASE("switching to the core on which one is does not wait") {
  test::loop l;
  std::vector<int> order;
  const auto body = [](core* here, std::vector<int>* out) -> task<> {
    co_await switch_to(*here);
    out->push_back(1);
  };
  const auto other = [](std::vector<int>* out) -> task<> {
    out->push_back(2);
    co_return;
  };
  l.run(body(&l.core(), &order), other(&order));
  CHECK(order == std::vector{1, 2});
}

TEST_CASE("what awaits a task that switches goes along") {
  core_pool pool(two, {});
  const auto body = [](core_pool* p) -> task<> {
    auto t = index_there(&(*p)[1]);
    const unsigned there = co_await t;
    CHECK(there == 1);
    CHECK(core::here().index() == 1);
    co_await switch_to((*p)[0]);
  };
  run(pool, body(&pool));
}

TEST_CASE("ten thousand visits end where they should") {
  core_pool pool(two, {});
  const auto body = [](core_pool* p, int* wrong) -> task<> {
    for (int i = 0; i < 10'000; ++i) {
      core& next = (*p)[i % 2 == 0 ? 1 : 0];
      co_await switch_to(next);
      if (core::current() != &next) ++*wrong;
    }
  };
  int wrong = 0;
  run(pool, body(&pool, &wrong));
  CHECK(wrong == 0);
}

TEST_CASE("a spawned task that ends elsewhere is taken home") {
  core_pool pool(two, {});
  int living = 0;
  // Destroyed with the frame, which is destroyed at home.
  struct last {
    std::optional<unsigned>* where;
    core_pool* p;
    explicit last(std::optional<unsigned>* w, core_pool* pool) : where(w), p(pool) {}
    last(last&& other) noexcept : where(std::exchange(other.where, nullptr)), p(other.p) {}
    ~last() {
      if (where == nullptr) return;
      *where = core::here().index();
      p->stop();
    }
  };
  const auto body = [](last, core* there, int* n) -> task<> {
    const test::alive here(n);
    co_await switch_to(*there);
  };
  std::optional<unsigned> freed_on;
  pool[0].spawn(body(last(&freed_on, &pool), &pool[1], &living));
  pool.run();
  CHECK(freed_on == 0U);
  CHECK(living == 0);
}

TEST_CASE("a child that ends elsewhere is joined at home, with its exception") {
  core_pool pool(two, {});
  const auto child = [](core* there) -> task<> {
    co_await switch_to(*there);
    throw std::runtime_error("from the other core");
  };
  const auto body = [](const decltype(child)* c, core_pool* p) -> task<> {
    for (int i = 0; i < 100; ++i) {
      scope s;
      for (int k = 0; k < 3; ++k) s.spawn((*c)(&(*p)[1]));
      bool thrown = false;
      try {
        co_await s.join();
      } catch (const std::runtime_error&) {
        thrown = true;
      }
      CHECK(thrown);
      CHECK(core::here().index() == 0);
    }
  };
  run(pool, body(&child, &pool));
}

TEST_CASE("the work of a deadline visits another core and brings its result") {
  core_pool pool(two, {});
  const auto body = [](core_pool* p) -> task<> {
    auto t = within(1h, index_there(&(*p)[1]));
    const unsigned there = co_await t;
    CHECK(there == 1);
    CHECK(core::here().index() == 0);
  };
  run(pool, body(&pool));
}

TEST_CASE("a cancelled task switches all the same, and notices at its next wait there") {
  core_pool pool(two, {});
  const auto child = [](scope* s, core* there, bool* arrived) -> task<> {
    s->cancel();
    co_await switch_to(*there);
    *arrived = core::current() == there;
    co_await sleep_for(1h);
  };
  const auto body = [](const decltype(child)* c, core_pool* p, bool* arrived) -> task<> {
    scope s;
    s.spawn((*c)(&s, &(*p)[1], arrived));
    co_await s.join();
  };
  bool arrived = false;
  run(pool, body(&child, &pool, &arrived));
  CHECK(arrived);
}

TEST_CASE("a cancelled task whose wait has ended before its turn leaves no turn behind") {
  core_pool pool(two, {});
  const auto at_once = []() -> task<> { co_return; };
  // Its child has ended and waits for its turn, when this one, cancelled, joins it.
  const auto child = [](const decltype(at_once)* c, scope* above, core* there, int* wrong) -> task<> {
    scope s;
    s.spawn((*c)());
    co_await yield();
    above->cancel();
    co_await s.join();
    co_await switch_to(*there);
    if (core::current() != there) ++*wrong;
    co_await yield();
    if (core::current() != there) ++*wrong;
  };
  const auto body = [](const decltype(child)* c, const decltype(at_once)* inner, core_pool* p,
                       int* wrong) -> task<> {
    for (int i = 0; i < 200; ++i) {
      scope s;
      s.spawn((*c)(inner, &s, &(*p)[1], wrong));
      co_await s.join();
    }
  };
  int wrong = 0;
  run(pool, body(&child, &at_once, &pool, &wrong));
  CHECK(wrong == 0);
}
