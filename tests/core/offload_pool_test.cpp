#include "weir/core/detail/offload_pool.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <functional>
#include <latch>
#include <memory>
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

std::shared_ptr<call> job(std::function<void()> f) { return std::make_shared<call>(std::move(f)); }

}  // namespace

TEST_CASE("jobs run on other threads, and no more of them than the limit") {
  std::mutex m;
  std::set<std::thread::id> threads;
  std::atomic<int> done{0};
  offload_pool pool(3, 1000);
  for (int i = 0; i < 500; ++i) {
    REQUIRE(pool.submit(job([&] {
      const std::lock_guard lock(m);
      threads.insert(std::this_thread::get_id());
      ++done;
    })));
  }
  CHECK(test::eventually([&] { return done == 500; }));
  const std::lock_guard lock(m);
  CHECK(threads.size() <= 3);
  CHECK(threads.count(std::this_thread::get_id()) == 0);
}

TEST_CASE("jobs that block run at the same time, up to the limit") {
  std::latch together(4);
  offload_pool pool(3, 10);  // ends first, and its jobs with it
  for (int i = 0; i < 3; ++i) {
    REQUIRE(pool.submit(job([&] { together.arrive_and_wait(); })));
  }
  together.arrive_and_wait();  // hangs, to the limit of the test, unless all three are there
}

TEST_CASE("a full queue refuses at once, and takes again when there is room") {
  std::binary_semaphore started(0);
  std::binary_semaphore go_on(0);
  std::atomic<int> done{0};
  offload_pool pool(1, 2);
  REQUIRE(pool.submit(job([&] {
    started.release();
    go_on.acquire();
  })));
  started.acquire();
  REQUIRE(pool.submit(job([&] { ++done; })));
  REQUIRE(pool.submit(job([&] { ++done; })));
  CHECK(pool.queued() == 2);
  CHECK_FALSE(pool.submit(job([&] { ++done; })));
  go_on.release();
  CHECK(test::eventually([&] { return done == 2; }));
  CHECK(pool.queued() == 0);
  CHECK(pool.submit(job([&] { ++done; })));
  CHECK(test::eventually([&] { return done == 3; }));
}

TEST_CASE("a job is withdrawn only while it waits") {
  offload_pool pool(1, 2);
  std::binary_semaphore started(0);
  std::binary_semaphore go_on(0);
  bool ran = false;
  const auto running = job([&] {
    started.release();
    go_on.acquire();
  });
  const auto waiting = job([&] { ran = true; });
  REQUIRE(pool.submit(running));
  started.acquire();
  REQUIRE(pool.submit(waiting));
  CHECK_FALSE(pool.withdraw(*running));
  CHECK(pool.withdraw(*waiting));
  CHECK_FALSE(pool.withdraw(*waiting));
  CHECK(waiting.use_count() == 1);
  go_on.release();
  pool.stop();
  CHECK_FALSE(ran);
}

TEST_CASE("stopping waits for what runs, drops what waits and refuses what comes") {
  offload_pool pool(1, 2);
  std::binary_semaphore started(0);
  std::binary_semaphore go_on(0);
  std::atomic<bool> ended{false};
  bool ran = false;
  REQUIRE(pool.submit(job([&] {
    started.release();
    go_on.acquire();
    ended = true;
  })));
  started.acquire();
  const auto waiting = job([&] { ran = true; });
  REQUIRE(pool.submit(waiting));
  std::jthread other([&] {
    // The queue is empty once stop() has begun.
    while (pool.queued() > 0) std::this_thread::yield();
    go_on.release();
  });
  pool.stop();
  CHECK(ended);
  CHECK_FALSE(ran);
  CHECK(waiting.use_count() == 1);
  CHECK_FALSE(pool.submit(waiting));
  pool.stop();
}
