#pragma once
// http: routes and limits, served on connections.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

#include "weir/connection/connection.hpp"
#include "weir/http/limits.hpp"
#include "weir/http/router.hpp"

namespace weir::http {

// What has been served.
// Thread: any.
struct tally {
  std::atomic<std::uint64_t> connections{0};  // that are open now
  std::atomic<std::uint64_t> requests{0};     // since the start
};

// A site is a value: routes, limits and where to count. handler() takes a copy of it, as it is at that
// moment:
//
//   weir::http::site site;
//   site.routes.get("/", [](weir::http::exchange x) { x.send(200, "text/plain", "hello\n"); });
//   return weir::run(argc, argv, site.handler());
//
// HTTP/1.1 and 1.0: keep-alive, pipelining, bodies with a length or in chunks. OPTIONS without a handler is
// answered with the methods of the path. While the server stops, answers say `Connection: close` as soon as
// the client has asked for nothing more.
// Thread: filled by one thread; the handler may run on any, and then calls the routes on several at once.
struct site {
  router routes;
  http::limits limits;
  std::function<tally&()> tally_of_here;  // called for each connection, on the thread of its handler

  // Lifetime: the handler and each connection that it serves keep the copy; what the routes refer to is the
  // program's to keep.
  [[nodiscard]] std::function<task<>(connection)> handler() const;
};

// Serves one connection until its end, and keeps `what` until then.
[[nodiscard]] task<> serve(connection client, std::shared_ptr<const site> what);

}  // namespace weir::http
