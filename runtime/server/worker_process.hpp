#pragma once
// server: what surrounds a server in a worker process: signals, the master's messages, the heartbeat.

#include "weir/config/settings.hpp"
#include "weir/process/supervisor.hpp"
#include "weir/server/server.hpp"

namespace weir {

// The log file, as the one who serves may write it; nothing if the log goes to standard error.
// Errors: std::system_error that names the file.
void open_log(const settings& s);

// Serves until the master, or a signal, says otherwise; the exit code.
[[nodiscard]] int run_worker(const settings& s, process::worker_seat seat, server& serving);

}  // namespace weir
