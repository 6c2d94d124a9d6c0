#pragma once
// connection: how long the layers of a new connection may take to open.

#include <atomic>
#include <chrono>

#include "weir/io/detail/timer_wheel.hpp"

namespace weir {

class connection_state;

// Cuts a connection whose layers are not open in time, whatever its peer sends meanwhile.
// Thread: the connection's core's; end() and has_expired(): the one that holds the connection.
class opening_deadline : private io::timer {
 public:
  opening_deadline() = default;
  opening_deadline(const opening_deadline&) = delete;
  opening_deadline& operator=(const opening_deadline&) = delete;

  void begin(connection_state& c, std::chrono::milliseconds limit);
  // Before its core forgets the connection.
  void leave(connection_state& c) noexcept;

  void end() noexcept { ended_.store(true, std::memory_order_relaxed); }
  [[nodiscard]] bool has_expired() const noexcept { return expired_.load(std::memory_order_relaxed); }

 private:
  connection_state* of_ = nullptr;
  std::atomic<bool> ended_{false};
  std::atomic<bool> expired_{false};
};

}  // namespace weir
