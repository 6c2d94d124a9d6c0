#include "weir/base/detail/standard_descriptors.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "weir/base/error.hpp"

namespace weir {

void open_standard_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    const int opened = ::open("/dev/null", O_RDWR);  // the lowest free number, which is this one
    if (opened < 0) throw_system_error(errno, "/dev/null");
    if (opened != fd) ::close(opened);  // another thread has opened something meanwhile
  }
}

}  // namespace weir
