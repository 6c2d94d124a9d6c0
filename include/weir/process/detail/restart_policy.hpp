#pragma once
// process: when a worker that has ended is replaced.

#include <chrono>
#include <cstdint>

#include "weir/process/detail/child_process.hpp"

namespace weir::process {

using steady_time = std::chrono::steady_clock::time_point;

// What the pool remembers of deaths.
struct restart_history {
  std::uint32_t young_deaths = 0;  // in a row
  steady_time last_young_death{};
  bool ever_served = false;  // any worker of this pool has begun to serve
};

struct worker_death {
  steady_time now;
  std::chrono::milliseconds lived;
  bool served;  // it had begun to serve
  exit_reason how;
};

struct restart_decision {
  enum class kind : std::uint8_t { after, give_up };
  kind what = kind::after;
  std::chrono::milliseconds delay{0};
  restart_history history;  // what to remember from now on
};

inline constexpr std::chrono::milliseconds young_age{1000};
inline constexpr std::chrono::milliseconds longest_delay{30000};
inline constexpr std::uint32_t most_failed_starts = 5;

// A pure decision. Who lived for `young_age` is replaced at once. Of those who died younger, the first that
// had begun to serve is replaced at once too, and each further one after twice the time, from 200 ms to
// `longest_delay`: 2 workers that crash as soon as they are started cost at most 10 forks in 10 seconds. Two
// quiet `longest_delay` end the row.
// A pool that never served gives up when a worker says that it cannot start (an exit code), or after
// `most_failed_starts` crashes.
[[nodiscard]] restart_decision decide_restart(restart_history before, const worker_death& death) noexcept;

}  // namespace weir::process
