#include "weir/process/detail/foreign_children.hpp"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <system_error>

#include "weir/base/log.hpp"

namespace weir::process {
namespace {

// Unknown without /proc: then one is assumed.
bool has_several_threads() {
  std::error_code ec;
  const std::filesystem::directory_iterator all("/proc/self/task", ec);
  return !ec && std::distance(begin(all), end(all)) > 1;
}

// Signals that a person or a program sends to process 1 are meant for the server. Those of a terminal have
// come to both.
bool is_passed_on(const ::siginfo_t& signal) noexcept {
  return signal.si_signo != SIGCHLD && signal.si_code != SI_KERNEL;
}

[[noreturn]] void reap_until_end_of(::pid_t server, const ::sigset_t& blocked) noexcept {
  const auto is_own = [server](::pid_t each) { return each == server; };
  for (;;) {
    static_cast<void>(reap_foreign_children(is_own));
    ::siginfo_t ended{};
    if (::waitid(P_PID, static_cast<::id_t>(server), &ended, WEXITED | WNOHANG) == 0 &&
        ended.si_pid == server)
      ::_exit(ended.si_code == CLD_EXITED ? ended.si_status : 128 + ended.si_status);
    ::siginfo_t signal{};
    // The server has not been reaped, so the number is still its own.
    if (::sigwaitinfo(&blocked, &signal) > 0 && is_passed_on(signal)) ::kill(server, signal.si_signo);
  }
}

}  // namespace

bool adopts_orphans() noexcept {
  int subreaper = 0;
  return ::getpid() == 1 || (::prctl(PR_GET_CHILD_SUBREAPER, &subreaper) == 0 && subreaper != 0);
}

bool reap_foreign_children(const std::function<bool(::pid_t)>& is_own) noexcept {
  for (;;) {
    ::siginfo_t ended{};
    // The kernel always shows the same one first until it has been reaped.
    if (::waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) != 0 || ended.si_pid == 0) return false;
    if (is_own(ended.si_pid)) return true;
    ::waitid(P_PID, static_cast<::id_t>(ended.si_pid), &ended, WEXITED | WNOHANG);
  }
}

void go_below_a_reaper() {
  if (!adopts_orphans()) return;
  if (has_several_threads())
    return log::warning(
        "orphans that come to this process are not reaped: it has threads, which a fork would lose");
  std::fflush(nullptr);  // or both would write it
  ::sigset_t all;
  ::sigset_t before;
  ::sigfillset(&all);
  ::sigprocmask(SIG_BLOCK, &all, &before);
  auto* const on_child =
      std::signal(SIGCHLD, SIG_DFL);  // where it is ignored the kernel would reap the server
  const ::pid_t reaper = ::getpid();
  const ::pid_t server = ::fork();
  if (server > 0) reap_until_end_of(server, all);
  if (server < 0)
    log::warning("orphans that come to this process are not reaped: fork: {}",
                 std::generic_category().message(errno));
  if (server == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != reaper) ::raise(SIGKILL);  // it has ended before that call
  }
  static_cast<void>(std::signal(SIGCHLD, on_child));
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace weir::process
