#pragma once
// kv: what the server does with a connection.

#include <weir/weir.hpp>

#include "engine.hpp"

namespace kv {

// What all connections share. The engine's thread is that of the first core.
struct server {
  engine keys;
  weir::log::limiter strangers;
};

[[nodiscard]] milliseconds_since_1970 wall_clock() noexcept;

// The keys belong to the first core. The other cores do the I/O of their connections and run the received
// commands there. `shared` outlives all connections.
weir::task<> serve(weir::connection client, server* shared);

// On the core of the keys: frees what would hold up the loop, on another thread.
void free_garbage(engine& keys);

}  // namespace kv
