#include <sys/utsname.h>

#include <cerrno>
#include <fstream>
#include <system_error>

#include "ring.hpp"

namespace weir::io {

// Tries it: what a kernel has, and what a container forbids, no version tells.
std::string completion_driver::why_not() {
  try {
    ring made;
    chunk_pool chunks(512, 0);
    lent_buffers buffers(made, 8, chunks);
    return {};
  } catch (const std::system_error& e) {
    switch (const int error = e.code().value()) {
      case ENOSYS: return "the kernel has no io_uring, or a seccomp filter hides it";
      case EPERM: {
        std::string disabled;
        std::ifstream("/proc/sys/kernel/io_uring_disabled") >> disabled;
        if (!disabled.empty() && disabled != "0") return "kernel.io_uring_disabled is " + disabled;
        return "a seccomp filter or a security module forbids io_uring";
      }
      case EINVAL: {
        utsname kernel{};
        ::uname(&kernel);
        return std::string("Linux ") + kernel.release + " is too old: 6.1 is the first with what is needed";
      }
      case ENOMEM: return "the memory that this process may lock (ulimit -l) is too little";
      default: return e.what() + std::string(" (") + std::to_string(error) + ")";
    }
  } catch (const std::exception& e) {
    return e.what();
  }
}

}  // namespace weir::io
