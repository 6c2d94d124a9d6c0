#pragma once
// dump: the native stack of a thread of another process, which is not stopped for it.

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "weir/dump/detail/remote_memory.hpp"

namespace weir::dump {

// Where a thread was at one moment: what is known of its registers, and a copy of the top of its stack if it
// was running.
struct native_state {
  static constexpr std::size_t registers = 17;  // as DWARF numbers them; the last is where it runs
  static constexpr std::size_t runs_at = registers - 1;

  std::array<std::optional<std::uint64_t>, registers> values;
  copied_memory stack;
};

// Of a thread that does not run, from the text of /proc/.../syscall.
[[nodiscard]] std::optional<native_state> state_of_waiting(const std::string& system_call);

// Of a thread that runs, within 20 ms: the kernel samples it (perf_event_open(2)). Nothing where the kernel
// does not allow that, or when the thread has not run meanwhile.
[[nodiscard]] std::optional<native_state> state_of_running(int thread);

// Follows return addresses by the tables for exceptions, with libdw if it is installed.
// Thread: one at a time. Errors: none.
class native_stacks {
 public:
  explicit native_stacks(::pid_t process);
  native_stacks(const native_stacks&) = delete;
  native_stacks& operator=(const native_stacks&) = delete;
  ~native_stacks();

  // Addresses there, the innermost first: where it is, and in each caller the call. Ends where it cannot be
  // followed.
  [[nodiscard]] std::vector<std::uintptr_t> of(const native_state& s);

 private:
  struct library;
  struct reading;
  ::pid_t process_;
  std::unique_ptr<library> library_;
};

}  // namespace weir::dump
