#pragma once
// server: the end of a process that a thread holds up.

#include <chrono>
#include <csignal>
#include <ctime>

namespace weir {

// Problem: a handler, a job of offload() or a look-up of a name may block its thread for as long as it likes,
// and a thread cannot be ended from outside; joining it would keep the process for as long. From an order to
// end on there is a time at which the process ends all the same: a timer of the kernel, because the loop that
// would watch the clock may be the one that is blocked, and a server of one loop has no other thread. Its
// signal handler asks each thread what holds it up, writes that to the log and leaves with _exit(2): no
// destructor and no function registered with atexit(3) runs then. Thread: made and destroyed by one thread,
// which gets the signal (SIGRTMIN + 2). One at a time.
class last_resort {
 public:
  // `exit_code`: that of a process that ends in this way. Errors: std::system_error.
  explicit last_resort(int exit_code);
  last_resort(const last_resort&) = delete;
  last_resort& operator=(const last_resort&) = delete;
  ~last_resort();

  // The process ends after `time` from now at the latest; a time that was set before is kept if it is sooner.
  // Async-signal-safe. Thread: any.
  static void end_within(std::chrono::milliseconds time) noexcept;

 private:
  struct ::sigaction before_{};
};

}  // namespace weir
