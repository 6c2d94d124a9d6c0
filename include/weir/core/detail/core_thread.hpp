#pragma once
// core: a core with a thread of its own, which may end and be started again.

#include <string>
#include <thread>
#include <vector>

#include "weir/core/core.hpp"

namespace weir {

// Thread: the owner's. Lifetime: the core outlives its thread; what is suspended on it stays so.
class core_thread {
 public:
  // `cpus`: those that the thread may run on; empty for any. `offload`: the threads for offload().
  core_thread(unsigned index, std::vector<int> cpus, const settings& s, offload_pool& offload,
              core_role role);
  core_thread(const core_thread&) = delete;
  core_thread& operator=(const core_thread&) = delete;
  ~core_thread() { stop(); }

  // Starts the thread, after the former one has ended. Errors: std::system_error.
  void start(const std::string& name);

  // Any thread, while the thread runs. It ends when it has run what has been posted to it until now.
  void rest() noexcept;

  // Ends the thread and waits for it. While it is in a call that blocks, `signal`, if not 0, is sent to it.
  void stop(int signal = 0) noexcept;

  [[nodiscard]] core& home() noexcept { return core_; }

 private:
  std::vector<int> cpus_;
  core core_;
  std::thread thread_;
  std::atomic<bool> running_{false};
};

}  // namespace weir
