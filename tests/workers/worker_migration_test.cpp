#include "weir/workers/detail/worker_migration.hpp"

#include <malloc.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>

#include <deque>
#include <optional>

#include "sockets.hpp"
#include "weir/connection/detail/connection_starter.hpp"

using namespace weir;

namespace {

// The test is the worker.
class hand_queue final : public worker_queue {
 public:
  hand_queue() : worker_queue(true) {}
  [[nodiscard]] migration* migrate(connection_state& c) override { return new worker_migration(c, *this); }
  void push(connection_state& c) noexcept override { ready.push_back(&c); }
  [[nodiscard]] bool reserve(connection_state&) noexcept override { return true; }
  void give_back() noexcept override {}
  void withdraw(connection_state&) noexcept override {}

  std::deque<connection_state*> ready;
};

task<> read_all(connection c) {
  while (auto data = co_await c.receive()) {
  }
}

// The core of a connection has received for a handler, and ends before a worker goes on with it.
void end_with_bytes_that_wait() {
  settings s;
  s.loop.chunk_size = 16384;
  hand_queue queue;
  permit_pool permits(1);
  const connection_handler handler = read_all;
  core away(1, std::nullopt, s, nullptr, nullptr, {.handlers_migrate = true, .opens_late = true});
  worker there(away);
  std::optional<core> home;
  home.emplace(0U, std::nullopt, s, nullptr, nullptr, core_role{.handlers_migrate = true});
  std::optional<core::entered> here(*home);
  connection_starter starter(*home, s, handler, permits);
  starter.run_handlers_on(queue);
  test::sockets ends = test::unix_pair();
  test::make_non_blocking(ends.a.get());
  starter.deliver({std::move(ends.a), peer_address(), permits.try_acquire()});
  home->poll();
  REQUIRE(queue.ready.size() == 1);
  {
    const core::entered worker_runs(away);
    there.take_in(*queue.ready.front());
  }
  queue.ready.clear();
  REQUIRE(::send(ends.b.get(), "bytes", 5, 0) == 5);
  home->poll();
  REQUIRE(queue.ready.size() == 1);  // with the bytes
  here.reset();
  home.reset();
}

}  // namespace

TEST_CASE("bytes that were received for a handler that no worker goes on with are freed with the core") {
  for (int i = 0; i < 20; ++i) end_with_bytes_that_wait();
  const auto before = ::mallinfo2().uordblks;
  constexpr int times = 200;
  for (int i = 0; i < times; ++i) end_with_bytes_that_wait();
  CHECK(::mallinfo2().uordblks < before + times * 16384 / 4);
}
