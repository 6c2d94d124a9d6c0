#pragma once
// connection: what happens between accept and the handler where something lies on the socket.

#include "weir/connection/connection.hpp"
#include "weir/listen/socket_layers.hpp"
#include "weir/task/task.hpp"

namespace weir {

class connection_starter;

// Opens the layers of a new connection, from the outside in, and then runs the handler of `at`, or, where the
// policy goes by the address of the client, sends it to another starter. A connection whose layers cannot be
// opened is closed, and no handler begins.
[[nodiscard]] task<> open_layers_and_serve(connection client, socket_layers layers, connection_starter* at);

}  // namespace weir
