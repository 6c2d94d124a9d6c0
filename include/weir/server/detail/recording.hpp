#pragma once
// server: the way from a server to what records its connections, which lies above it and is implemented in
// compare/.

#include <memory>
#include <optional>

#include "weir/config/settings.hpp"
#include "weir/connection/detail/stream_tap.hpp"
#include "weir/observe/detail/figures.hpp"

namespace weir {

// Null if nothing is to be recorded. `worker`: of a pool, each of which has a file of its own. `counts`
// outlives it. Fork: it has a thread, so after the last one. Errors: std::system_error that names the file.
[[nodiscard]] std::unique_ptr<tap_source> make_recorder(const record_settings& s,
                                                        std::optional<unsigned> worker,
                                                        observe::recorder counts);

}  // namespace weir
