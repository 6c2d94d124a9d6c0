#include "weir/process/detail/worker_siblings.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include <atomic>
#include <chrono>
#include <future>
#include <thread>

#include "sockets.hpp"

using namespace weir;
using namespace weir::process;
using namespace std::chrono_literals;

namespace {

struct fixture {
  fixture() { self.now = other.now = worker_score::state::serving; }

  scoreboard board;
  worker_score& self = *board.take();
  worker_score& other = *board.take();
  worker_siblings here{board, self, &worker_score::load};
  worker_siblings there{board, other, &worker_score::load};
};

}  // namespace

TEST_CASE("a load counts what is on its way to a worker") {
  fixture f;
  f.self.load = 3;
  f.self.coming = 2;
  CHECK(f.here.own_load() == 5);
  CHECK(f.there.least_load() == 5);
  CHECK(f.here.own_is_above_share());
  f.other.coming = 3;
  CHECK_FALSE(f.here.own_is_above_share());
}

TEST_CASE("a sibling that cannot take a connection is not waited for") {
  fixture f;
  f.self.load = 9;
  CHECK(f.here.own_is_above_share());
  f.there.hold_up(true);
  CHECK_FALSE(f.here.own_is_above_share());
  f.there.hold_up(false);
  CHECK(f.here.own_is_above_share());
  CHECK_FALSE(f.here.any_passed_over());
  f.other.passed_over = 1;
  CHECK_FALSE(f.here.own_is_above_share());
  CHECK(f.here.any_passed_over());
  CHECK_FALSE(f.there.any_passed_over());
}

TEST_CASE(
    "a worker that waits for its share is woken in another process when the load that it needs is there") {
  fixture f;
  f.self.load = 9;
  const auto child = ::fork();
  if (child == 0) {
    ::alarm(30);
    f.here.wait_for_least(7, 1h);
    ::_exit(f.here.least_load() == 7 ? 0 : 1);
  }
  REQUIRE(test::eventually([&] { return f.board.pool().least_awaited.load() == 7; }));
  f.other.load = 6;
  f.there.has_grown();  // not enough: it sleeps on
  CHECK(f.board.pool().least_awaited.load() == 7);
  f.other.load = 7;
  f.there.has_grown();
  int status = -1;
  CHECK(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}

TEST_CASE("a worker that waits for its share is woken when its own connections end") {
  fixture f;
  f.self.load = 9;
  std::atomic<bool> waits{false};
  auto waited = std::async(std::launch::async, [&] {
    const auto begin = std::chrono::steady_clock::now();
    waits = true;
    f.here.wait_for_least(least_needed_for(9), 60s);
    return std::chrono::steady_clock::now() - begin;
  });
  while (!waits) std::this_thread::yield();
  f.self.load = 4;
  f.here.has_shrunk();  // above its share still: nobody is woken for it
  f.self.load = 1;
  f.here.has_shrunk();
  CHECK(waited.get() < 30s);
}
