#pragma once
// server: a whole main in one call.

#include "weir/config/program.hpp"
#include "weir/server/server.hpp"

namespace weir {

// Reads the command line, the environment and the configuration file, serves until SIGINT or SIGTERM, and
// returns what main should return: 0 after a clean stop, 1 when the server could not start or failed, 2 when
// what was asked for is wrong, 3 when the server stopped but connections were cut (server::cut_short). Errors
// go to standard error, one line each.
//
// Each signal is a server::stop(): after the first, handlers are waited for, after the second they are cut.
// The service is stopped in both cases. SIGINT and SIGTERM come through from the start on, even if they were
// blocked, and are blocked at the end, so that another one cannot take the exit code. SIGPIPE is ignored.
// Thread: main's; no other thread may handle SIGINT or SIGTERM meanwhile.
int run(int argc, char** argv, service_form form, const program& what = {});

inline int run(int argc, char** argv, connection_handler handler, const program& what = {}) {
  return run(argc, argv, service_form{.handler = std::move(handler)}, what);
}

// Not a handler: says how to make one of it.
template <detail::unwrapped_asio_handler Handler>
int run(int, char**, Handler, const program& = {}) {
  static_assert(
      detail::wrapped<Handler>,
      "an asio::awaitable handler is wrapped: `weir::run(argc, argv, weir::asio_handler(handler))`");
  return 2;
}

// A service, one object per core: run<counting>(argc, argv).
template <service S>
int run(int argc, char** argv, const program& what = {}) {
  return run(argc, argv, service_of<S>(), what);
}

}  // namespace weir
