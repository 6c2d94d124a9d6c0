#pragma once
// connection: what a server runs for each connection.

#include <functional>

#include "weir/connection/connection.hpp"

namespace weir {

// What the user writes: one coroutine per connection.
using connection_handler = std::function<task<>(connection)>;

}  // namespace weir
