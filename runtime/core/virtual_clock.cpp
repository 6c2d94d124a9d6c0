#include "weir/core/detail/virtual_clock.hpp"

#include <algorithm>

namespace weir {

virtual_clock::virtual_clock(core& c) noexcept : core_(c) {
  c.timers().hold();
  start_ = c.timers().now();
  c.driver().hold_now(start_);
}

void virtual_clock::set(std::uint64_t tick) noexcept {
  core_.driver().hold_now(tick);
  core_.timers().advance_to(tick);
}

void virtual_clock::advance(saturated_duration d) noexcept {
  while (!d.is_over()) d = advance_to_next(d);
}

std::chrono::milliseconds virtual_clock::advance_to_next(saturated_duration d) noexcept {
  const std::uint64_t now = core_.timers().now();
  const std::uint64_t end = now + io::ticks(d);
  const std::uint64_t to = std::min(core_.timers().next().value_or(end), end);
  set(to);
  return std::chrono::milliseconds(end - to);
}

std::chrono::milliseconds virtual_clock::elapsed() const noexcept {
  return std::chrono::milliseconds(core_.timers().now() - start_);
}

}  // namespace weir
