#include <weir/http/site.hpp>
#include <weir/weir.hpp>
int main(int argc, char** argv) {
  weir::http::site site;
  const weir::http::fixed_response plain(200, "text/plain", "Hello, World!\n");
  site.routes.get("/plain", [&plain](weir::http::exchange x) { x.send(plain); });
  site.routes.any("/echo", [](weir::http::exchange x) -> weir::task<> {
    const std::string_view body = co_await x.body();
    x.send(200, "application/octet-stream", body);
  });
  return weir::run(argc, argv, site.handler());
}
