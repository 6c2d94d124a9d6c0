#include "weir/server/detail/log_file.hpp"

#include <unistd.h>

#include <cerrno>

#include "weir/base/error.hpp"
#include "weir/base/log.hpp"
#include "weir/process/detail/privileges.hpp"

namespace weir {

void open_log(const settings& s) {
  if (s.log.file.empty()) return;
  log::to_file(s.log.file);
  const auto [user, group] = process::identity_of(s.privileges);
  // Otherwise who has become somebody else could not open it again.
  if (::geteuid() == 0 && user != 0 && ::fchown(STDERR_FILENO, user, group) != 0)
    throw_system_error(errno, "chown " + s.log.file);
}

}  // namespace weir
