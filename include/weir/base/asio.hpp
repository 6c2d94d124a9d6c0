#pragma once
// base: the one door to Asio. Nothing else in weir includes an Asio header, so what differs between
// Asio releases is told here and nowhere else.

#include <asio.hpp>
#include <asio/co_spawn.hpp>
#include <asio/steady_timer.hpp>

namespace weir {

using error_code = asio::error_code;

}  // namespace weir
