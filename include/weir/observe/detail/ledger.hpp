#pragma once
// observe: the blocks of all loops of a server, of one process or of a pool.

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "weir/observe/detail/figures.hpp"

namespace weir::observe {

// Problem: a sum over processes must not shrink when one of them ends, no process may be stopped for it, and
// a reader may not wait. Each loop takes a block and writes it alone. The block of a loop that has ended
// stays as it is, and the next loop of that worker, core and model goes on in it. So each counter only ever
// grows. Lies in memory of zeroes. Thread: any process, unless said otherwise.
struct ledger {
  static constexpr std::size_t capacity = 4096;  // memory is taken only for what is used
  static constexpr std::size_t most_threads = 32768;

  // Null if all are in use.
  [[nodiscard]] block* take(block::owner whose) noexcept;
  [[nodiscard]] thread_block* take_thread(block::owner whose) noexcept;

  // The loops and threads of that row have ended: what they have is no more.
  void retire(std::uint16_t row) noexcept;

  // With those of loops that have ended.
  [[nodiscard]] std::span<const block> used() const noexcept {
    return std::span(blocks).first(std::min<std::size_t>(high.load(), capacity));
  }
  [[nodiscard]] std::span<const thread_block> used_threads() const noexcept {
    return std::span(threads).first(std::min<std::size_t>(high_thread.load(), most_threads));
  }

  std::atomic<std::uint32_t> high;         // blocks that were ever taken
  std::atomic<std::uint32_t> high_thread;  // the same of threads
  std::array<block, capacity> blocks;
  std::array<thread_block, most_threads> threads;
};

// The loops and threads of one process in a ledger. Thread: any. Lifetime: within that of the ledger.
class process_ledger {
 public:
  // `row` and `worker` tell processes apart: 0 in a program of one process. `model`: a model_kind.
  // Errors: std::bad_alloc.
  process_ledger(ledger& all, std::uint16_t row, std::uint16_t worker, std::uint8_t model = 0);

  // Where a loop writes. In a full ledger: nowhere.
  [[nodiscard]] recorder loop(unsigned core) noexcept;
  // The same for one of many threads; they share the histograms of the first loop.
  [[nodiscard]] recorder thread() noexcept;
  // For what belongs to the process. In a full ledger it is seen by this process alone.
  [[nodiscard]] recorder first() noexcept { return first_; }

 private:
  ledger& all_;
  std::uint16_t row_;
  std::uint16_t worker_;
  std::uint8_t model_;
  std::unique_ptr<block> unseen_;
  recorder first_;
};

}  // namespace weir::observe
