#pragma once
// process: the signals that a master obeys, as events of its loop.

#include <array>
#include <csignal>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>

#include "weir/base/unique_fd.hpp"

namespace weir::process {

enum class command : std::uint8_t {
  stop,
  drain,
  reload,
  reopen_log,
  drain_workers,
  one_more,
  one_fewer,
  upgrade
};

struct signal_row {
  int number;
  command meaning;
  std::string_view effect;
};

inline constexpr auto signal_table = std::to_array<signal_row>({
    {SIGTERM, command::stop, "fast stop: connections are cut"},
    {SIGINT, command::stop, "fast stop: connections are cut"},
    {SIGQUIT, command::drain, "drain: workers finish what they have begun"},
    {SIGHUP, command::reload, "reload the configuration: new workers, old ones drain"},
    {SIGUSR1, command::reopen_log, "open the log file again"},
    {SIGWINCH, command::drain_workers, "drain the workers, keep the master and its sockets"},
    {SIGTTIN, command::one_more, "one worker more"},
    {SIGTTOU, command::one_fewer, "one worker fewer"},
    {SIGUSR2, command::upgrade, "start the program anew with the same sockets"},
});

// The kernel sends it when bytes have come to a connection that is parked in the master; SIGIO says that it
// could not queue one for each connection.
[[nodiscard]] inline int io_signal() noexcept { return SIGRTMIN + 1; }

// Problem: a signal handler may call next to nothing, and runs between any two instructions. Here the signals
// of the table, and those of connections, are blocked and read from a descriptor: an event like any other. A
// signal that comes several times before it is read is read once. Several that wait are read by ascending
// number. Thread: the only one of its process. Fork: a child calls give_back before anything else.
class signal_source {
 public:
  // Errors: std::system_error.
  signal_source();
  signal_source(const signal_source&) = delete;
  signal_source& operator=(const signal_source&) = delete;
  ~signal_source();

  [[nodiscard]] int get() const noexcept { return fd_.get(); }  // readable when next() has something

  struct arrived {
    int number;
    int fd;  // with io_signal: the connection
  };
  // The next signal that waits, if any.
  [[nodiscard]] std::optional<arrived> next() noexcept;

  // In a child: closes the descriptor; the signals stay blocked until unblock().
  void give_back() noexcept { fd_.reset(); }

  // Restores the signal mask that this process had before, without the signals of the table.
  void unblock() noexcept;

  // For a process that ends: the signals of the table stay blocked when this is destroyed.
  void keep_blocked() noexcept;

 private:
  ::sigset_t before_;
  unique_fd fd_;
};

[[nodiscard]] const signal_row* row_of_signal(int number) noexcept;

// Unblocks signals, which a parent may have blocked, for a process that has handlers; they are blocked again
// when this is destroyed. Without it a signal that comes while the process returns from main would kill it,
// and its exit code would be lost. Made after the handlers are installed, in the thread that lives longest.
class obeyed_signals {
 public:
  obeyed_signals(std::initializer_list<int> numbers) noexcept;
  obeyed_signals(const obeyed_signals&) = delete;
  obeyed_signals& operator=(const obeyed_signals&) = delete;
  ~obeyed_signals();

 private:
  ::sigset_t obeyed_;
};

}  // namespace weir::process
