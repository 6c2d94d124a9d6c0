#pragma once
// core: a clock that a test moves.

#include <chrono>

#include "weir/core/core.hpp"

namespace weir {

// Problem: a test of a deadline that sleeps is slow, and wrong on a busy machine. Under a virtual clock the
// time of a core moves only when the test moves it: for sleep_for, within, idle timeouts, lingering and
// draining, not for Asio's timers. Thread: the core's, or its owner's while it does not run. Lifetime:
// shorter than the core's, whose time does not run again afterwards.
class virtual_clock {
 public:
  explicit virtual_clock(core& c) noexcept;

  // Moves time on. Coroutines whose deadlines have passed are scheduled in order, and continue when the core
  // runs.
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
