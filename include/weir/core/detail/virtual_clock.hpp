#pragma once
// core: time as a test wants it.

#include <chrono>

#include "weir/core/core.hpp"

namespace weir {

// Problem: a test of a deadline that sleeps is slow, and wrong on a busy machine. Under a virtual clock the
// time of a core stands still, and moves when the test says so: for sleep_for, within, idle timeouts,
// lingering and draining, not for Asio's own timers. Thread: the core's, or its owner's while it does not
// run. Lifetime: shorter than the core's, whose time does not go on by itself afterwards.
class virtual_clock {
 public:
  explicit virtual_clock(core& c) noexcept;

  // Moves time on. What falls due is woken in order, and goes on when the core gives it its turn.
  void advance(saturated_duration d) noexcept;

  // Moves time on to the next deadline, but by `d` at most; returns what is left of `d`.
  [[nodiscard]] std::chrono::milliseconds advance_to_next(saturated_duration d) noexcept;

  // How far time has moved.
  [[nodiscard]] std::chrono::milliseconds elapsed() const noexcept;

 private:
  void set(std::uint64_t tick) noexcept;

  core& core_;
  std::uint64_t start_;
};

}  // namespace weir
