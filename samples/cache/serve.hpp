#pragma once
// cache: what the server does with a connection.

#include <weir/weir.hpp>

#include "service.hpp"

namespace cache {

// The session does the work; this waits for what the session needs. `shared` outlives all connections, and
// so does `strangers`, which limits the lines about clients of other protocols.
weir::task<> serve(weir::connection client, service* shared, weir::log::limiter* strangers);

}  // namespace cache
