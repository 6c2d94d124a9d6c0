#include "weir/process/detail/pid_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <utility>

#include "weir/base/error.hpp"
#include "weir/base/log.hpp"
#include "weir/base/unique_fd.hpp"

namespace weir::process {

namespace {

struct ::flock whole_file() {
  struct ::flock out{};
  out.l_type = F_WRLCK;
  out.l_whence = SEEK_SET;
  return out;
}

// 0 if the file is not locked; -1 if by a process of another container.
::pid_t lock_holder(int fd) {
  auto lock = whole_file();
  if (::fcntl(fd, F_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) return 0;
  return lock.l_pid != 0 ? lock.l_pid : -1;
}

[[noreturn]] void refuse(const std::string& path, ::pid_t holder) {
  throw_system_error(
      EEXIST, fmt::format("processes.pid_file {}: it belongs to process {}, which runs", path, holder));
}

}  // namespace

pid_file::pid_file(std::string path) : path_(std::move(path)) {
  if (path_.empty()) return;
  const std::string name = std::exchange(path_, {});
  refuse_if_taken(name);
  const std::string fresh = name + ".new";
  // Not truncated before it is locked: it may be that of a process that starts at the same time.
  locked_ = unique_fd(::open(fresh.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
  const std::string text = fmt::format("{}\n", ::getpid());
  auto lock = whole_file();
  if (locked_ && ::fcntl(locked_.get(), F_SETLK, &lock) != 0 && (errno == EAGAIN || errno == EACCES))
    refuse(name, lock_holder(locked_.get()));
  // A file system without locks has no protection, but the file is written.
  if (locked_ && ::ftruncate(locked_.get(), 0) == 0 &&
      ::write(locked_.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
      std::rename(fresh.c_str(), name.c_str()) == 0) {
    path_ = name;
    return;
  }
  const int error = errno;
  if (locked_) ::unlink(fresh.c_str());
  throw_system_error(error, fmt::format("processes.pid_file {}", name));
}

// Hazard: closing any descriptor of a file gives up all locks that this process has on it. So this is for a
// file that this process has not locked.
void pid_file::refuse_if_taken(const std::string& path) {
  if (path.empty()) return;
  const unique_fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!file) return;
  if (const ::pid_t holder = lock_holder(file.get()); holder != 0) refuse(path, holder);
}

pid_file::~pid_file() {
  if (path_.empty()) return;
  const std::string mine = aside_ ? other_name() : path_;
  try {
    // Reading gives up the lock; the file goes, too.
    if (read(mine) == ::getpid()) ::unlink(mine.c_str());
  } catch (const std::exception&) {  // it has been removed already
  }
}

void pid_file::step_aside() noexcept {
  if (!path_.empty() && !aside_) aside_ = move(path_, other_name());
}

void pid_file::step_back() noexcept {
  if (!path_.empty() && aside_) aside_ = !move(other_name(), path_);
}

bool pid_file::move(const std::string& from, const std::string& to) noexcept {
  if (std::rename(from.c_str(), to.c_str()) == 0) return true;
  log::error("processes.pid_file: {} is not renamed to {}: {}", from, to,
             std::generic_category().message(errno));
  return false;
}

int pid_file::read(const std::string& path) {
  std::string text;
  std::ifstream file(path);
  if (!file) throw_system_error(errno, path);
  std::getline(file, text);
  int pid = 0;
  const char* const end = text.data() + text.size();
  if (std::from_chars(text.data(), end, pid).ptr != end || pid <= 0)
    throw_system_error(EINVAL, fmt::format("{} holds no process id", path));
  return pid;
}

}  // namespace weir::process
