#pragma once
// http: routes and limits, served on connections.

#include <atomic>
#include <cstdint>
#include <functional>

#include "weir/connection/connection.hpp"
#include "weir/http/limits.hpp"
#include "weir/http/router.hpp"

namespace weir::http {

// What has been served. Thread: any.
struct tally {
  std::atomic<std::uint64_t> connections{0};  // that are open now
  std::atomic<std::uint64_t> requests{0};     // since the start
};

//   weir::http::site site;
//   site.routes.get("/", [](weir::http::exchange x) { x.send(200, "text/plain", "hello\n"); });
//   return weir::run(argc, argv, site.handler());
//
// HTTP/1.1 and 1.0: keep-alive, pipelining, bodies with a length or in chunks. OPTIONS without a handler is
// answered with the methods of the path. While the server stops,
// answers say `Connection: close` as soon as the client has asked for nothing more.
// Thread: filled by one, then any. Lifetime: outlives the server.
struct site {
  router routes;
  http::limits limits;
  std::function<tally&()> tally_of_here;  // called for each connection, on the thread of its handler

  [[nodiscard]] std::function<task<>(connection)> handler() const;
};

// Serves one connection until its end.
task<> serve(connection client, const site* what);

}  // namespace weir::http
