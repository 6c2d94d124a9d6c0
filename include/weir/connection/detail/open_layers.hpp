#pragma once
// connection: what happens between accept and the handler where something lies on the socket.

#include "weir/connection/connection.hpp"
#include "weir/connection/connection_handler.hpp"
#include "weir/connection/detail/tls_support.hpp"
#include "weir/listen/socket_layers.hpp"
#include "weir/task/task.hpp"

namespace weir {

// Opens the layers of a new connection, from the outside in, and then runs `handler`, which outlives it. A
// connection whose layers cannot be opened, or not in time, is closed, and no handler begins.
// The connection has an edge, whose opening_deadline has begun.
[[nodiscard]] task<> open_layers_and_serve(connection client, socket_layers layers, present_source& tls,
                                           const connection_handler& handler);

}  // namespace weir
