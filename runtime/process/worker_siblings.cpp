#include "weir/process/detail/worker_siblings.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace weir::process {

void worker_siblings::has_grown() noexcept {
  if (own_load() >= board_.pool().least_awaited.load()) board_.wake_standing_back();
}

void worker_siblings::has_shrunk() noexcept {
  if (!own_is_above_share()) board_.wake_standing_back();
}

void worker_siblings::hold_up(bool held) noexcept {
  if (held) {
    self_.held_up.fetch_add(1);
    board_.wake_standing_back();
  } else {
    self_.held_up.fetch_sub(1);
  }
}

// Either this process sees the count that has grown, or the process whose count has grown sees that it is
// awaited: all of these accesses are in one order. The own count is watched meanwhile (permit_pool::watch):
// either its shrinking is seen here, or has_shrunk() comes after `epoch` was read.
void worker_siblings::wait_for_least(std::uint32_t least, std::chrono::milliseconds most) noexcept {
  auto& pool = board_.pool();
  const std::uint32_t epoch = pool.wake_ups.load();
  for (std::uint32_t awaited = pool.least_awaited.load();
       least < awaited && !pool.least_awaited.compare_exchange_weak(awaited, least);) {
  }
  if (least_load() >= least || !own_is_above_share()) return;
  const ::timespec limit{.tv_sec = most.count() / 1000, .tv_nsec = most.count() % 1000 * 1'000'000};
  ::syscall(SYS_futex, &pool.wake_ups, FUTEX_WAIT, epoch, &limit, nullptr, 0);
}

void scoreboard::wake_standing_back() noexcept {
  pool().least_awaited = UINT32_MAX;
  pool().wake_ups.fetch_add(1);
  ::syscall(SYS_futex, &pool().wake_ups, FUTEX_WAKE, INT32_MAX, nullptr, nullptr, 0);
}

}  // namespace weir::process
