#pragma once
// pool: the state of a process pool in words.

#include <string>

#include "weir/process/detail/scoreboard.hpp"

namespace weir {

// The text of --status: the pool, and a line for each of its workers. No process is stopped or asked for it.
[[nodiscard]] std::string describe_pool(process::scoreboard& board);

}  // namespace weir
