#pragma once
// server: the way from run() to the process pool, which lies above it and is implemented in pool/.

#include <functional>

#include "weir/config/settings.hpp"
#include "weir/server/detail/plan.hpp"
#include "weir/server/service.hpp"

namespace weir {

// Runs the master until its pool has ended; the exit code. `read_again` reads the configuration anew, for a
// reload. Errors: as of server.
[[nodiscard]] int run_process_pool(pool_plan plan, std::function<pool_plan()> read_again, service_form form,
                                   int argc, char** argv);

// Errors: std::system_error if this process was started to take over the sockets of a pool.
void refuse_upgrade_to(const settings& s);

}  // namespace weir
