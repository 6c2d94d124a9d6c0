#pragma once
// listen > [accept] > distribute > core > connection
// accept: a thread that takes connections from a listener that other processes share.

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "weir/accept/detail/accept_operation.hpp"
#include "weir/base/log.hpp"
#include "weir/config/settings.hpp"
#include "weir/listen/endpoint.hpp"

namespace weir {

// Problem: processes that wait for one listener in their event loops are woken all at once, or the kernel
// prefers the last that came. Threads that block in accept4 are woken one per connection, in turn. This one
// does nothing else, and hands over what it gets.
// A permit comes first, as in acceptor; the one that the thread holds while it waits counts as inside.
// Uses the signal SIGRTMIN to end its wait.
// Thread: the owner's, unless said otherwise.
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

  // Waits for its turn first: only who holds the lock on `lock`, a file of the process's own, looks at the
  // listeners, which do not block. The kernel gives the lock on when its holder dies. With less than an
  // eighth of the permits left the thread stands back for a moment, so that others come first.
  accept_thread(std::vector<listening> on, int lock, permit_pool& permits,
                std::function<void(accepted_socket)> deliver, excess_kind excess = excess_kind::wait);
  accept_thread(const accept_thread&) = delete;
  accept_thread& operator=(const accept_thread&) = delete;
  ~accept_thread() { stop(); }

  // Before start(). Who has clearly more inside than `least`, the fewest of the other processes, lets them
  // come first: before each connection for a millisecond, and seldom as long as none of them comes. `least`
  // is called on the new thread.
  void stand_back_for(std::function<std::uint32_t()> least) { least_beside_ = std::move(least); }

  void start();

  // When it returns nothing is accepted or delivered any more, and what was accepted has been delivered.
  void stop() noexcept;

  // Any thread.
  [[nodiscard]] std::uint64_t accepted() const noexcept { return accepted_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t refused() const noexcept { return refused_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t pauses() const noexcept { return pauses_.load(std::memory_order_relaxed); }
  // Wake-ups that found no connection.
  [[nodiscard]] std::uint64_t fruitless() const noexcept {
    return fruitless_.load(std::memory_order_relaxed);
  }
  // Whether a permit is held by nobody else than the wait for a connection.
  [[nodiscard]] bool holds_permit() const noexcept { return holds_permit_.load(std::memory_order_relaxed); }

 private:
  void run() noexcept;
  permit_pool::permit wait_for_permit();
  int accept_one(permit_pool::permit permit, const listening& from);
  int accept_in_turn(permit_pool::permit permit);
  void let_others_come_first();
  template <class Fact>
  void wait_until(Fact fact, std::chrono::milliseconds most);

  std::vector<listening> on_;
  int lock_ = -1;
  std::size_t next_ = 0;  // whose turn it is among the listeners
  permit_pool& permits_;
  std::function<void(accepted_socket)> deliver_;
  bool refuse_;
  std::function<std::uint32_t()> least_beside_;
  std::uint32_t impatient_ = 0;  // connections for which it does not wait, because waiting was in vain
  log::limiter log_limit_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool room_ = false;
  bool ended_ = false;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> holds_permit_{false};
  std::atomic<std::uint64_t> accepted_{0};
  std::atomic<std::uint64_t> refused_{0};
  std::atomic<std::uint64_t> pauses_{0};
  std::atomic<std::uint64_t> fruitless_{0};
  std::thread thread_;
};

}  // namespace weir
