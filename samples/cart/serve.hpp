#pragma once
// cart: what the server does with a connection.

#include <string>

#include <weir/weir.hpp>

namespace cart {

// `redis`: where the Redis server listens that keeps the carts; empty: they are in memory, on the core that
// their name belongs to. It outlives all connections.
weir::task<> serve(weir::connection client, const std::string* redis);

}  // namespace cart
