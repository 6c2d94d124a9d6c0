#pragma once
// admin: which connections of this process wait longest, and which are busiest.

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "weir/process/detail/scoreboard.hpp"

namespace weir {
class connection_state;
class core;
}  // namespace weir

namespace weir::admin {

// Problem: the connections belong to many threads, no thread may wait for another, a connection has no memory
// to spare for counts that somebody may look at, and a process may have a hundred thousand of them. So a step
// copies a bounded part of the states through process_vm_readv(2), which any memory survives, and asks the
// kernel for the bytes of a bounded number of sockets. Whatever changes meanwhile makes a line wrong, no
// more. Steps cost nothing unless somebody has asked for the list in the last seconds: see wish(). Thread:
// one. Lifetime: within that of the row's scoreboard.
class survey {
 public:
  survey(process::scoreboard& board, process::worker_score& row) noexcept;
  survey(const survey&) = delete;
  survey& operator=(const survey&) = delete;
  ~survey();

  // Goes on with the look at all connections, and writes the list. To be called about twice a second.
  void step() noexcept;

  // Any thread of any process of the pool: the workers shall list their connections for some seconds.
  static void wish(process::pool_score& pool) noexcept;

 private:
  struct course;

  void go_on();
  void begin_pass(std::int64_t now);
  void end_pass() noexcept;
  void enter_core(const core& at) noexcept;
  void look_into_slab();
  void look_at(const connection_state& copy, std::uintptr_t there);
  [[nodiscard]] std::size_t place_for_candidate(std::uintptr_t state);
  [[nodiscard]] peer_address peer_of(const connection_state& copy) const noexcept;
  void judge_candidates();
  void measure_candidates();

  process::scoreboard& board_;
  process::worker_score& row_;
  std::unique_ptr<course> course_;  // while it is wanted
};

}  // namespace weir::admin
