#include "weir/connection/detail/connection_state.hpp"
#include "weir/http/router.hpp"

namespace weir::http {

void readiness(exchange x) {
  const bool stops = x.client().state().leaves() == departure::service;
  const header fresh[]{{"Cache-Control", "no-store"}};
  x.send(stops ? 503 : 200, "text/plain", stops ? "the service stops\n" : "ready\n", fresh);
}

}  // namespace weir::http
