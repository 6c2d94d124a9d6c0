#pragma once
// http: the directory whose files are served, found again when its name means another one.

#include <sys/types.h>

#include <memory>
#include <mutex>
#include <string>

#include "spare_descriptors.hpp"
#include "weir/base/unique_fd.hpp"

namespace weir::http {

// Opens the file or directory that `path` names below `root`; -1 with errno.
[[nodiscard]] unique_fd open_beneath(int root, const std::string& path) noexcept;

// Problem: a site is deployed by a rename of the link that its root is, or by a new directory in its place.
// An open directory stays the old one.
// Thread: any.
class served_root {
 public:
  // A directory, as long as the name meant this one.
  struct opened {
    unique_fd fd;
    ::dev_t device = 0;
    ::ino_t inode = 0;
  };

  // Errors: std::system_error that names `path`.
  explicit served_root(const std::string& path);

  // What the name means now; the last one that it meant, if that cannot be opened.
  [[nodiscard]] std::shared_ptr<const opened> look();

  [[nodiscard]] spare_descriptors& spare() noexcept { return spare_; }

 private:
  std::string path_;  // absolute: the working directory may change
  std::mutex looking_;
  std::shared_ptr<const opened> now_;
  spare_descriptors spare_;
};

}  // namespace weir::http
