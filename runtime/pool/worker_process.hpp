#pragma once
// pool: what surrounds a server in a worker process: signals, the master's messages, the heartbeat.

#include "weir/config/settings.hpp"
#include "weir/process/detail/supervisor.hpp"
#include "weir/server/server.hpp"

namespace weir {

// Serves until the master, or a signal, says otherwise; the exit code.
[[nodiscard]] int run_worker(const settings& s, process::worker_slot slot, server& serving);

}  // namespace weir
