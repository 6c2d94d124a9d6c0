#pragma once
// process: one forked process, known by a descriptor instead of a process id, which the kernel reuses.

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "weir/base/unique_fd.hpp"

namespace weir::process {

// How a process ended.
struct exit_reason {
  bool by_signal = false;
  int value = 0;  // the exit code, or the number of the signal
  bool dumped_core = false;

  [[nodiscard]] bool is_clean() const noexcept { return !by_signal && value == 0; }
  [[nodiscard]] std::string to_string() const;  // "exit code 1", "SIGSEGV (core dumped)"
};

// Thread: the only one of its process.
class child_process {
 public:
  using clock = std::chrono::steady_clock;

  // Runs `body` in a forked child, which ends with its result as the exit code; neither the destructors of
  // inherited objects nor functions registered with atexit(3) run there. The kernel kills the child when this
  // process ends. Errors: std::system_error.
  explicit child_process(const std::function<int()>& body);
  child_process(child_process&&) noexcept = default;
  child_process& operator=(child_process&&) = delete;
  // A child that still runs is killed.
  ~child_process();

  // Readable when the child has ended. -1 after reaping.
  [[nodiscard]] int get() const noexcept { return fd_.get(); }

  // For people: 0 after reaping.
  [[nodiscard]] ::pid_t pid() const noexcept { return fd_ ? pid_ : 0; }
  [[nodiscard]] clock::time_point started() const noexcept { return started_; }

  // False if the child has been reaped: no other process can get the signal. Or the kernel does not let this
  // process send it, which is logged.
  bool signal(int number) noexcept;

  // Nothing while the child runs. A child that other code has reaped counts as ended with exit code -1.
  [[nodiscard]] std::optional<exit_reason> reap() noexcept;

  // True if it has been stopped since the last call, false if it has been continued, otherwise nothing.
  [[nodiscard]] std::optional<bool> stopped() noexcept;

  // In a child that inherited this object: not its own child.
  void disown() noexcept { fd_.reset(); }

 private:
  unique_fd fd_;
  ::pid_t pid_ = 0;
  clock::time_point started_ = clock::now();
};

}  // namespace weir::process
