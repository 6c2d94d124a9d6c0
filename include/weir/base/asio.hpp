#pragma once
// base: the only header of weir that includes Asio's, so that differences between Asio releases are handled
// in one place.

#include <asio.hpp>
#include <asio/co_spawn.hpp>
#include <asio/steady_timer.hpp>

namespace weir {

using error_code = asio::error_code;

}  // namespace weir
