// A web server: the files of a directory, a few answers of its own, and a page that shows its cores at work.
//
//   http --listen 127.0.0.1:8080 [--root DIR] [--set http.body=16MiB]
//   curl http://127.0.0.1:8080/plain        /json, /echo (any method), /ready, /stats, the page at / and
//   /cores
#include <string>

#include <weir/http/run.hpp>
#include <weir/weir.hpp>

#include "content.hpp"

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
  return weir::http::run(argc, argv, site_of(files, all), about);
}
