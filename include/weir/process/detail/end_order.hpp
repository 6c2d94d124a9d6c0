#pragma once
// process: how far a server or a pool has been told to end, as a pure decision.

#include <algorithm>
#include <cstdint>

namespace weir {

// Each order contains those before it.
enum class end_order : std::uint8_t {
  none,
  leave,     // serve on for limits.drain_delay, tell clients and balancers, then drain
  drain,     // accept no more, let handlers finish
  cut,       // do not wait for handlers
  cut_again  // nor for services that stop
};

struct end_rules {
  bool delays = false;             // limits.drain_delay is set, and there are clients to be told
  bool first_signal_cuts = false;  // SIGTERM and SIGINT without a delay: true for the master of a pool
};

// SIGQUIT drains and is never more, however often it comes; SIGTERM and SIGINT cut what drains already. With
// a delay the first order of any kind begins it, and the second one ends it.
[[nodiscard]] constexpr end_order next_order(end_order now, bool is_quit, const end_rules& rules) noexcept {
  if (now == end_order::none && rules.delays) return end_order::leave;
  if (now == end_order::leave) return end_order::drain;
  if (is_quit) return std::max(now, end_order::drain);
  if (now == end_order::none) return rules.first_signal_cuts ? end_order::cut : end_order::drain;
  return now == end_order::drain ? end_order::cut : end_order::cut_again;
}

}  // namespace weir
