#pragma once
// core: a deadline that is set again and again, and never fails.

#include <functional>
#include <utility>

#include "weir/core/core.hpp"

namespace weir {

// Problem: a timer of Asio's takes memory whenever it is set, for its handler and for its place in Asio's
// heap. What repeats itself by such a timer ends for good when there is none. This one is its own memory.
// Thread: the core's; its owner's before and after the core runs. Lifetime: within the core's.
class standing_timer : private io::timer {
 public:
  standing_timer(core& home, std::function<void()> f) : home_(home), f_(std::move(f)) {
    fire = [](io::timer& t) noexcept { static_cast<standing_timer&>(t).f_(); };
  }
  standing_timer(const standing_timer&) = delete;
  standing_timer& operator=(const standing_timer&) = delete;
  ~standing_timer() {
    if (armed()) home_.timers().disarm(*this);
  }

  // `f` is called once. A timer that is set already is moved.
  void expires_after(saturated_duration d) noexcept { home_.timers().arm(*this, d); }

 private:
  core& home_;
  std::function<void()> f_;  // throws nothing
};

}  // namespace weir
