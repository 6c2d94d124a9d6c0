#pragma once
// dump: what the threads of a process do now.

#include <sys/types.h>

#include <string>
#include <vector>

#include "program_image.hpp"
#include "source_lines.hpp"

namespace weir::dump {

struct thread_report {
  int id = 0;
  std::string name;
  char state = '?';  // of proc(5): R runs, S sleeps, D waits for a disk, T is stopped
  struct place {
    std::string function;
    std::string line;  // "orders.cpp:88"; empty if it is not known
  };
  std::vector<place> stack;  // where it is in user code, the innermost first; empty if that cannot be told
};

// Errors: none; a process that has ended has no threads. `shift`: shift_of(process). A thread that runs is
// watched for a few milliseconds by perf_event_open(2), where the kernel allows it.
[[nodiscard]] std::vector<thread_report> threads_of(::pid_t process, std::uintptr_t shift,
                                                    const symbols& names, source_lines& lines);

// The process, and those below it that run the same program. Errors: none.
[[nodiscard]] std::vector<::pid_t> tree_of(::pid_t process);

}  // namespace weir::dump
