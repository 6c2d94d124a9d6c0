#pragma once
// server: what a running server takes of a configuration that was read again.

#include <functional>
#include <string_view>

#include "weir/config/detail/tunable.hpp"
#include "weir/config/settings.hpp"

namespace weir {

// Logs that `key` needs a restart, if the two settings differ in it. `hint`: what else can be done; "; ..."
void tell_of_restart(const tunable& key, const settings& present, const settings& fresh,
                     std::string_view hint = {});

// A property of an open socket, or of the master of a pool: its reload leaves it as it is. All other keys are
// taken by new workers.
[[nodiscard]] bool needs_restart_in_pool(std::string_view key);

// What changes the model of a pool's workers, if `key` is the model of the server.
[[nodiscard]] std::string_view model_hint(std::string_view key);

// For a server of one process: takes log.level and log.file, what server::take_limits() can take, by
// `take_limits`, and the certificates, whose files may have changed, by `take_certificates`. Logs what was
// taken, and each other key that has changed. A configuration that cannot be read is logged, with its places,
// and nothing is taken.
void reload_live(settings& present, const std::function<settings()>& read_again,
                 const std::function<void(const limit_settings&)>& take_limits,
                 const std::function<void(const settings&)>& take_certificates);

}  // namespace weir
