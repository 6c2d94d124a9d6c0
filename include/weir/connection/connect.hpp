#pragma once
// connection: the client side.

#include "weir/connection/connection.hpp"
#include "weir/listen/endpoint.hpp"
#include "weir/task/task.hpp"

namespace weir {

// A connection of this core to `to`; no idle timeout, TCP_NODELAY set. When the server stops its input does
// not end: a handler that waits for an answer gets it, or is cancelled after the drain timeout. Thread: a
// core. Errors: std::system_error that names the address: connection_refused, timed_out (the kernel's, two
// minutes), ...; errc::not_on_a_core. Cancel: throws operation_canceled; the attempt is given up.
[[nodiscard]] task<connection> connect(endpoint to);

}  // namespace weir
