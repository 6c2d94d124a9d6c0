#pragma once
// pool: the state of a process pool in words.

#include <string>

#include "weir/process/detail/scoreboard.hpp"

namespace weir {

// The text of --status: the pool, and a line for each of its workers. Stops and asks nobody.
[[nodiscard]] std::string describe_pool(process::scoreboard& board);

}  // namespace weir
