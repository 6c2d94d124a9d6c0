#pragma once
// admin: the state of a server in words.

#include <string>

#include "weir/process/detail/scoreboard.hpp"

namespace weir::admin {

// The text of --status: the server, a line for each of its workers, and one for each of its loops. No process
// is stopped or asked for it.
[[nodiscard]] std::string status_table(process::scoreboard& board);

// The same as JSON: /status.
[[nodiscard]] std::string status_json(process::scoreboard& board);

}  // namespace weir::admin
