#include "weir/core/offload.hpp"

#include <sched.h>

#include <catch2/catch.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <semaphore>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "alive.hpp"
#include "loop.hpp"
#include "weir/base/error.hpp"
#include "weir/task/scope.hpp"
#include "weir/task/use_task.hpp"
#include "weir/task/when.hpp"

using namespace weir;
using namespace std::chrono_literals;

namespace {

settings workers(unsigned threads, unsigned queue) {
  settings s;
  s.workers.count = threads;
  s.workers.queue = queue;
  return s;
}

// Holds a worker until it is told to go on. Shared with the work, which may outlive the test's frame.
struct holding {
  std::atomic<bool> started{false};
  std::atomic<bool> ended{false};
  std::binary_semaphore go_on{0};
};

struct hold {
  std::shared_ptr<holding> h;
  int operator()() const {
    h->started = true;
    static_cast<void>(h->go_on.try_acquire_for(30s));
    h->ended = true;
    return 1;
  }
};

struct note_that_it_ran {
  std::shared_ptr<std::atomic<bool>> ran;
  void operator()() const { *ran = true; }
};

task<> hold_in(std::shared_ptr<holding> h, int* living) {
  const test::alive here(living);
  auto t = offload(hold{std::move(h)});
  static_cast<void>(co_await t);
}

}  // namespace

TEST_CASE("work runs on another thread, and its result comes back to the core") {
  test::loop l;
  const auto body = []() -> task<> {
    const auto here = std::this_thread::get_id();
    auto t = offload([] { return std::this_thread::get_id(); });
    const auto there = co_await t;
    CHECK(there != here);
    CHECK(std::this_thread::get_id() == here);
    auto movable = offload([] { return std::make_unique<int>(3); });
    const auto three = co_await movable;
    CHECK(*three == 3);
    bool ran = false;
    auto none = offload([p = &ran] { *p = true; });
    co_await none;
    CHECK(ran);
  };
  l.run(body());
}

TEST_CASE("the work of a pinned core may run on every CPU that the process may use") {
  cpu_set_t allowed;
  REQUIRE(::sched_getaffinity(0, sizeof allowed, &allowed) == 0);
  int first = 0;
  while (!CPU_ISSET(static_cast<unsigned>(first), &allowed)) ++first;
  core c(0, first, {});
  cpu_set_t of_core;
  cpu_set_t of_work;
  const auto ask = [](core* at, cpu_set_t* own, cpu_set_t* its) -> task<> {
    ::sched_getaffinity(0, sizeof *own, own);
    auto job = [its] { ::sched_getaffinity(0, sizeof *its, its); };
    co_await offload(job);
    at->stop();
  };
  c.post([&] { c.spawn(ask(&c, &of_core, &of_work)); });
  c.run();
  CHECK(CPU_COUNT(&of_core) == 1);
  CHECK(CPU_EQUAL(&of_work, &allowed));
}

TEST_CASE("the work's exception comes back to the core") {
  test::loop l;
  l.run([]() -> task<> {
    auto t = offload([]() -> int { throw std::runtime_error("from a worker"); });
    bool caught = false;
    try {
      static_cast<void>(co_await t);
    } catch (const std::runtime_error& e) {
      caught = std::string_view(e.what()) == "from a worker";
    }
    CHECK(caught);
  }());
}

