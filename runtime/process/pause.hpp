#pragma once
// process: what the master does when the kernel has too little memory for a call.

#include <time.h>

namespace weir::process {

// Such a call fails at once and would be repeated without end, because what it was to handle is still there.
// Signals that are read from a descriptor do not shorten the pause.
inline void pause_for_shortage() noexcept {
  const ::timespec a_moment{.tv_sec = 0, .tv_nsec = 10'000'000};
  ::nanosleep(&a_moment, nullptr);
}

}  // namespace weir::process
