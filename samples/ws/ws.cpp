// A WebSocket server that sends back what it gets (RFC 6455), over an HTTP connection that is upgraded.
//
//   ws --listen 127.0.0.1:8081        new WebSocket("ws://127.0.0.1:8081/echo") in a browser
#include <weir/http/run.hpp>

#include "send_back.hpp"

int main(int argc, char** argv) {
  weir::program about{.summary = "a WebSocket server that sends back what it gets, at /echo"};
  about.defaults.listen = {"127.0.0.1:8081"};
  weir::http::site site;
  site.routes.get("/echo", send_back);
  return weir::http::run(argc, argv, site, about);
}
