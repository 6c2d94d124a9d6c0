#include "weir/io/detail/timer_queue.hpp"

#include <algorithm>
#include <thread>
#include <utility>

namespace weir::io {
namespace {

using milliseconds = std::chrono::duration<std::uint64_t, std::milli>;

}  // namespace

std::uint64_t timer_queue::current_tick() noexcept {
  return std::chrono::floor<milliseconds>(clock::now().time_since_epoch()).count();
}

timer_queue::timer_queue(asio::io_context& context, const run_queue* owner)
    : context_(context), owner_(owner), wheel_(current_tick()) {}

std::uint64_t timer_queue::tick_after(saturated_duration wait) const noexcept {
  if (held_) return wheel_.now() + ticks(wait);
  // Rounded up once: the sum, not the two of which it is made.
  const auto now = clock::now().time_since_epoch();
  const auto bounded = std::clamp(wait.value(), wait.value().zero(), clock::duration::max() - now);
  return ticks(now + bounded);
}

void timer_queue::arm_at(timer& t, std::uint64_t expiry) noexcept {
  check_thread("arming a timer");
  wheel_.arm(t, expiry);
  if (held_) return;
  if (const auto next = wheel_.next(); next && *next < waiting_for_) wait_for(*next);
}

// A wait that is under way is ended first, and its handler begins the next one: there is one handler at a
// time, so it needs no memory but its own.
void timer_queue::wait_for(std::uint64_t tick) noexcept {
  waiting_for_ = tick;
  if (waiting_) {
    if (in_asio_) in_asio_->cancel();
    return;
  }
  waiting_ = true;
  const auto handler = [self = self_](error_code ec) {
    if (*self != nullptr) (*self)->has_waited(!ec);
  };
  try {
    if (!in_asio_) in_asio_.emplace(context_);
    in_asio_->expires_at(clock::time_point(std::chrono::milliseconds(tick)));
    in_asio_->async_wait(kept_in(memory_, handler));
  } catch (...) {
    // Asio has no memory or no descriptor for its timers. It is tried again at the loop's next turns, until
    // there is, with a pause that keeps these from spinning.
    asio::post(context_, kept_in(memory_, [handler] {
                 std::this_thread::sleep_for(std::chrono::milliseconds(1));
                 handler({});
               }));
  }
}

void timer_queue::has_waited(bool expired) noexcept {
  waiting_ = false;
  const auto due = std::exchange(waiting_for_, UINT64_MAX);
  if (held_) return;
  if (expired) has_fired(due);
  if (expired) wheel_.advance(current_tick());
  // A timer that has fired may have begun a wait while others were still to be dealt out.
  if (const auto next = wheel_.next(); next && *next < waiting_for_) wait_for(*next);
}

void timer_queue::has_fired(std::uint64_t due) noexcept {
  if (recorder_.counted == nullptr || due == UINT64_MAX) return;
  const auto late = clock::now().time_since_epoch() - std::chrono::milliseconds(due);
  (*recorder_.counted)[observe::figure::timers_fired].add(1);
  of(*recorder_.measured, observe::measure::lag)
      .record(static_cast<std::uint64_t>(std::max<std::int64_t>(0, std::chrono::nanoseconds(late).count())));
}

void timer_queue::write_levels() noexcept {
  if (recorder_.counted != nullptr) (*recorder_.counted)[observe::figure::timers].set(wheel_.size());
}

void timer_queue::hold() noexcept {
  wheel_.advance(current_tick());
  held_ = true;
  if (in_asio_) in_asio_->cancel();
}

}  // namespace weir::io
