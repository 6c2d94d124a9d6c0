#pragma once
// http: the files below a directory.

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "weir/http/exchange.hpp"
#include "weir/task/task.hpp"

namespace weir::http {

class served_root;

// Problem: no path of a request may lead out of the directory. The kernel resolves names here (openat2 with
// RESOLVE_BENEATH): "..", absolute links and links that lead out are not found, links that stay below the
// root are followed.
//
//   weir::http::directory files("/srv/www");
//   site.routes.get("/*", [&files](weir::http::exchange x) { return files.send(x); });
//
// A directory is answered with its index.html. Validators, conditions, ranges (multipart/byteranges for
// several); NAME.gz, if it is not older than NAME, for clients that accept gzip. The root is found again by
// its name each second, so a release that is switched by a rename, or put in its place, is served from then
// on. Each loop keeps up to most_kept files, those up to small_file bytes in memory and larger ones open,
// checks a file again after a second and forgets it after kept_unused without use. All loops together keep
// at most an eighth of RLIMIT_NOFILE open, and none when the process is out of descriptors. A few
// descriptors are held back, so that files are served when connections have taken all others.
// Thread: any. Lifetime: must outlive the exchanges.
// Hazard: a slow disk blocks the core.
class directory {
 public:
  static constexpr std::size_t most_kept = 256;
  static constexpr std::size_t small_file = 16384;
  static constexpr std::chrono::seconds kept_unused{2};

  // Errors: std::system_error that names `root`.
  explicit directory(const std::string& root);

  // Answers with a file or a part of it, or with 301, 304, 400, 404, 412, 416.
  [[nodiscard]] task<> send(exchange x) const;

 private:
  std::shared_ptr<served_root> root_;  // which the caches of the cores know it by
};

}  // namespace weir::http
