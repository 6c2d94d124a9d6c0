#pragma once
// core: reports a handler that keeps its core from running others.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "weir/base/duration.hpp"
#include "weir/core/core_pool.hpp"

namespace weir {

// A turn that has lasted longer than the limit.
struct stall {
  unsigned core = 0;
  const weir::core* at = nullptr;
  std::chrono::milliseconds lasted{0};  // at least
  std::string chain_name;               // the connection's peer, or "a task"
  std::string stack;                    // function names, innermost first, separated by " < "
  std::vector<const void*> addresses;   // the same: where it was, and where it returns to
};

// Problem: one handler that computes or blocks stops every connection of its core, and nothing shows which.
// The detector's thread reads each core's batch counter; a core whose turn has lasted longer than the limit
// is interrupted by a signal, whose handler records the running chain and its stack. What a core pays: one
// store per resumed coroutine. Thread: made and destroyed while the cores do not end. Errors:
// std::system_error without a thread.
class stall_detector {
 public:
  // What it sees: batches, which are stalls in the figures of the core, or single turns of cores that record
  // them, which are not counted.
  enum class looking_for : std::uint8_t { stalls, turns };

  // Those that are watched: the same ones each time, and others behind them that have come since. Called on
  // the detector's thread.
  using watched_cores = std::function<std::vector<core*>()>;

  // `report` is called on the detector's thread, once for each stall, at most once in `interval`.
  // Default: a line in the log. Uses the signal SIGURG.
  stall_detector(core_pool& cores, saturated_duration limit, std::function<void(const stall&)> report = {},
                 saturated_duration interval = std::chrono::seconds(1));
  stall_detector(watched_cores cores, saturated_duration limit, std::function<void(const stall&)> report,
                 saturated_duration interval, looking_for l);
  stall_detector(const stall_detector&) = delete;
  stall_detector& operator=(const stall_detector&) = delete;
  ~stall_detector();

  // The number of stalls, including those that were not reported. Any thread.
  [[nodiscard]] std::uint64_t seen() const noexcept { return seen_.load(std::memory_order_relaxed); }

 private:
  void watch();
  void look_at(core& c, std::size_t i);

  struct watched {
    std::uint64_t beat = 0;
    std::chrono::steady_clock::time_point since;
    bool counted = false;
    bool reported = false;
  };

  watched_cores cores_;
  saturated_duration limit_;
  std::function<void(const stall&)> report_;
  saturated_duration interval_;
  looking_for looking_for_;
  std::vector<watched> watched_;
  std::optional<std::chrono::steady_clock::time_point> last_report_;
  std::atomic<std::uint64_t> seen_{0};
  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace weir
