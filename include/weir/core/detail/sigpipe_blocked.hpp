#pragma once
// core: no SIGPIPE on a thread that runs a core.

#include <pthread.h>

#include <csignal>
#include <ctime>

namespace weir {

// sendfile(2) cannot be told not to raise SIGPIPE when the peer is gone: what it raises on this thread
// meanwhile is swallowed.
class sigpipe_blocked {
 public:
  sigpipe_blocked() {
    ::sigemptyset(&only_);
    ::sigaddset(&only_, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &only_, &before_);
  }
  sigpipe_blocked(const sigpipe_blocked&) = delete;
  sigpipe_blocked& operator=(const sigpipe_blocked&) = delete;
  ~sigpipe_blocked() {
    if (::sigismember(&before_, SIGPIPE) == 1) return;
    const timespec now{};
    while (::sigtimedwait(&only_, nullptr, &now) > 0) {
    }
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  sigset_t only_;
  sigset_t before_;
};

}  // namespace weir
