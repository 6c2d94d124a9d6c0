#pragma once
// core: the cores of one process and their threads.

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "weir/core/core.hpp"

namespace weir {

// Core 0 runs on the thread that calls run(), each other core on a thread of its own: a pool of one core is a
// single-threaded process.
// Thread: the owner's, unless said otherwise.
class core_pool {
 public:
  // One core per entry of `cpus`; an empty entry is a core that is not pinned.
  // `offload`: the threads for offload(), which outlive the pool; null for threads of its own.
  core_pool(const std::vector<std::optional<int>>& cpus, const settings& s, core_role role = {},
            offload_pool* offload = nullptr);
  core_pool(const core_pool&) = delete;
  core_pool& operator=(const core_pool&) = delete;
  ~core_pool();

  // Runs all cores until all have stopped. Errors: std::system_error if a thread cannot be started or
  // pinned; the others are stopped first.
  void run();

  // Any thread.
  void stop() noexcept;

  // The threads that all cores share for offload().
  [[nodiscard]] offload_pool& offload_threads() noexcept { return offload_; }
  [[nodiscard]] std::size_t size() const noexcept { return cores_.size(); }
  [[nodiscard]] core& operator[](std::size_t i) noexcept { return cores_[i]; }
  [[nodiscard]] auto begin() noexcept { return cores_.begin(); }
  [[nodiscard]] auto end() noexcept { return cores_.end(); }

 private:
  std::unique_ptr<offload_pool> own_offload_;
  offload_pool& offload_;
  std::deque<core> cores_;
};

}  // namespace weir
