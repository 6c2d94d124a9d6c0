#pragma once
// server: the state of a process pool in words.

#include <string>

#include "weir/process/scoreboard.hpp"

namespace weir {

// The text of --status: the pool, and a line for each of its workers. Stops and asks nobody.
[[nodiscard]] std::string describe_pool(process::scoreboard& board);

}  // namespace weir
