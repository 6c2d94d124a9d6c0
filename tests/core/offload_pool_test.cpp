#include "weir/core/detail/offload_pool.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <deque>
#include <functional>
#include <latch>
#include <mutex>
#include <semaphore>
#include <set>
#include <thread>
#include <utility>

#include "sockets.hpp"

using namespace weir;

namespace {

class call final : public offload_pool::job {
 public:
  explicit call(std::function<void()> f) : f_(std::move(f)) {}
  void run() noexcept override { f_(); }

 private:
  std::function<void()> f_;
};

// Keeps the jobs that it makes.
class jobs {
 public:
  call& operator()(std::function<void()> f) { return made_.emplace_back(std::move(f)); }

 private:
  std::deque<call> made_;
};

constexpr const void* no_owner = nullptr;

}  // namespace

TEST_CASE("jobs run on other threads, and no more of them than the limit") {
  std::mutex m;
  std::set<std::thread::id> threads;
  std::atomic<int> done{0};
  jobs job;
  offload_pool pool(3, 1000);
  for (int i = 0; i < 500; ++i) {
    REQUIRE(pool.submit(job([&] {
                          const std::lock_guard lock(m);
                          threads.insert(std::this_thread::get_id());
                          ++done;
                        }),
                        no_owner));
  }
  CHECK(test::eventually([&] { return done == 500; }));
  const std::lock_guard lock(m);
  CHECK(threads.size() <= 3);
  CHECK(threads.count(std::this_thread::get_id()) == 0);
}

TEST_CASE("jobs that block run at the same time, up to the limit") {
  std::latch together(4);
  jobs job;
  offload_pool pool(3, 10);  // ends first, and its jobs with it
  for (int i = 0; i < 3; ++i) {
    REQUIRE(pool.submit(job([&] { together.arrive_and_wait(); }), no_owner));
  }
  together.arrive_and_wait();  // hangs, to the limit of the test, unless all three are there
}

TEST_CASE("a full queue refuses at once, and takes again when there is room") {
  std::binary_semaphore started(0);
  std::binary_semaphore go_on(0);
  std::atomic<int> done{0};
  jobs job;
  offload_pool pool(1, 2);
  REQUIRE(pool.submit(job([&] {
                        started.release();
                        go_on.acquire();
                      }),
                      no_owner));
  started.acquire();
  REQUIRE(pool.submit(job([&] { ++done; }), no_owner));
  REQUIRE(pool.submit(job([&] { ++done; }), no_owner));
  CHECK(pool.queued() == 2);
  CHECK_FALSE(pool.submit(job([&] { ++done; }), no_owner));
  go_on.release();
  CHECK(test::eventually([&] { return done == 2; }));
  CHECK(pool.queued() == 0);
  CHECK(pool.submit(job([&] { ++done; }), no_owner));
  CHECK(test::eventually([&] { return done == 3; }));
}

TEST_CASE("a job is withdrawn only while it waits") {
  jobs job;
  offload_pool pool(1, 2);
  std::binary_semaphore started(0);
  std::binary_semaphore go_on(0);
  bool ran = false;
  auto& running = job([&] {
    started.release();
    go_on.acquire();
  });
  auto& waiting = job([&] { ran = true; });
  REQUIRE(pool.submit(running, no_owner));
  started.acquire();
  REQUIRE(pool.submit(waiting, no_owner));
  CHECK_FALSE(pool.withdraw(running));
  CHECK(pool.queued() == 1);
  CHECK(pool.withdraw(waiting));
  CHECK(pool.queued() == 0);
  go_on.release();
  pool.stop();
  CHECK_FALSE(ran);
}

TEST_CASE("stopping waits for what runs, drops what waits and refuses what comes") {
  jobs job;
  offload_pool pool(1, 2);
  std::binary_semaphore started(0);
  std::binary_semaphore go_on(0);
  std::atomic<bool> ended{false};
  bool ran = false;
  REQUIRE(pool.submit(job([&] {
                        started.release();
                        go_on.acquire();
                        ended = true;
                      }),
                      no_owner));
  started.acquire();
  auto& waiting = job([&] { ran = true; });
  REQUIRE(pool.submit(waiting, no_owner));
  std::jthread other([&] {
    // The queue is empty once stop() has begun.
    while (pool.queued() > 0) std::this_thread::yield();
    go_on.release();
  });
  pool.stop();
  CHECK(ended);
  CHECK_FALSE(ran);
  CHECK(pool.withdraw(waiting));  // dropped: it will not run
  CHECK_FALSE(pool.submit(waiting, no_owner));
  pool.stop();
}

TEST_CASE(
    "an owner that leaves the pool has its waiting jobs dropped and its running ones waited for, and no "
    "others") {
  jobs job;
  offload_pool pool(2, 10);
  const int me = 0;
  const int other = 0;
  std::atomic<int> started{0};
  std::binary_semaphore mine_goes_on(0);
  std::binary_semaphore others_goes_on(0);
  std::atomic<bool> mine_ended{false};
  std::atomic<bool> others_ended{false};
  std::atomic<bool> mine_ran{false};
  std::atomic<bool> others_ran{false};
  REQUIRE(pool.submit(job([&] {
                        ++started;
                        mine_goes_on.acquire();
                        mine_ended = true;
                      }),
                      &me));
  REQUIRE(pool.submit(job([&] {
                        ++started;
                        others_goes_on.acquire();
                        others_ended = true;
                      }),
                      &other));
  REQUIRE(test::eventually([&] { return started == 2; }));
  REQUIRE(pool.submit(job([&] { mine_ran = true; }), &me));
  REQUIRE(pool.submit(job([&] { others_ran = true; }), &other));
  std::jthread release([&] {
    while (pool.queued() > 1) std::this_thread::yield();
    mine_goes_on.release();
  });
  pool.leave(&me);
  CHECK(mine_ended);
  CHECK_FALSE(others_ended);
  others_goes_on.release();
  CHECK(test::eventually([&] { return others_ended && others_ran; }));
  CHECK_FALSE(mine_ran);
}

// What grows with the square of the number could not end within the time that a test has.
TEST_CASE("three hundred thousand jobs are withdrawn from the queue, the youngest first") {
  jobs job;
  std::deque<call*> waiting;
  std::binary_semaphore go_on(0);  // outlives the thread that waits for it
  offload_pool pool(1, 400'000);
  REQUIRE(pool.submit(job([&] { go_on.acquire(); }), no_owner));
  for (int i = 0; i < 300'000; ++i) {
    waiting.push_back(&job([] {}));
    if (!pool.submit(*waiting.back(), no_owner)) FAIL("the queue is full");
  }
  std::size_t withdrawn = 0;
  for (; !waiting.empty(); waiting.pop_back()) withdrawn += pool.withdraw(*waiting.back()) ? 1 : 0;
  CHECK(withdrawn >= 299'999);
  go_on.release();
}
