#include "weir/task/detail/run_queue.hpp"

#include <catch2/catch.hpp>

#include <deque>
#include <system_error>
#include <thread>
#include <vector>

#include "loop.hpp"
#include "weir/base/error.hpp"

using namespace weir;

TEST_CASE("a thread has no run queue until one is entered, and the one before it afterwards") {
  CHECK(run_queue::current() == nullptr);
  try {
    static_cast<void>(run_queue::here());
    FAIL("no error");
  } catch (const std::system_error& e) {
    CHECK(e.code() == errc::not_on_a_core);
  }
  test::stray a;
  test::stray b;
  {
    const run_queue::entered first(a);
    CHECK(run_queue::current() == static_cast<run_queue*>(&a));
    {
      const run_queue::entered second(b);
      CHECK(&run_queue::here() == static_cast<run_queue*>(&b));
    }
    CHECK(run_queue::current() == static_cast<run_queue*>(&a));
    std::jthread([] { CHECK(run_queue::current() == nullptr); }).join();
  }
  CHECK(run_queue::current() == nullptr);
}

TEST_CASE("a wake-up that arrives is gone from where it was kept, and tells whom it wakes") {
  test::stray line;
  remote_wake* kept = nullptr;
  kept = remote_wake::make(line, &kept);
  CHECK(remote_wake::arrived(kept) == static_cast<chain*>(&line));
  CHECK(kept == nullptr);
  CHECK(remote_wake::arrived(remote_wake::make(line)) == static_cast<chain*>(&line));
}

TEST_CASE("a wake-up that was disowned wakes no chain and touches nothing") {
  test::stray line;
  remote_wake* kept = nullptr;
  kept = remote_wake::make(line, &kept);
  remote_wake* const in_flight = kept;
  kept->root = nullptr;
  CHECK(remote_wake::arrived(in_flight) == nullptr);
  CHECK(kept == in_flight);
}

TEST_CASE("wake-ups from many threads at once all arrive on the home thread") {
  test::loop l;
  // Counts its turns, and waits for the next wake-up.
  struct counting final : chain {
    explicit counting(core& c) : chain(c.driver()), on(c.driver()) {}
    counting(const counting&) = delete;
    counting& operator=(const counting&) = delete;
    ~counting() { on.unschedule(*this); }
    void finished() noexcept override {}
    void turn() override {
      ++turns;
      here = std::this_thread::get_id();
    }
    run_queue& on;
    int turns = 0;
    std::thread::id here;
  };
  std::deque<counting> lines;
  for (int i = 0; i < 400; ++i) lines.emplace_back(l.core());
  std::vector<std::jthread> threads;
  for (std::size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&lines, &l, t] {
      for (std::size_t i = t * 100; i < t * 100 + 100; ++i)
        l.core().driver().deliver(remote_wake::make(lines[i]));
    });
  }
  const auto all_had_a_turn = [&lines] {
    for (const auto& c : lines) {
      if (c.turns == 0) return false;
    }
    return true;
  };
  l.run(test::until(all_had_a_turn));
  bool once_and_here = true;
  for (const auto& c : lines)
    once_and_here = once_and_here && c.turns == 1 && c.here == std::this_thread::get_id();
  CHECK(once_and_here);
}
