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

// With it the kernel tells that bytes have come to a connection that waits in the master; SIGIO says that it
// could not tell of each.
[[nodiscard]] inline int io_signal() noexcept { return SIGRTMIN + 1; }

// Problem: a handler may do next to nothing, and what it does comes between any two instructions. Here the
// signals of the table, and those of connections, are blocked and read from a descriptor: an event like any
// other. Several of one kind that come before they are read are one. Thread: the only one of its process.
// Fork: a child calls give_back before anything else.
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
  // The next signal that has come, if any.
  [[nodiscard]] std::optional<arrived> next() noexcept;

  // In a child: closes the descriptor; the signals stay blocked until unblock().
  void give_back() noexcept { fd_.reset(); }

  // Sets the mask that this process had before, in which the signals of the table come through.
  void unblock() noexcept;

  // For a process that ends: the signals of the table stay blocked when this is gone.
  void keep_blocked() noexcept;

 private:
  ::sigset_t before_;
  unique_fd fd_;
};

[[nodiscard]] const signal_row* row_of_signal(int number) noexcept;

// The same for a process that has handlers, in the thread that lives longest: while this is there the signals
// come through, whatever a parent has blocked, and afterwards they are blocked. Who is told again while it
// returns from main would otherwise be killed, and its exit code lost. Made after the handlers are there.
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
