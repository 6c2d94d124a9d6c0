#include "weir/server/detail/log_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <system_error>

#include "weir/base/detail/line_file.hpp"
#include "weir/base/error.hpp"
#include "weir/base/log.hpp"
#include "weir/process/detail/privileges.hpp"

namespace weir {

void open_log(const settings& s) {
  const auto [user, group] = process::identity_of(s.privileges);
  log::reopen_line_files(user, group);
  if (s.log.file.empty()) return;
  log::to_file(s.log.file);
  // Otherwise a process that has become another user could not open it again.
  if (::geteuid() == 0 && user != 0 && ::fchown(STDERR_FILENO, user, group) != 0)
    throw_system_error(errno, "chown " + s.log.file);
}

void reopen_log(const settings& s) noexcept {
  try {
    open_log(s);
  } catch (const std::exception& e) {
    log::error("{}", e.what());
  }
}

std::string why_not_writable(const std::string& path) {
  struct stat found{};
  if (::stat(path.c_str(), &found) == 0) {
    if (S_ISDIR(found.st_mode)) return "it is a directory";
    return ::faccessat(AT_FDCWD, path.c_str(), W_OK, AT_EACCESS) == 0
               ? std::string()
               : std::generic_category().message(errno);
  }
  if (errno != ENOENT) return std::generic_category().message(errno);
  const std::string folder = path.substr(0, path.rfind('/') + 1);
  if (::faccessat(AT_FDCWD, folder.c_str(), W_OK | X_OK, AT_EACCESS) == 0) return {};
  return fmt::format("{}: {}", folder, std::generic_category().message(errno));
}

}  // namespace weir
