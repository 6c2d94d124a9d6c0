#pragma once
// http: the files below a directory.

#include <cstddef>
#include <memory>
#include <string>

#include "weir/base/unique_fd.hpp"
#include "weir/http/exchange.hpp"
#include "weir/task/task.hpp"

namespace weir::http {

class spare_descriptors;

// Problem: no path of a request may lead out of the directory. The kernel resolves names here (openat2 with
// RESOLVE_BENEATH): "..", absolute links and links that lead out are not found, links that stay below the
// root are followed.
//
//   weir::http::directory files("/srv/www");
//   site.routes.get("/*", [&files](weir::http::exchange x) { return files.send(x); });
//
// A directory is answered with its index.html. Validators, conditions, single ranges; NAME.gz, if it is not
// older than NAME, for clients that accept gzip. Each serving thread keeps up to most_kept files, those up to
// small_file bytes in memory and larger ones open, and checks a file again after a second. It keeps a few
// descriptors back, so that files are served when connections have taken all others.
// Thread: any. Lifetime: must outlive the exchanges.
// Hazard: a slow disk blocks the core.
class directory {
 public:
  static constexpr std::size_t most_kept = 256;
  static constexpr std::size_t small_file = 16384;

  // Errors: std::system_error that names `root`.
  explicit directory(const std::string& root);

  // Answers with a file or a part of it, or with 301, 304, 400, 404, 412, 416.
  [[nodiscard]] task<> send(exchange x) const;

 private:
  unique_fd root_;
  std::shared_ptr<spare_descriptors> spare_;  // shared with nobody: its type is private
};

}  // namespace weir::http
