// A web server: the files of a directory, a few answers of its own, and a page that shows its cores at work.
//
//   http --listen 127.0.0.1:8080 [--root DIR] [--set http.body=16MiB]
//   curl http://127.0.0.1:8080/plain        /json, /echo (any method), /ready, /stats, the page at / and
//   /cores
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include <weir/http/directory.hpp>
#include <weir/http/run.hpp>
#include <weir/weir.hpp>

#include "census.hpp"
#include "page.hpp"

namespace {

using weir::http::exchange;
using weir::http::fixed_response;

// The directory to serve, if there is one.
struct content {
  std::optional<weir::http::directory> files;
  bool has_index = false;

  void set_root(const std::string& root) {
    files.emplace(root);
    has_index = std::filesystem::exists(std::filesystem::path(root) / "index.html");
  }
};

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

int main(int argc, char** argv) {
  content files;
  std::string root;
  weir::program about{
      .summary = "a web server: files, /plain, /json, /echo, /stats and a page that shows its cores",
      .keys = {weir::key("files.root", root, "the directory whose files are served; empty: none")
                   .with_flag("--root", "DIR")},
      .prepare =
          [&] {
            if (!root.empty()) files.set_root(root);
          },
  };
  about.defaults.listen = {"127.0.0.1:8080"};

  census all;
  const fixed_response page(200, "text/html; charset=utf-8", live_page);
  const fixed_response plain(200, "text/plain", "Hello, World!\n");
  weir::http::site site;
  site.tally_of_here = [&all]() -> weir::http::tally& { return all.of_here(); };
  site.routes.get("/plain", [&plain](exchange x) { x.send(plain); });
  site.routes.get("/json",
                  [](exchange x) { x.send(200, "application/json", R"({"message":"Hello, World!"})"); });
  site.routes.get("/ready", weir::http::readiness);
  site.routes.get("/stats", [&all](exchange x) { x.send(200, "application/json", all.to_json()); });
  site.routes.get("/cores", [&page](exchange x) { x.send(page); });
  site.routes.any("/echo", echo);
  site.routes.get("/", [&](exchange x) { return front(x, &files, &page); });
  site.routes.get("/*", [&files](exchange x) { return file(x, &files); });
  return weir::http::run(argc, argv, site, about);
}
