#include "weir/process/detail/signals.hpp"

#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>

#include "weir/base/error.hpp"

namespace weir::process {

signal_source::signal_source() {
  ::sigset_t taken;
  ::sigemptyset(&taken);
  for (const auto& row : signal_table) ::sigaddset(&taken, row.number);
  ::sigaddset(&taken, io_signal());
  ::sigaddset(&taken, SIGIO);
  ::sigaddset(&taken, SIGCHLD);  // a worker has been stopped or continued
  // Blocked first: a signal in between waits, and the descriptor finds it.
  if (::sigprocmask(SIG_BLOCK, &taken, &before_) != 0) throw_system_error(errno, "sigprocmask");
  for (const auto& row : signal_table) ::sigdelset(&before_, row.number);
  fd_ = unique_fd(::signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd_) {
    const int error = errno;
    unblock();
    throw_system_error(error, "signalfd");
  }
}

signal_source::~signal_source() {
  while (fd_ && next()) {
  }
  unblock();
}

std::optional<signal_source::arrived> signal_source::next() noexcept {
  signalfd_siginfo info;
  if (::read(fd_.get(), &info, sizeof info) != static_cast<ssize_t>(sizeof info)) return std::nullopt;
  return arrived{static_cast<int>(info.ssi_signo), info.ssi_fd};
}

void signal_source::unblock() noexcept { ::sigprocmask(SIG_SETMASK, &before_, nullptr); }

void signal_source::keep_blocked() noexcept {
  for (const auto& row : signal_table) ::sigaddset(&before_, row.number);
}

obeyed_signals::obeyed_signals(std::initializer_list<int> numbers) noexcept {
  ::sigemptyset(&obeyed_);
  for (const int each : numbers) ::sigaddset(&obeyed_, each);
  ::pthread_sigmask(SIG_UNBLOCK, &obeyed_, nullptr);
}

obeyed_signals::~obeyed_signals() { ::pthread_sigmask(SIG_BLOCK, &obeyed_, nullptr); }

const signal_row* row_of_signal(int number) noexcept {
  for (const auto& row : signal_table)
    if (row.number == number) return &row;
  return nullptr;
}

}  // namespace weir::process
