#pragma once
// http: the files below a directory.

#include <cstddef>
#include <string>

#include "weir/base/unique_fd.hpp"
#include "weir/http/exchange.hpp"
#include "weir/task/task.hpp"

namespace weir::http {

// Problem: a path of a request must not lead out of the directory, whatever it is made of. Here the kernel
// sees to it (openat2 with RESOLVE_BENEATH): "..", absolute links and links that lead out are not found,
// links that stay below the root are followed.
//
//   weir::http::directory files("/srv/www");
//   site.routes.get("/*", [&files](weir::http::exchange x) { return files.send(x); });
//
// index.html stands for its directory. Validators, conditions, single ranges; NAME.gz, if it is not older
// than NAME, for clients that take it. Each thread that serves keeps up to most_kept files, those up to
// small_file in memory and larger ones open, and looks at a file again once it has kept it for a second.
// Thread: any. Lifetime: outlives the exchanges. A slow disk holds up the core.
class directory {
 public:
  static constexpr std::size_t most_kept = 256;
  static constexpr std::size_t small_file = 16384;

  // Errors: std::system_error that names `root`.
  explicit directory(const std::string& root);

  // Answers with a file or a part of it, or with 301, 304, 400, 404, 412, 416.
  [[nodiscard]] task<> send(exchange x) const;

  [[nodiscard]] int root() const noexcept { return root_.get(); }

 private:
  unique_fd root_;
};

}  // namespace weir::http
