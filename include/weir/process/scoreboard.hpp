#pragma once
// process: what each worker tells of itself, in memory that all of the pool share.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "weir/base/unique_fd.hpp"

namespace weir::process {

// One worker's figures. Written by the worker, except where said otherwise; read by anybody. Each is true by
// itself, two of them need not be of the same instant.
struct alignas(128) worker_score {
  enum class state : std::uint32_t { free, starting, serving, draining };

  std::atomic<state> now;                  // the master's
  std::atomic<std::int32_t> pid;           // the master's
  std::atomic<std::uint32_t> index;        // the master's
  std::atomic<std::uint32_t> generation;   // the master's
  std::atomic<std::int64_t> started;       // the master's: milliseconds of the monotonic clock
  std::atomic<std::uint32_t> connections;  // open, with those that are being waited for
  std::atomic<std::uint64_t> accepted;     // since it was started
  std::atomic<std::uint64_t> refused;      // closed at once, by a limit
  std::atomic<std::uint64_t> fruitless;    // wake-ups of an accept that found nobody
  std::atomic<std::uint64_t> beats;        // each time that all its loops have turned
};

struct pool_score {
  std::atomic<std::int32_t> master;
  std::atomic<std::uint32_t> generation;
  std::atomic<std::uint64_t> restarts;
  std::atomic<std::uint64_t> reloads;
};

static_assert(std::atomic<std::uint64_t>::is_always_lock_free &&
                  std::atomic<std::uint32_t>::is_always_lock_free,
              "the atomics of another process need no lock");

// Thread: any. Fork: the memory is shared with every child forked later.
class scoreboard {
 public:
  static constexpr std::size_t capacity = 1024;  // memory is taken only for what is used

  // Errors: std::system_error.
  scoreboard();
  scoreboard(const scoreboard&) = delete;
  scoreboard& operator=(const scoreboard&) = delete;
  ~scoreboard();

  [[nodiscard]] pool_score& pool() noexcept { return memory_->pool; }
  [[nodiscard]] std::span<worker_score, capacity> workers() noexcept { return memory_->workers; }

  // A free row, zeroed and taken; null if all are in use.
  [[nodiscard]] worker_score* take() noexcept;
  static void give_back(worker_score& row) noexcept;

 private:
  struct layout {
    pool_score pool;
    worker_score workers[capacity];
  };
  layout* memory_;
};

}  // namespace weir::process
