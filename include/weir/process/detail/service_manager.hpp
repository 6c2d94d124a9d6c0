#pragma once
// process: notifications to systemd, or to another program that has started this one.

#include <chrono>
#include <string_view>

namespace weir::process {

// Problem: a program that starts a server needs to know when the server serves, reloads, and whether it is
// alive. The protocol is a datagram of lines (sd_notify(3)) to the socket named in NOTIFY_SOCKET: "READY=1",
// "STOPPING=1", "MAINPID=7". Without that variable nothing is sent. Thread: any. Errors: none; a datagram
// that cannot be sent is lost.
void tell_service_manager(std::string_view lines) noexcept;

// "RELOADING=1" with the time that the protocol wants with it.
void tell_reloading() noexcept;

// Sends "WATCHDOG=1" twice as often as WATCHDOG_USEC asks of this process, if it does.
// Thread: the one that owns it.
class watchdog {
 public:
  using clock = std::chrono::steady_clock;

  watchdog() noexcept;
  // When the next one is due; max() if none is asked for.
  [[nodiscard]] clock::time_point next() const noexcept { return next_; }
  void tell_if_due(bool alive) noexcept;

 private:
  std::chrono::milliseconds interval_{0};
  clock::time_point next_ = clock::time_point::max();
};

}  // namespace weir::process
