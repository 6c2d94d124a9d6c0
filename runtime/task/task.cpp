#include "weir/task/task.hpp"

#include <execinfo.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>

namespace weir::detail {

void misplaced_frame(const void*) noexcept {
  std::fputs(
      "weir: GCC 12 has misplaced the frame of a coroutine that has `co_await` in a condition and no local "
      "variable. "
      "Give the result a name there: `while (const bool sent = co_await client.send(text))`. It was called "
      "here:\n",
      stderr);
  std::array<void*, 8> stack;
  ::backtrace_symbols_fd(stack.data(), ::backtrace(stack.data(), static_cast<int>(stack.size())),
                         STDERR_FILENO);
  std::abort();
}

}  // namespace weir::detail
