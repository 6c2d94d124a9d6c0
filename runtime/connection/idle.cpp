// The idle timeout: a timer that looks whether a wait of the connection has lasted too long without a byte
// moving. Bytes that move cost a store, and move no timer.
#include <algorithm>
#include <chrono>
#include <limits>

#include "weir/connection/detail/connection_table.hpp"
#include "weir/connection/detail/migration.hpp"

namespace weir {
namespace {

// How often the timer looks where another thread may hold the connection when it expires.
constexpr std::chrono::seconds migrated_interval(1);

}  // namespace

void connection_state::set_idle_timeout(std::chrono::milliseconds t) {
  assert_thread("connection::set_idle_timeout");
  if (!is_open()) return;
  // Time is kept in 32 bits: what does not fit is longer than 49 days.
  const bool never = t.count() <= 0 || t.count() > std::numeric_limits<std::uint32_t>::max();
  idle_timeout_ = never ? 0 : static_cast<std::uint32_t>(t.count());
  if (mode != mode_in_loop()) return;  // looked at from time to time, or not at all
  auto& timers = table().home().timers();
  if (idle_timeout_ == 0) return timers.disarm(*this);
  wait_begins();
  timers.arm_at(*this, driver->now() + idle_timeout_);
}

bool connection_state::is_idle(std::uint64_t now) const noexcept {
  return idle_timeout_ != 0 && static_cast<std::uint32_t>(now) - active_at >= idle_timeout_;
}

void connection_state::check_idle() noexcept {
  if (idle_timeout_ == 0 && mode != io::wait_mode::migrating) return;
  auto& timers = table().home().timers();
  const auto now = table().home().driver().refresh_now();
  if (mode == io::wait_mode::migrating) {
    timers.arm(*this, migrated_interval);
    return aside_.away->check_idle(now);
  }
  if (end_if_idle(now)) return;
  // A handler that waits for something else than this socket is not idle.
  const bool waiting = reading != nullptr || writing != nullptr;
  const auto idle = static_cast<std::uint32_t>(now) - active_at;
  timers.arm_at(*this, now + (waiting ? idle_timeout_ - idle : idle_timeout_));
}

bool connection_state::end_if_idle(std::uint64_t now) noexcept {
  if ((reading == nullptr && writing == nullptr) || !is_idle(now)) return false;
  // Bytes that have moved in the other direction since this one began to wait.
  const bool moved = (reading != nullptr && sent) || (writing != nullptr && heard == hearing::since_wait);
  if (moved) {
    sent = false;
    if (heard == hearing::since_wait) heard = hearing::before_wait;
    active_at = static_cast<std::uint32_t>(now);
    return false;
  }
  end_idle();
  return true;
}

void connection_state::end_idle() noexcept {
  if (writing == nullptr) return end_input(ending::idle);
  if (end == ending::none) end = ending::idle;
  reset_at_once();  // a peer that does not read gets nothing more, and must not take a part for the whole
}

void connection_state::run_handler_on(worker_queue& at) {
  aside_.away = at.migrate(*this);
  migrates_ = true;
  mode = io::wait_mode::migrating;
  table().home().timers().arm(*this, migrated_interval);
}

}  // namespace weir
