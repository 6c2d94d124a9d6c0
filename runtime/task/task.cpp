#include "weir/task/task.hpp"

#include <execinfo.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace weir::detail {

void misplaced_frame(const void* promise) noexcept {
  std::fputs(
      "weir: GCC 12 has misplaced the frame of a coroutine that has `co_await` in a condition and no local "
      "variable. "
      "Give the result a name there: `while (const bool sent = co_await client.send(text))`. The coroutine "
      "is\n",
      stderr);
  // The frame begins 8 bytes further to the front than its promise says, with the address of the coroutine's
  // code.
  void* code = *reinterpret_cast<void* const*>(static_cast<const char*>(promise) - 24);
  ::backtrace_symbols_fd(&code, 1, STDERR_FILENO);
  std::abort();
}

}  // namespace weir::detail
