#pragma once
// listen > [accept] > distribute > core > connection
// accept: the hand-over of an accepted connection, which may fail.

#include <atomic>
#include <cstdint>
#include <functional>

#include "weir/base/log.hpp"
#include "weir/connection/detail/accepted_socket.hpp"

namespace weir {

// Problem: a hand-over allocates, posts and starts threads, and each of these may throw in the middle of an
// accept loop. Whatever it throws costs this connection, not the loop: its socket is closed, its permit given
// back, and the log says so at most once a second. Thread: one calls; dropped() from any.
class delivery {
 public:
  explicit delivery(std::function<void(accepted_socket)> to) : to_(std::move(to)) {}

  void operator()(accepted_socket s) noexcept;

  [[nodiscard]] std::uint64_t dropped() const noexcept { return dropped_.load(std::memory_order_relaxed); }

 private:
  std::function<void(accepted_socket)> to_;
  log::limiter log_limit_;
  std::atomic<std::uint64_t> dropped_{0};
};

}  // namespace weir
