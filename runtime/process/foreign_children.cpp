#include "weir/process/detail/foreign_children.hpp"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <system_error>

#include "weir/base/log.hpp"
#include "weir/process/detail/child_process.hpp"

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

int serve_below_a_reaper(const std::function<int()>& serve) {
  if (!adopts_orphans()) return serve();
  if (has_several_threads()) {
    log::warning("orphans that come to this process are not reaped: it has threads, which a fork would lose");
    return serve();
  }
  ::sigset_t all;
  ::sigset_t before;
  ::sigfillset(&all);
  static_cast<void>(std::signal(SIGCHLD, SIG_DFL));
  ::sigprocmask(SIG_BLOCK, &all, &before);
  child_process server([&] {
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
    return serve();
  });
  const ::pid_t pid = server.pid();
  for (;;) {
    static_cast<void>(reap_foreign_children([pid](::pid_t each) { return each == pid; }));
    if (const auto how = server.reap()) {
      static_cast<void>(reap_foreign_children([](::pid_t) { return false; }));
      return how->by_signal ? 128 + how->value : how->value;
    }
    ::siginfo_t signal{};
    if (::sigwaitinfo(&all, &signal) > 0 && is_passed_on(signal)) server.signal(signal.si_signo);
  }
}

}  // namespace weir::process
