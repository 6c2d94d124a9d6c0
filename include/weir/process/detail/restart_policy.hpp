#pragma once
// process: when a worker that has ended is replaced.

#include <chrono>
#include <cstdint>

#include "weir/process/detail/child_process.hpp"

namespace weir::process {

using steady_time = std::chrono::steady_clock::time_point;

// What the pool remembers of the workers that have died.
struct restart_history {
  std::uint32_t young_deaths = 0;  // in a row: those that never served, or died younger than young_age
  steady_time last_young_death{};
  bool ever_served = false;  // any worker of this pool has begun to serve
};

struct worker_death {
  steady_time now;
  std::chrono::milliseconds lived;
  bool served;  // the worker had begun to serve
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

// A pure decision. A worker that had begun to serve and lived for `young_age` is replaced at once. Of the
// others the first that had begun to serve is replaced at once too, and each further one after twice the
// delay, from 200 ms to `longest_delay`: 2 workers that crash as soon as they are started cost at most 10
// forks in 10 seconds. A worker that never served is one of these however long its start took. A worker that
// was started more than two `longest_delay` after the last such death begins a new row. A pool in which no
// worker has ever served gives up when a worker ends with an exit code, or after `most_failed_starts`
// crashes.
[[nodiscard]] restart_decision decide_restart(restart_history before, const worker_death& death) noexcept;

}  // namespace weir::process
