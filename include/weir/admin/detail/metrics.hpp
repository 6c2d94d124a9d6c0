#pragma once
// admin: what a server has counted, as metrics.

#include <string>

#include "weir/admin/detail/exposition.hpp"
#include "weir/process/detail/scoreboard.hpp"

namespace weir::admin {

// The text of /metrics: of all workers and loops, those that have ended among them. No process is stopped or
// asked for it. `own`: what the program counts. Errors: std::bad_alloc.
[[nodiscard]] std::string metrics_of(process::scoreboard& board, const observe::series_store& own,
                                     exposition::dialect d);

}  // namespace weir::admin
