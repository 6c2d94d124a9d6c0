#include "weir/task/detail/chain.hpp"

#include <cstring>

namespace weir {

void chain::describe(char* text, std::size_t size) const noexcept {
  if (size == 0) return;
  std::strncpy(text, "a task", size - 1);
  text[size - 1] = '\0';
}

}  // namespace weir
