#pragma once
// server: the signals that a server of one process obeys, as events of its first loop.

#include <array>
#include <chrono>
#include <csignal>
#include <functional>

#include "weir/base/asio.hpp"
#include "weir/base/detail/handler_memory.hpp"
#include "weir/base/unique_fd.hpp"
#include "weir/config/settings.hpp"
#include "weir/process/detail/end_order.hpp"
#include "weir/process/detail/signals.hpp"

namespace weir {

// Problem: the loop that obeys may be held up by a handler. So the signal handler itself counts the orders to
// end (process/detail/end_order.hpp), in the order in which they arrive, and sets the time of the
// last_resort; the loop does the rest when it turns. The signals come through from the construction on, even
// if they were blocked, and wait for a reader; at the end they are blocked, so that a late one cannot take
// the exit code. Thread: main's. One at a time: signals belong to the process. Lifetime: outlives the server,
// whose destructor may wait for threads that are blocked.
class server_signals {
 public:
  // `limits`: the delay before a drain, and how long handlers may take then. Errors: std::system_error.
  explicit server_signals(const limit_settings& limits);
  server_signals(const server_signals&) = delete;
  server_signals& operator=(const server_signals&) = delete;
  ~server_signals();

  [[nodiscard]] static end_order ordered() noexcept;

  // For an end that has not been ordered yet. Any thread.
  void set_limits(const limit_settings& limits) const noexcept;

  // While it lives, `obey` is called on a loop for each signal, once if it has come several times.
  // Thread: the loop's, and main's before and after it runs.
  class reader {
   public:
    reader(const server_signals& of, asio::io_context& loop, std::function<void(int number)> obey);
    reader(const reader&) = delete;
    reader& operator=(const reader&) = delete;
    ~reader();

   private:
    void wait();
    void read();

    std::function<void(int)> obey_;
    handler_memory<> memory_;
    asio::posix::stream_descriptor wakes_;
  };

 private:
  // Restores what the signals did before.
  class installed {
   public:
    installed();
    installed(const installed&) = delete;
    installed& operator=(const installed&) = delete;
    ~installed();

   private:
    std::array<struct ::sigaction, 5> before_{};
  };

  unique_fd wakes_;
  installed handlers_;
  process::obeyed_signals obeyed_;
};

}  // namespace weir