TEST_CASE("thousands of pieces of work come back, each to the coroutine that asked") {
  test::loop l(workers(4, 10'000));
  const auto body = [](int i, int* right) -> task<> {
    auto t = offload([i] { return i * 2; });
    const int twice = co_await t;
    if (twice == i * 2) ++*right;
  };
  int right = 0;
  for (int i = 0; i < 5000; ++i) l.core().spawn(body(i, &right));
  l.run(test::until([&] { return right == 5000; }));
  CHECK(right == 5000);
}

TEST_CASE("a full queue of workers is errc::overloaded at once, and nothing has run") {
  test::loop l(workers(1, 1));
  const auto body = []() -> task<> {
    const auto first = std::make_shared<holding>();
    const auto second = std::make_shared<holding>();
    const auto ran = std::make_shared<std::atomic<bool>>(false);
    int living = 0;
    scope s;
    s.spawn(hold_in(first, &living));
    while (!first->started) co_await yield();
    s.spawn(hold_in(second, &living));
    co_await test::rounds();
    std::error_code error;
    auto refused = offload(note_that_it_ran{ran});
    try {
      co_await refused;
    } catch (const std::system_error& e) {
      error = e.code();
    }
    CHECK(error == errc::overloaded);
    CHECK_FALSE(first->ended);
    first->go_on.release();
    second->go_on.release();
    co_await s.join();
    CHECK_FALSE(*ran);
    auto accepted = offload(note_that_it_ran{ran});
    co_await accepted;
    CHECK(*ran);
  };
  l.run(body());
}

TEST_CASE("cancelled work that waits in the queue never runs") {
  test::loop l(workers(1, 4));
  const auto holder = std::make_shared<holding>();
  const auto ran = std::make_shared<std::atomic<bool>>(false);
  int living = 0;
  test::root first(l.core(), hold_in(holder, &living));
  l.run(test::until([&] { return holder->started.load(); }));
  std::error_code error;
  test::root second(l.core(), test::error_of(offload(note_that_it_ran{ran}), &error));
  l.run(test::rounds());
  CHECK(l.core().offload_threads().queued() == 1);
  l.run(test::cancel(&second), test::until([&] { return second.has_ended(); }));
  CHECK(error == std::errc::operation_canceled);
  CHECK(l.core().offload_threads().queued() == 0);
  holder->go_on.release();
  l.run(test::until([&] { return first.has_ended(); }));
  CHECK_FALSE(*ran);
}

TEST_CASE("cancelled work that runs is not waited for, runs to its end, and its result is dropped") {
  test::loop l(workers(1, 4));
  const auto holder = std::make_shared<holding>();
  int living = 0;
  std::error_code error;
  {
    test::root r(l.core(), test::error_of(hold_in(holder, &living), &error));
    l.run(test::until([&] { return holder->started.load(); }));
    l.run(test::cancel(&r), test::until([&] { return r.has_ended(); }));
  }
  CHECK(error == std::errc::operation_canceled);
  CHECK(living == 0);
  CHECK_FALSE(holder->ended);
  holder->go_on.release();
  l.run(test::until([&] { return holder->ended.load(); }));
  l.run(test::until([&] { return holder.use_count() == 1; }));
}

TEST_CASE("cancelling at the very moment at which the work ends is harmless") {
  test::loop l(workers(2, 100));
  const auto short_work = [](int i) -> task<> {
    auto t = offload([i] { return i; });
    static_cast<void>(co_await t);
  };
  const auto body = [](const decltype(short_work)* work) -> task<> {
    for (int i = 0; i < 3000; ++i) {
      scope s;
      for (int k = 0; k < 4; ++k) s.spawn((*work)(i));
      co_await test::rounds(i % 7);
      s.cancel();
      co_await s.join();
    }
  };
  l.run(body(&short_work));
}

TEST_CASE("a frame that is cancelled or destroyed after its wake-up has come home is forgotten") {
  // Always in the run queue, so that a chain that is woken stands behind it.
  const auto catch_when_queued = [](std::optional<test::root>* r, bool destroy) -> task<> {
    while (!(*r)->is_queued()) co_await yield();
    if (destroy)
      r->reset();
    else
      (*r)->cancel();
  };
  for (const bool destroy : {true, false}) {
    test::loop l(workers(1, 4));
    const auto holder = std::make_shared<holding>();
    int living = 0;
    std::error_code error;
    std::optional<test::root> r;
    r.emplace(l.core(), test::error_of(hold_in(holder, &living), &error));
    l.run(test::until([&] { return holder->started.load(); }));
    holder->go_on.release();
    l.run(catch_when_queued(&r, destroy));
    if (r) l.run(test::until([&] { return r->has_ended(); }));
    CHECK(living == 0);
    // What was given back wrongly would be handed out twice here.
    std::vector<remote_wake*> wakes;
    test::stray s;
    for (int i = 0; i < 100; ++i) wakes.push_back(remote_wake::make(s));
    bool whole = true;
    for (const auto* w : wakes) whole = whole && w->root == &s;
    CHECK(whole);
    for (auto* w : wakes) remote_wake::free(w);
  }
}

TEST_CASE("a core that is destroyed with work running waits for it; what is queued never runs") {
  test::loop l(workers(1, 2000));
  const auto holder = std::make_shared<holding>();
  const auto ran = std::make_shared<std::atomic<bool>>(false);
  int living = 0;
  l.core().spawn(hold_in(holder, &living));
  l.run(test::until([&] { return holder->started.load(); }));
  const auto queued = [](std::shared_ptr<std::atomic<bool>> flag, int* n) -> task<> {
    const test::alive here(n);
    auto t = offload(note_that_it_ran{std::move(flag)});
    co_await t;
  };
  for (int i = 0; i < 1000; ++i) l.core().spawn(queued(ran, &living));
  l.run(test::rounds());
  CHECK(living == 1001);
  std::jthread other([holder, pool = &l.core().offload_threads()] {
    while (pool->queued() > 0) std::this_thread::yield();
    holder->go_on.release();
  });
  l.destroy();
  CHECK(holder->ended);
  CHECK_FALSE(*ran);
  CHECK(living == 0);
}

namespace {

// Notes on which thread the last of its copies dies.
struct dies_on {
  explicit dies_on(std::thread::id* at)
      : owner(at, [](std::thread::id* p) { *p = std::this_thread::get_id(); }) {}
  std::shared_ptr<std::thread::id> owner;
};

}  // namespace

TEST_CASE("what a job has captured dies on the core, before the result is taken") {
  test::loop l;
  const auto body = []() -> task<> {
    for (int i = 0; i < 2000; ++i) {
      std::thread::id died_on;
      bool dead_before_result = false;
      {
        auto work = offload([d = dies_on(&died_on)] { return 1; });
        const int one = co_await work;
        dead_before_result = one == 1 && died_on != std::thread::id();
      }
      if (died_on != std::this_thread::get_id() || !dead_before_result) FAIL("in round " << i);
    }
  };
  l.run(body());
}

TEST_CASE(
    "what a job has captured dies on the core if its coroutine is cancelled or destroyed while it runs") {
  for (const bool destroy : {false, true}) {
    CAPTURE(destroy);
    test::loop l(workers(1, 4));
    const auto holder = std::make_shared<holding>();
    std::thread::id died_on;
    const auto body = [](std::shared_ptr<holding> h, std::thread::id* at) -> task<> {
      auto work = offload([captured = dies_on(at), job = hold{std::move(h)}] { return job(); });
      static_cast<void>(co_await work);
    };
    std::error_code error;
    std::optional<test::root> r;
    r.emplace(l.core(), test::error_of(body(holder, &died_on), &error));
    l.run(test::until([&] { return holder->started.load(); }));
    if (destroy) {
      r.reset();
    } else {
      l.run(test::cancel(&*r), test::until([&] { return r->has_ended(); }));
      CHECK(error == std::errc::operation_canceled);
      r.reset();
    }
    CHECK(died_on == std::thread::id());
    CHECK(l.core().has_own_work());
    holder->go_on.release();
    l.run(test::until([&] { return died_on != std::thread::id(); }));
    CHECK(died_on == std::this_thread::get_id());
    CHECK(holder->ended);
  }
}

TEST_CASE("a core that shares its offload threads waits for its own jobs when it is destroyed") {
  offload_pool shared(1, 4);
  const auto holder = std::make_shared<holding>();
  std::thread::id died_on;
  std::optional<core> c(std::in_place, 0U, std::nullopt, settings{}, &shared);
  const auto body = [](std::shared_ptr<holding> h, std::thread::id* at) -> task<> {
    auto work = offload([captured = dies_on(at), job = hold{std::move(h)}] { return job(); });
    static_cast<void>(co_await work);
  };
  c->spawn(body(holder, &died_on));
  while (!holder->started) c->poll();
  std::jthread other([holder] { holder->go_on.release(); });
  c.reset();
  CHECK(holder->ended);
  CHECK(died_on == std::this_thread::get_id());
}

TEST_CASE("a job that is left by a task which Asio code has spawned comes home after the task has ended") {
  test::loop l(workers(1, 4));
  const auto holder = std::make_shared<holding>();
  std::thread::id died_on;
  bool ended = false;
  const auto body = [](std::shared_ptr<holding> h, std::thread::id* at, bool* out) -> task<> {
    const auto when_started = [](std::shared_ptr<holding> waited_for) -> task<> {
      while (!waited_for->started) co_await yield();
    };
    auto work = offload([captured = dies_on(at), job = hold{h}] { return job(); });
    auto first = when_any(std::move(work), when_started(h));
    const auto winner = co_await first;
    CHECK(winner.index() == 1);
    *out = true;
  };
  weir::spawn(l.core().context().get_executor(), body(holder, &died_on, &ended), asio::detached);
  l.run(test::until([&] { return ended; }));
  l.run(test::rounds());  // the spawned task's frame and run queue are gone
  CHECK(died_on == std::thread::id());
  holder->go_on.release();
  l.run(test::until([&] { return died_on != std::thread::id(); }));
  CHECK(died_on == std::this_thread::get_id());
}
