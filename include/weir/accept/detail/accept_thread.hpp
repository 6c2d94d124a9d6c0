#pragma once
// listen > [accept] > distribute > core > connection
// accept: a thread that takes connections from a listener that other processes share.

#include <poll.h>
#include <sys/types.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "weir/accept/detail/accept_operation.hpp"
#include "weir/accept/detail/delivery.hpp"
#include "weir/base/log.hpp"
#include "weir/config/settings.hpp"
#include "weir/distribute/detail/fair_share.hpp"
#include "weir/listen/endpoint.hpp"

namespace weir {

// Problem: processes that wait for one listener in their event loops are woken all at once, or the kernel
// prefers the last process that began to wait. Threads that block in accept4 are woken one per connection, in
// turn. This thread does nothing else, and hands over the connections that it accepts. A permit comes first,
// as in acceptor. The permit that the thread holds while it waits counts as in use. Uses the signal SIGRTMIN
// to end its wait. Thread: the owner's, unless said otherwise.
class accept_thread {
 public:
  struct listening {
    int fd;
    endpoint address;
  };

  // Blocks in accept4. `on` should block: O_NONBLOCK is a property of the socket and the same in all
  // processes that share it. With one that does not, the thread polls and accepts, and several may be woken
  // for one connection. `deliver` is called on the new thread.
  accept_thread(listening on, permit_pool& permits, std::function<void(accepted_socket)> deliver,
                excess_kind excess = excess_kind::wait);

  // Waits for its turn first: only the process that holds the lock on `lock`, a file of the pool, looks at
  // the listeners, which do not block. The kernel gives the lock on when its holder dies; see retry() for a
  // holder that is stopped.
  accept_thread(std::vector<listening> on, int lock, permit_pool& permits,
                std::function<void(accepted_socket)> deliver, excess_kind excess = excess_kind::wait);
  accept_thread(const accept_thread&) = delete;
  accept_thread& operator=(const accept_thread&) = delete;
  ~accept_thread() { stop(); }

  // Before start(). The thread does not accept while this process has more connections than most_beside()
  // allows beside `siblings`, which outlive it. It waits for their counts; no time ends that wait.
  void stand_back_for(sibling_workers& siblings) {
    siblings_ = &siblings;
    permits_.when_given_back([&siblings] { siblings.has_shrunk(); });
  }

  // Before start(). The thread does not accept while `behind` holds: what it delivered has not been taken up,
  // so nothing tells that this process serves. Its siblings are not made to wait for it then. Called on the
  // thread; has_caught_up() is called, on any, when it has perhaps changed.
  void stand_back_while(std::function<bool()> behind) { behind_ = std::move(behind); }
  void has_caught_up() noexcept;

  void start();

  // Any thread, between start() and stop(). Ends the present wait, so that the listeners are looked at again:
  // the kernel may have woken a sibling that is stopped, or that sibling may have the lock. While there is
  // such a sibling this thread accepts without the lock if it cannot have it.
  void retry() noexcept;

  // When it returns nothing is accepted or delivered any more, and what was accepted has been delivered.
  void stop() noexcept;

  // Any thread.
  [[nodiscard]] std::uint64_t accepted() const noexcept { return accepted_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t refused() const noexcept { return refused_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t pauses() const noexcept { return pauses_.load(std::memory_order_acquire); }
  // Connections whose hand-over failed.
  [[nodiscard]] std::uint64_t dropped() const noexcept { return deliver_.dropped(); }
  // Wake-ups that found no connection.
  [[nodiscard]] std::uint64_t fruitless() const noexcept {
    return fruitless_.load(std::memory_order_relaxed);
  }
  // The thread holds a permit and waits for a connection.
  [[nodiscard]] bool holds_permit() const noexcept { return holds_permit_.load(std::memory_order_relaxed); }

 private:
  void run() noexcept;
  void interrupt() noexcept;
  permit_pool::permit wait_for_permit();
  int accept_one(permit_pool::permit permit, const listening& from);
  int accept_in_turn(permit_pool::permit permit);
  int accept_from_any(permit_pool::permit permit);
  int wait_for_turn();
  void unlock(::off_t which);
  int poll_all(int timeout);
  void wait_for_share();
  void wait_for_loop();
  template <class Fact>
  void wait_until(Fact fact, std::chrono::milliseconds most);

  std::vector<listening> on_;
  std::vector<pollfd> polled_;  // the listeners, in their order
  int lock_ = -1;
  std::size_t next_ = 0;  // the listener that is looked at first
  permit_pool& permits_;
  delivery deliver_;
  bool refuse_;
  sibling_workers* siblings_ = nullptr;
  std::function<bool()> behind_;
  std::atomic<bool> waits_for_loop_{false};
  log::limiter log_limit_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool room_ = false;
  bool ended_ = false;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> signalled_{false};  // a signal for the thread is on its way
  std::atomic<bool> holds_permit_{false};
  std::atomic<std::uint64_t> accepted_{0};
  std::atomic<std::uint64_t> refused_{0};
  std::atomic<std::uint64_t> pauses_{0};
  std::atomic<std::uint64_t> fruitless_{0};
  std::thread thread_;
};

}  // namespace weir
