#pragma once
// server: whether every loop turns.

#include <atomic>
#include <cstddef>
#include <deque>
#include <functional>
#include <utility>

#include "weir/core/core_pool.hpp"
#include "weir/core/detail/standing_post.hpp"

namespace weir {

// A round is over when every loop has turned since it was begun, so a loop that hangs ends the rounds.
// Thread: core 0's. Lifetime: outlives the run of the loops.
class loop_pulse {
 public:
  // `at_each` is called on each loop's thread in each round, `over` at the end of a round, on any of them.
  loop_pulse(core_pool& loops, std::function<void(core&)> at_each, std::function<void()> over)
      : at_each_(std::move(at_each)), over_(std::move(over)) {
    for (core& c : loops) turns_.emplace_back(c, [this, &c] { turned(c); });
  }
  loop_pulse(const loop_pulse&) = delete;
  loop_pulse& operator=(const loop_pulse&) = delete;

  // Begins a round, unless one is under way. Takes no memory.
  void begin_round() noexcept {
    if (to_turn_.load() != 0) return;
    to_turn_ = turns_.size();
    for (standing_post& each : turns_) each.post();
  }

 private:
  void turned(core& c) {
    if (at_each_) at_each_(c);
    if (to_turn_.fetch_sub(1) == 1) over_();
  }

  std::function<void(core&)> at_each_;
  std::function<void()> over_;
  std::atomic<std::size_t> to_turn_{0};
  std::deque<standing_post> turns_;  // of each loop
};

}  // namespace weir
