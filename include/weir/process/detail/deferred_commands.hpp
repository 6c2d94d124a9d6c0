#pragma once
// process: commands that have to wait until a reload has ended.

#include <algorithm>

#include "weir/process/detail/signals.hpp"

namespace weir::process {

inline constexpr unsigned most_workers = 256;

// What a command makes of a number of workers. One worker fewer never empties a pool: drain_workers does.
[[nodiscard]] constexpr unsigned resized(unsigned workers, command c) noexcept {
  switch (c) {
    case command::drain_workers: return 0;
    case command::one_more: return std::min(workers + 1, most_workers);
    case command::one_fewer: return workers > 1 ? workers - 1 : workers;
    default: return workers;
  }
}

// Problem: the number of workers and the configuration belong to a generation, so a command that changes them
// while the next generation is being started is obeyed afterwards. A value; what is kept does not grow with
// the number of commands. Thread: none.
class deferred_commands {
 public:
  // reload, drain_workers, one_more or one_fewer.
  constexpr void add(command c) noexcept {
    if (c == command::reload || c == command::drain_workers) {
      // Both replace the number of workers that earlier commands have asked for.
      drains_ = c == command::drain_workers;
      reloads_ = reloads_ || c == command::reload;
      more_ = 0;
    } else if (c == command::one_more || c == command::one_fewer) {
      const int most = static_cast<int>(most_workers);
      more_ = std::clamp(more_ + (c == command::one_more ? 1 : -1), -most, most);
    }
  }

  // True once if a reload was asked for. It comes before apply_to.
  [[nodiscard]] constexpr bool take_reload() noexcept {
    const bool out = reloads_;
    reloads_ = false;
    return out;
  }

  // The number of workers that is asked for, where there would be `workers` otherwise.
  [[nodiscard]] constexpr unsigned apply_to(unsigned workers) const noexcept {
    if (drains_) workers = 0;
    for (int i = more_; i > 0; --i) workers = resized(workers, command::one_more);
    for (int i = more_; i < 0; ++i) workers = resized(workers, command::one_fewer);
    return workers;
  }

 private:
  bool reloads_ = false;
  bool drains_ = false;
  int more_ = 0;
};

}  // namespace weir::process
