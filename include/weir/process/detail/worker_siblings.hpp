#pragma once
// process: the other workers of a pool, as one worker sees them in the scoreboard.

#include "weir/distribute/detail/fair_share.hpp"
#include "weir/process/detail/scoreboard.hpp"

namespace weir::process {

// Lifetime: within that of the scoreboard. Thread: any.
class worker_siblings final : public sibling_workers {
 public:
  // `count`: the figure of a worker that is compared, true at any instant.
  worker_siblings(scoreboard& board, worker_score& self,
                  std::atomic<std::uint32_t> worker_score::* count) noexcept
      : board_(board), self_(self), count_(count) {}

  [[nodiscard]] std::uint32_t own_load() const noexcept override {
    return scoreboard::load_of(self_, count_);
  }
  [[nodiscard]] std::uint32_t least_load() const noexcept override {
    return board_.least_beside(self_, count_);
  }
  [[nodiscard]] bool any_passed_over() const noexcept override { return board_.any_passed_over(self_); }
  void has_grown() noexcept override;
  void has_shrunk() noexcept override;
  void hold_up(bool held) noexcept override;
  void wait_for_least(std::uint32_t least, std::chrono::milliseconds most) noexcept override;

 private:
  scoreboard& board_;
  worker_score& self_;
  std::atomic<std::uint32_t> worker_score::* count_;
};

}  // namespace weir::process
