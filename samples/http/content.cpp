#include "content.hpp"

#include <filesystem>
#include <string_view>

#include "page.hpp"

namespace {

using weir::http::exchange;
using weir::http::fixed_response;

weir::task<> echo(exchange x) {
  const std::string_view body = co_await x.body();
  x.send(200, x.request().find("content-type").value_or("application/octet-stream"), body);
}

weir::task<> file(exchange x, const content* site) {
  if (site->files)
    co_await site->files->send(x);
  else
    x.refuse(404);
}

weir::task<> front(exchange x, const content* site, const fixed_response* page) {
  if (site->has_index)
    co_await site->files->send(x);
  else
    x.send(*page);
}

}  // namespace

void content::set_root(const std::string& root) {
  files.emplace(root);
  has_index = std::filesystem::exists(std::filesystem::path(root) / "index.html");
}

weir::http::site site_of(const content& files, census& all) {
  static const fixed_response page(200, "text/html; charset=utf-8", live_page);
  static const fixed_response plain(200, "text/plain", "Hello, World!\n");
  weir::http::site site;
  site.tally_of_here = [&all]() -> weir::http::tally& { return all.of_here(); };
  site.routes.get("/plain", [](exchange x) { x.send(plain); });
  site.routes.get("/json",
                  [](exchange x) { x.send(200, "application/json", R"({"message":"Hello, World!"})"); });
  site.routes.get("/ready", weir::http::readiness);
  site.routes.get("/stats", [&all](exchange x) { x.send(200, "application/json", all.to_json()); });
  site.routes.get("/cores", [](exchange x) { x.send(page); });
  site.routes.any("/echo", echo);
  site.routes.get("/", [&files](exchange x) { return front(x, &files, &page); });
  site.routes.get("/*", [&files](exchange x) { return file(x, &files); });
  return site;
}
