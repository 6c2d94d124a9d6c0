#include "served_root.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "weir/base/error.hpp"

namespace weir::http {

namespace {

std::shared_ptr<const served_root::opened> open_directory(const std::string& path) {
  auto made = std::make_shared<served_root::opened>();
  made->fd = unique_fd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  struct stat s{};
  if (!made->fd || ::fstat(made->fd.get(), &s) != 0) return nullptr;
  made->device = s.st_dev;
  made->inode = s.st_ino;
  return made;
}

}  // namespace

// O_NONBLOCK: opening a pipe without a writer must not block.
unique_fd open_beneath(int root, const std::string& path) noexcept {
  open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  for (int tries = 0; tries < 8; ++tries) {  // EAGAIN: a name below the root changed meanwhile
    const long fd = ::syscall(SYS_openat2, root, path.empty() ? "." : path.c_str(), &how, sizeof how);
    if (fd >= 0) return unique_fd(static_cast<int>(fd));
    if (errno != EAGAIN && errno != EINTR) break;
  }
  return unique_fd();
}

served_root::served_root(const std::string& path) : path_(path) {
  now_ = open_directory(path_);
  if (now_ == nullptr) throw_system_error(errno, "open directory " + path);
  // A kernel that is too old, or a sandbox that does not know it.
  if (!open_beneath(now_->fd.get(), ".")) throw_system_error(errno, "openat2 in " + path);
  path_ = std::filesystem::absolute(path_).string();
}

std::shared_ptr<const served_root::opened> served_root::look() {
  const std::lock_guard hold(looking_);
  struct stat s{};
  // The inode that is open is not given to another directory, so a number that is the same is the same one.
  if (::stat(path_.c_str(), &s) != 0 || (s.st_dev == now_->device && s.st_ino == now_->inode)) return now_;
  if (auto other = open_directory(path_)) now_ = std::move(other);
  return now_;
}

}  // namespace weir::http
