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

pid_file::pid_file(std::string path) : path_(std::move(path)) {
  if (path_.empty()) return;
  const std::string fresh = path_ + ".new";
  const unique_fd file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
  const std::string text = fmt::format("{}\n", ::getpid());
  if (!file || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      std::rename(fresh.c_str(), path_.c_str()) != 0) {
    const int error = errno;
    if (file) ::unlink(fresh.c_str());
    const std::string what = fmt::format("processes.pid_file {}", path_);
    path_.clear();
    throw_system_error(error, what);
  }
}

pid_file::~pid_file() {
  if (path_.empty()) return;
  const std::string mine = aside_ ? other_name() : path_;
  try {
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
