#pragma once
// process: what a program tells systemd, or whoever started it and wants to know.

#include <chrono>
#include <string_view>

namespace weir::process {

// Problem: who starts a server wants to know when it serves, that it reloads, that it is alive. The protocol
// is a datagram of lines (sd_notify(3)) to the socket named in NOTIFY_SOCKET: "READY=1", "STOPPING=1",
// "MAINPID=7". Without that variable nothing is told. Thread: any. Errors: none; who does not listen is not
// told.
void tell_service_manager(std::string_view lines) noexcept;

// "RELOADING=1" with the time that the protocol wants with it.
void tell_reloading() noexcept;

// "WATCHDOG=1" at twice the pace that is expected of this process (WATCHDOG_USEC), if it is.
// Thread: the one that owns it.
class watchdog {
 public:
  using clock = std::chrono::steady_clock;

  watchdog() noexcept;
  // When it is due next; max() if nobody watches.
  [[nodiscard]] clock::time_point next() const noexcept { return next_; }
  void tell_if_due(bool alive) noexcept;

 private:
  std::chrono::milliseconds interval_{0};
  clock::time_point next_ = clock::time_point::max();
};

}  // namespace weir::process
