#pragma once
// tests: a core on the test's own thread, which runs until tasks are done and fails the test when they take
// too long.

#include <sys/socket.h>

#include <catch2/catch.hpp>

#include <chrono>
#include <cstdlib>
#include <exception>
#include <optional>
#include <string_view>
#include <utility>

#include "sockets.hpp"
#include "weir/connection/connection.hpp"
#include "weir/connection/detail/connection_table.hpp"
#include "weir/core/core.hpp"
#include "weir/core/sleep.hpp"
#include "weir/task/task.hpp"

namespace test {

using namespace std::chrono_literals;

// Longer than anything takes on a busy machine under a sanitizer.
inline constexpr auto deadline = 20s;

// The io of a test run: the tests of a folder run over each (the label `ring`).
inline weir::settings over_io_of_run(weir::settings s = {}) {
  const char* const name = std::getenv("TEST_IO");
  if (name != nullptr && std::string_view(name) == "io_uring") s.io = weir::io_kind::io_uring;
  return s;
}

// For what a test tells of epoll, whatever the run is over.
inline constexpr struct over_epoll_t {
} over_epoll;

class loop {
 public:
  explicit loop(const weir::settings& s = {}, weir::core_role role = {})
      : core_(std::in_place, 0U, std::nullopt, over_io_of_run(s), nullptr, nullptr, role) {
    core_->poll();  // a ring is opened by the thread that runs it
  }
  explicit loop(over_epoll_t) : core_(std::in_place, 0U, std::nullopt, weir::settings{}, nullptr) {}

  [[nodiscard]] weir::core& core() noexcept { return *core_; }
  [[nodiscard]] weir::connection_table& table() { return core_->local<weir::connection_table>(); }

  // Runs until all of the tasks have ended. Throws what the first that failed has thrown.
  template <class... Tasks>
  void run(Tasks... tasks) {
    left_ = sizeof...(tasks);
    failure_ = nullptr;
    (core_->spawn(watched(std::move(tasks), this)), ...);
    run_to_stop();
    if (failure_) std::rethrow_exception(failure_);
  }

  // Runs until somebody calls core().stop().
  void run_to_stop() {
    bool late = false;
    asio::steady_timer limit(core_->context(), deadline);
    limit.async_wait([this, &late](weir::error_code ec) {
      if (ec) return;
      late = true;
      core_->stop();
    });
    core_->context().restart();
    core_->run();
    if (late) FAIL("the deadline has passed");
  }

  // Ends the core, with every frame and connection that is left.
  void destroy() { core_.reset(); }

  // A weir connection on a socket that the test has made.
  [[nodiscard]] weir::connection open(weir::unique_fd fd) {
    make_non_blocking(fd.get());
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    ::getpeername(fd.get(), reinterpret_cast<sockaddr*>(&address), &size);
    const auto peer = weir::peer_address::from(reinterpret_cast<const sockaddr*>(&address), size);
    weir::connection_state& made = table().open(fd.release(), peer);
    made.begin();
    return weir::connection(made);
  }

 private:
  static weir::task<> watched(weir::task<> t, loop* l) {
    try {
      co_await t;
    } catch (...) {
      if (!l->failure_) l->failure_ = std::current_exception();
    }
    if (--l->left_ == 0) l->core_->stop();
  }

  std::optional<weir::core> core_;
  std::size_t left_ = 0;
  std::exception_ptr failure_;
};

// A weir connection and the plain non-blocking socket at its other end. Over a unix socket, unless told
// otherwise: what one end does there, the other sees at once.
struct half {
  explicit half(loop& on, sockets ends = unix_pair())
      : here(on.open(std::move(ends.a))), there(std::move(ends.b)) {
    make_non_blocking(there.get());
  }
  weir::connection here;
  weir::unique_fd there;
};

// Two weir connections that are connected to each other.
struct whole {
  explicit whole(loop& on, sockets ends = tcp_pair())
      : a(on.open(std::move(ends.a))), b(on.open(std::move(ends.b))) {}
  weir::connection a;
  weir::connection b;
};

// A chain whose home never gives it a turn.
struct stray : weir::run_queue, weir::chain {
  stray() : chain(static_cast<run_queue&>(*this)) {}
  void finished() noexcept override {}
  void schedule(chain&) noexcept override {}
  void unschedule(chain&) noexcept override {}
  void deliver(weir::remote_wake* w) noexcept override { weir::remote_wake::free(w); }
  asio::any_io_executor executor() const override { return {}; }
};

// A root task that the test holds in its hand, to cancel it or to destroy it while it is suspended.
class root final : public weir::chain {
 public:
  root(weir::core& c, weir::task<> t) : chain(c.driver()), core_(&c), frame_(t.release_to(*this)) {
    resume_later(frame_);
  }
  root(const root&) = delete;
  root& operator=(const root&) = delete;
  ~root() {
    core_->driver().unschedule(*this);
    abandon();
    frame_.destroy();
  }

  void finished() noexcept override { ended_ = true; }

  [[nodiscard]] bool has_ended() const noexcept { return ended_; }
  // Throws what the task has thrown.
  void take() { frame_.promise().take(); }

 private:
  weir::core* core_;
  std::coroutine_handle<weir::task<>::promise_type> frame_;
  bool ended_ = false;
};

// Gives everybody else a turn until `fact` holds.
template <class Fact>
weir::task<> until(Fact fact) {
  while (!fact()) co_await weir::yield();
}

// Gives the loop a few rounds, each with a look at the sockets, so that what is ready happens.
inline weir::task<> rounds(int n = 8) {
  const weir::io::driver& driver = weir::core::here().driver();
  const std::uint64_t end = driver.batch() + static_cast<std::uint64_t>(n);
  while (driver.batch() < end) co_await weir::yield();
}

// The error that a task ends with; empty if none.
inline weir::task<> error_of(weir::task<> t, std::error_code* out) {
  try {
    co_await t;
  } catch (const std::system_error& e) {
    *out = e.code();
  }
}

}  // namespace test
