#pragma once
// server: a whole main in one call.

#include "weir/config/program.hpp"
#include "weir/server/server.hpp"

namespace weir {

// Reads the command line, the environment and the configuration file, serves until SIGINT or SIGTERM, and
// returns what main should return: 0 after a clean stop, 1 when the server could not start or a service
// failed, 2 when what was asked for is wrong, 3 when the server stopped as told, but connections
// (server::cut_short) or jobs were cut. Errors go to standard error, one line each.
//
// SIGINT and SIGTERM are a server::stop() if they are the first order to end, and otherwise a server::cut();
// SIGQUIT is a server::stop(), whenever it comes. The service is stopped in each case. A thread that a
// handler, a job of offload() or a look-up of a name blocks keeps the process no longer than the drain
// timeout and a second, or half a second after a cut: then what blocks is logged, and the process ends by
// _exit(3). SIGUSR1 opens the log file again, SIGHUP reads the configuration again. (In a process pool the
// signals mean what README says.) These signals come through from the start on, even if they were blocked,
// and are blocked at the end, so that another one cannot take the exit code. SIGPIPE is ignored, SIGRTMIN + 2
// is used. Standard descriptors that are closed are opened on /dev/null. Thread: main's; no other thread may
// handle these signals meanwhile.
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
