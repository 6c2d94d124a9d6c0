#include "weir/base/detail/asio_task.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <system_error>
#include <thread>
#include <vector>

#include "sockets.hpp"

using namespace weir;
using namespace std::chrono_literals;

namespace {

// Waits by asking Asio's reactor only.
struct reactor_only : asio_task {
  void run(long, asio_handlers& ready) override {
    ++waits;
    wait->run_reactor(ready);
  }
  void interrupt() override { ++interrupts; }
  std::unique_ptr<asio_wait> wait;
  int waits = 0;
  std::atomic<int> interrupts{0};
};

void count(void* turns) { ++*static_cast<int*>(turns); }

}  // namespace

TEST_CASE("an io_context waits in a task of ours, and Asio's timers go on") {
  asio::io_context context(1);
  reactor_only task;
  task.wait = std::make_unique<asio_wait>(context, task);
  CHECK(task.wait->descriptor() >= 0);
  asio::steady_timer timer(context, 1ms);
  bool fired = false;
  timer.async_wait([&](asio::error_code) {
    fired = true;
    context.stop();
  });
  context.run();
  CHECK(fired);
  CHECK(task.waits > 0);
  std::thread([&] { asio::post(context, [] {}); }).join();
  task.wait.reset();
}

TEST_CASE("after the end of our task the io_context waits in Asio's reactor again") {
  asio::io_context context(1);
  reactor_only task;
  task.wait = std::make_unique<asio_wait>(context, task);
  task.wait.reset();
  context.restart();
  asio::steady_timer timer(context, 1ms);
  bool fired = false;
  timer.async_wait([&](asio::error_code) { fired = true; });
  context.run();
  CHECK(fired);
  CHECK(task.waits == 0);
}

TEST_CASE(
    "a task of ours takes its place as soon as there are descriptors, with Asio's timers, and not before") {
  for (rlim_t free = 0; free < 3; ++free) {
    CAPTURE(free);
    asio::io_context context(1);
    reactor_only task;
    {
      const test::no_descriptors few(free);
      CHECK_THROWS_AS(asio_wait(context, task), std::system_error);
    }
    task.wait = std::make_unique<asio_wait>(context, task);
    asio::steady_timer timer(context, 1ms);
    timer.async_wait([&](asio::error_code) { context.stop(); });
    const auto end = std::chrono::steady_clock::now() + 20s;
    while (!context.stopped() && std::chrono::steady_clock::now() < end) context.poll();
    CHECK(context.stopped());
    task.wait.reset();
  }
}

TEST_CASE("turns that are requested before one has begun are one turn") {
  asio::io_context context(1);
  int turns = 0;
  asio_turn turn(context, count, &turns);
  for (int i = 0; i < 5; ++i) turn.request();
  CHECK(context.run() == 1);
  CHECK(turns == 1);
  context.restart();
  turn.request();
  context.run();
  CHECK(turns == 2);
}

TEST_CASE("a turn may be requested within a turn, and from any thread") {
  asio::io_context context(1);
  struct again {
    asio_turn* turn;
    int left;
  } state{nullptr, 3};
  asio_turn turn(
      context,
      [](void* argument) {
        auto& s = *static_cast<again*>(argument);
        if (--s.left > 0) s.turn->request();
      },
      &state);
  state.turn = &turn;
  std::thread([&] { turn.request(); }).join();
  CHECK(context.run() == 3);
  CHECK(state.left == 0);
}

TEST_CASE("a turn that was requested is not given after its end, and leaves nothing behind") {
  int turns = 0;
  asio::io_context context(1);
  {
    asio_turn turn(context, count, &turns);
    turn.request();
  }
  context.run();
  CHECK(turns == 0);
  {
    asio::io_context gone(1);
    asio_turn turn(gone, count, &turns);
    turn.request();
  }
  CHECK(turns == 0);
}
