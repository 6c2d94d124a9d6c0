#pragma once
// listen > [accept] > distribute > core > connection
// accept: the loop that takes connections from a listener, one permit each.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>

#include "weir/accept/detail/accept_operation.hpp"
#include "weir/accept/detail/delivery.hpp"
#include "weir/base/log.hpp"
#include "weir/core/core.hpp"
#include "weir/listen/detail/bound_socket.hpp"

namespace weir {

// Problem: a loop that accepts without asking whether it can serve drowns; one that meets EMFILE and tries
// again at once spins. Here a permit comes first: at the limit the listener is not watched, and the next free
// permit wakes it. When the system is out of descriptors or memory the loop pauses 100 to 500 ms. Nothing
// ends accepting but stop() and a listener that is none. Thread: its core's, unless said otherwise. Lifetime:
// outlives its core's run.
class acceptor {
 public:
  // `deliver` is called on this core's thread with each connection.
  // `excess`: without a permit free, leave clients in the kernel's queue, or accept and close them.
  acceptor(core& home, const bound_socket& listener, permit_pool& permits,
           std::function<void(accepted_socket)> deliver, excess_kind excess = excess_kind::wait);
  acceptor(const acceptor&) = delete;
  acceptor& operator=(const acceptor&) = delete;

  // Before start(): the accepted sockets block. With block(), accept4 blocks too, for a slice of time; then
  // the other work of this thread has its turn. Errors: std::system_error.
  void accept_blocking_sockets() noexcept { listener_.blocks_clients = true; }
  void block(std::chrono::milliseconds slice);

  // Before start(). Accepts only while `home_is_held` says so: that the loop whose listener this is does not
  // turn. It is called when a client waits, at most ten times a second.
  void stand_in_while(std::function<bool()> home_is_held) { home_is_held_ = std::move(home_is_held); }

  void start();

  // No connection is accepted from now on; those in the kernel's queue stay there. `stopped` is called on
  // this thread when the listener is not used any more and may be closed.
  void stop(std::function<void()> stopped = {}) noexcept;

  // Any thread.
  [[nodiscard]] std::uint64_t accepted() const noexcept { return accepted_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t refused() const noexcept { return refused_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t pauses() const noexcept { return pauses_.load(std::memory_order_relaxed); }
  // Connections whose hand-over failed.
  [[nodiscard]] std::uint64_t dropped() const noexcept { return deliver_.dropped(); }

 private:
  task<> run();
  task<> accept_all();
  task<> wait_until_needed();

  core& home_;
  listening_descriptor listener_;
  endpoint address_;
  permit_pool& permits_;
  delivery deliver_;
  bool refuse_;
  std::function<bool()> home_is_held_;
  std::function<void()> stopped_;
  chain* root_ = nullptr;  // that of run(), while it runs
  bool stopping_ = false;
  log::limiter log_limit_;
  std::atomic<std::uint64_t> accepted_{0};
  std::atomic<std::uint64_t> refused_{0};
  std::atomic<std::uint64_t> pauses_{0};
};

}  // namespace weir
