#include "weir/process/detail/child_process.hpp"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <system_error>

#include "wait.hpp"
#include "weir/base/error.hpp"
#include "weir/base/log.hpp"

namespace weir::process {
namespace {

// pidfd_open and pidfd_send_signal are called by number: the header of glibc 2.36 forgets extern "C".

// Never returns into what was forked.
[[noreturn]] void become(const std::function<int()>& body, ::pid_t master) noexcept {
  int code = 1;
  // The kernel kills a worker that is stuck, or stopped, as well. A master that has died before this call is
  // seen by getppid.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() == master) {
    try {
      code = body();
    } catch (const std::exception& e) {
      log::error("{}", e.what());
    } catch (...) {
      log::error("an exception of unknown type");
    }
  }
  std::fflush(nullptr);
  ::_exit(code);
}

}  // namespace

std::string exit_reason::to_string() const {
  if (!by_signal) return fmt::format("exit code {}", value);
  const char* const name = ::sigabbrev_np(value);
  return fmt::format("{}{}", name != nullptr ? "SIG" + std::string(name) : fmt::format("signal {}", value),
                     dumped_core ? " (core dumped)" : "");
}

child_process::child_process(const std::function<int()>& body) {
  std::fflush(nullptr);  // or both would write it
  const ::pid_t master = ::getpid();
  const ::pid_t pid = ::fork();
  if (pid < 0) throw_system_error(errno, "fork");
  if (pid == 0) become(body, master);
  fd_ = open_process(pid);
  pid_ = pid;
}

child_process::~child_process() {
  if (!signal(SIGKILL)) return;
  ::siginfo_t info{};
  while (::waitid(P_PIDFD, static_cast<::id_t>(fd_.get()), &info, WEXITED) != 0 && errno == EINTR) {
  }
}

bool child_process::signal(int number) noexcept {
  if (!fd_) return false;
  if (::syscall(SYS_pidfd_send_signal, fd_.get(), number, nullptr, 0) == 0) return true;
  // A sandbox may know only the older call. The child has not been reaped, so the number is still its own.
  if (errno != ESRCH && ::kill(pid_, number) == 0) return true;
  if (errno != ESRCH)
    log::error("process {} cannot be sent SIG{}: {}", pid_, ::sigabbrev_np(number),
               std::generic_category().message(errno));
  return false;
}

std::optional<exit_reason> child_process::reap() noexcept { return reap_process(fd_); }

std::optional<bool> child_process::stopped() noexcept {
  ::siginfo_t info{};
  if (!fd_ ||
      ::waitid(P_PIDFD, static_cast<::id_t>(fd_.get()), &info, WSTOPPED | WCONTINUED | WNOHANG) != 0 ||
      info.si_pid == 0)
    return std::nullopt;
  return info.si_code != CLD_CONTINUED;
}

unique_fd open_process(::pid_t child) {
  // Not reaped yet, so the number is still this child's.
  unique_fd out(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  if (out) return out;
  const int error = errno;
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  throw_system_error(error, "pidfd_open");
}

std::optional<exit_reason> reap_process(unique_fd& process) noexcept {
  ::siginfo_t info{};
  if (!process) return std::nullopt;
  if (::waitid(P_PIDFD, static_cast<::id_t>(process.get()), &info, WEXITED | WNOHANG) != 0) {
    if (errno != ECHILD) return std::nullopt;
    process.reset();  // it would be readable for ever
    return exit_reason{false, -1, false};
  }
  if (info.si_pid == 0) return std::nullopt;
  process.reset();
  return exit_reason{info.si_code != CLD_EXITED, info.si_status, info.si_code == CLD_DUMPED};
}

}  // namespace weir::process
