#pragma once
// http: a whole main in one call.

#include "weir/config/program.hpp"
#include "weir/http/site.hpp"

namespace weir::http {

// weir::run() of a site, whose limits are keys: http.head, http.body_timeout and so on; --help lists them.
//
//   int main(int argc, char** argv) {
//     weir::http::site site;
//     site.routes.get("/", [](weir::http::exchange x) { x.send(200, "text/plain", "hello\n"); });
//     return weir::http::run(argc, argv, site);
//   }
int run(int argc, char** argv, site what, program about = {});

}  // namespace weir::http
