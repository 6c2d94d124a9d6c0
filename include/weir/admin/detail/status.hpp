#pragma once
// admin: the state of a server in words.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "weir/process/detail/scoreboard.hpp"

namespace weir::admin {

// The text of --status: the server, a line for each of its workers, and one for each of its loops. No process
// is stopped or asked for it.
[[nodiscard]] std::string status_table(process::scoreboard& board);

// The same and more as JSON: /status, with all that the page shows but connections. `listen`: the addresses
// that clients connect to, where they are known.
[[nodiscard]] std::string status_json(process::scoreboard& board, std::span<const std::string> listen = {});

// The connections that wait longest and those that move most bytes, as far as survey lists them:
// /connections.
[[nodiscard]] std::string connections_json(process::scoreboard& board);

// Of a loop, or of the threads of a worker: place::threads.
[[nodiscard]] std::string name_of_core(std::uint16_t core);
[[nodiscard]] std::string_view word_of(process::worker_score::state s) noexcept;

// Milliseconds of the monotonic clock.
[[nodiscard]] std::int64_t now_in_ms() noexcept;

}  // namespace weir::admin
