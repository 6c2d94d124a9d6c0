#include "weir/task/detail/chain.hpp"

#include <catch2/catch.hpp>

#include <cerrno>
#include <vector>

#include "weir/task/task.hpp"

using namespace weir;

namespace {

// An operation that is over when the test says so.
struct waits : operation {
  explicit waits(waits** where, bool slow = false) noexcept
      : operation(slow ? slow_kind : kind_), place(where) {}
  bool await_ready() const noexcept { return false; }
  template <task_promise P>
  void await_suspend(std::coroutine_handle<P> h) noexcept {
    *place = this;
    h.promise().root->suspend(*this, h);
  }
  int await_resume() const noexcept { return error; }

  static bool proceed(operation& op) noexcept { return static_cast<waits&>(op).over; }
  static bool cancel(operation& op, int error) noexcept {
    static_cast<waits&>(op).error = error;
    *static_cast<waits&>(op).place = nullptr;
    return true;
  }
  static bool cancel_slowly(operation& op, int error) noexcept {
    static_cast<waits&>(op).error = error;
    return false;
  }
  static constexpr operation_kind kind_{&proceed, &cancel};
  static constexpr operation_kind slow_kind{&proceed, &cancel_slowly};

  waits** place;
  bool over = false;
  int error = 0;
};

struct counting_queue : run_queue {
  void schedule(chain&) noexcept override { ++scheduled; }
  void unschedule(chain&) noexcept override {}
  void deliver(remote_wake* w) noexcept override { remote_wake::free(w); }
  asio::any_io_executor executor() const override { return {}; }
  int scheduled = 0;
};

// A chain whose run queue is a counter.
struct line final : private counting_queue, chain {
  explicit line(task<> t) : chain(static_cast<run_queue&>(*this)), frame(t.release_to(*this)) {
    frame.resume();
  }
  line(const line&) = delete;
  line& operator=(const line&) = delete;
  ~line() {
    abandon();
    frame.destroy();
  }
  void finished() noexcept override { ended = true; }
  using chain::schedule;
  using counting_queue::scheduled;

  std::coroutine_handle<task<>::promise_type> frame;
  bool ended = false;
};

task<> wait(waits** where, int* result, bool slow = false) {
  waits op(where, slow);
  *result = co_await op;
}

}  // namespace

TEST_CASE("a chain knows the operation that it waits for, and goes on when that is over") {
  waits* op = nullptr;
  int result = -1;
  line l(wait(&op, &result));
  REQUIRE(op != nullptr);
  CHECK(op->root == &l);
  CHECK(l.is_suspended());
  chain::proceed(*op);
  CHECK_FALSE(l.ended);
  l.resume();
  CHECK_FALSE(l.ended);
  op->over = true;
  chain::proceed(*op);
  CHECK(l.ended);
  CHECK_FALSE(l.is_suspended());
  CHECK(result == 0);
}

TEST_CASE("a cancelled operation gets its error, and its coroutine goes on from the run queue") {
  waits* op = nullptr;
  int result = -1;
  line l(wait(&op, &result));
  l.end_wait(ECANCELED);
  CHECK(op == nullptr);
  CHECK(l.scheduled == 1);
  CHECK_FALSE(l.ended);
  l.turn();
  CHECK(l.ended);
  CHECK(result == ECANCELED);
}

TEST_CASE("an operation whose end takes time is waited for after it was cancelled") {
  waits* op = nullptr;
  int result = -1;
  line l(wait(&op, &result, true));
  l.end_wait(ECANCELED);
  CHECK(l.scheduled == 0);
  CHECK(l.is_suspended());
  op->over = true;
  l.resume();
  CHECK(l.ended);
  CHECK(result == ECANCELED);
}

TEST_CASE("cancelling a chain that waits for nothing does nothing") {
  waits* op = nullptr;
  int result = -1;
  line l(wait(&op, &result));
  op->over = true;
  l.resume();
  l.end_wait(ECANCELED);
  CHECK(l.scheduled == 0);
  CHECK(result == 0);
}

TEST_CASE("an abandoned chain is detached from its operation, once and without an error") {
  waits* op = nullptr;
  int result = -1;
  {
    line l(wait(&op, &result));
    l.abandon();
    CHECK(op == nullptr);
    CHECK_FALSE(l.is_suspended());
    CHECK(l.scheduled == 0);
  }
  CHECK(result == -1);
}

TEST_CASE("now and then a chain asks to be taken off the stack") {
  waits* op = nullptr;
  int result = -1;
  line l(wait(&op, &result));
  std::vector<int> at;
  for (int i = 1; i <= 1024; ++i)
    if (l.should_unwind()) at.push_back(i);
  REQUIRE(at.size() == 16);
  CHECK(at.front() == 64);
  CHECK(at.back() == 1024);
}
