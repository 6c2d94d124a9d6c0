#include "weir/accept/detail/acceptor.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <system_error>
#include <utility>

#include "accept_error.hpp"
#include "weir/base/error.hpp"
#include "weir/core/sleep.hpp"
#include "weir/task/detail/this_chain.hpp"

namespace weir {
namespace {

using namespace std::chrono_literals;

// Waits until a permit may be free.
struct room_operation : operation {
  explicit room_operation(permit_pool& g) noexcept;
  bool await_ready() const noexcept { return false; }
  template <task_promise P>
  void await_suspend(std::coroutine_handle<P> h) {
    // Before the chain waits for this operation: what throws here ends the operation.
    start(*h.promise().root);
    h.promise().root->suspend(*this, h);
  }
  void await_resume() const noexcept {}
  void start(chain& waits);

  permit_pool* permits;
  remote_wake* wake = nullptr;
};

constexpr operation_kind kind_of_room{
    .proceed = [](operation&) noexcept { return true; },
    .cancel =
        [](operation& op, int) noexcept {
          auto& self = static_cast<room_operation&>(op);
          if (self.wake != nullptr) self.wake->root = nullptr;
          return true;
        },
};

room_operation::room_operation(permit_pool& g) noexcept : operation(kind_of_room), permits(&g) {}

void room_operation::start(chain& waits) {
  // Delivered by the thread that gives a permit back, or freed with a call that never comes.
  struct wake_once {
    explicit wake_once(remote_wake* w) noexcept : wake(w) {}
    wake_once(const wake_once&) = delete;
    wake_once& operator=(const wake_once&) = delete;
    ~wake_once() {
      if (wake != nullptr)
        static_cast<void>(remote_wake::arrived(wake));  // and the frame knows that it is gone
    }
    remote_wake* wake;
  };
  auto once = std::make_shared<wake_once>(nullptr);  // std::function wants a copy
  wake = once->wake = remote_wake::make(waits, &wake);
  permits->when_available(
      [once = std::move(once), &home = waits.home()] { home.deliver(std::exchange(once->wake, nullptr)); });
}

}  // namespace

acceptor::acceptor(core& home, const bound_socket& listener, permit_pool& permits,
                   std::function<void(accepted_socket)> deliver, excess_kind excess)
    : home_(home),
      listener_(home.driver(), listener.get()),
      address_(listener.local()),
      permits_(permits),
      deliver_(std::move(deliver)),
      refuse_(excess == excess_kind::refuse) {}

void acceptor::block(std::chrono::milliseconds slice) {
  const timeval limit{.tv_sec = slice.count() / 1000, .tv_usec = slice.count() % 1000 * 1000};
  const int flags = ::fcntl(listener_.fd, F_GETFL);
  if (::setsockopt(listener_.fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 || flags < 0 ||
      ::fcntl(listener_.fd, F_SETFL, flags & ~O_NONBLOCK) != 0)
    throw_system_error(errno, "block in accept on " + address_.to_string());
  listener_.mode = io::wait_mode::blocking;
  listener_.readable = true;
}

void acceptor::start() {
  home_.driver().assert_thread("acceptor::start");
  home_.spawn(run());
}

void acceptor::stop(std::function<void()> stopped) noexcept {
  home_.driver().assert_thread("acceptor::stop");
  stopping_ = true;
  stopped_ = std::move(stopped);
  if (root_ != nullptr) return root_->cancel();
  if (stopped_) std::exchange(stopped_, nullptr)();
}

task<> acceptor::run() {
  root_ = co_await detail::this_chain();
  // What is thrown here is the cancellation by stop(), or a want of memory, which may pass.
  for (bool failed = true; !stopping_ && failed;) {
    failed = false;
    try {
      co_await accept_all();
    } catch (...) {
      failed = true;
    }
    if (stopping_ || !failed) break;
    pauses_.fetch_add(1, std::memory_order_relaxed);
    listener_.readable = true;
    try {
      co_await sleep_for(100ms);
    } catch (...) {  // stopped meanwhile
    }
  }
  root_ = nullptr;  // stop() cancels through it
  home_.driver().forget(listener_);
  if (stopped_) stopped_();
}

task<> acceptor::accept_all() {
  auto pause = 100ms;
  int failures = 0;
  while (!stopping_) {
    if (home_is_held_) co_await wait_until_needed();
    if (stopping_) break;
    const detail::accept_outcome next = co_await detail::accept_operation(listener_, permits_, refuse_);
    const int error = next.error;
    if (error == 0) {
      pause = 100ms;
      failures = 0;
      if (!next.has_permit) {
        refused_.fetch_add(1, std::memory_order_relaxed);
        ::close(next.fd);
        continue;
      }
      accepted_.fetch_add(1, std::memory_order_relaxed);
      deliver_({unique_fd(next.fd), next.peer, permit_pool::adopt(&permits_), address_.layers()});
    } else if (error == EUSERS) {
      co_await room_operation(permits_);
      listener_.readable = true;  // look at once: a client may have waited for this
    } else if (const remedy what = remedy_for(error); what == remedy::give_up) {
      log::error("accept on {}: {}; this listener is closed", address_, text_of(error));
      break;
    } else if (error != ECANCELED && (what == remedy::pause || ++failures >= 16)) {
      make_room_after(error);
      pauses_.fetch_add(1, std::memory_order_relaxed);
      if (const auto held_back = log_limit_.pass())
        log::warning("accept on {}: {}; pausing for {} ms ({} more since the last line)", address_,
                     text_of(error), pause.count(), *held_back);
      co_await sleep_for(pause);
      pause = std::min(pause * 2, 500ms);
      listener_.readable = true;
    }
  }
}

// The listener is another loop's, which has seen the client as well and takes it unless it is held.
task<> acceptor::wait_until_needed() {
  for (;;) {
    co_await detail::client_operation(listener_);
    if (stopping_ || home_is_held_()) break;
    co_await sleep_for(100ms);
  }
  listener_.readable = true;
}

}  // namespace weir
