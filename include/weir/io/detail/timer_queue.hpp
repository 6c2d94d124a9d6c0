#pragma once
// io: the deadlines of one core: a timing wheel behind one Asio timer.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

#include "weir/base/asio.hpp"
#include "weir/base/detail/handler_memory.hpp"
#include "weir/base/duration.hpp"
#include "weir/io/detail/timer_wheel.hpp"
#include "weir/observe/detail/figures.hpp"
#include "weir/task/detail/run_queue.hpp"

namespace weir::io {

// A wait in ticks, rounded up; saturates, so that adding it to a tick of today needs no check.
[[nodiscard]] constexpr std::uint64_t ticks(saturated_duration d) noexcept { return d.milliseconds(); }

// Ticks are milliseconds of the steady clock. A deadline never fires early and at most a tick plus the
// loop's own delay late.
// Thread: the core's. Lifetime: outlives the timers armed in it.
class timer_queue {
 public:
  using clock = std::chrono::steady_clock;

  // `owner`: whose thread it belongs to, for the thread rule.
  explicit timer_queue(asio::io_context& context, const run_queue* owner = nullptr);
  timer_queue(const timer_queue&) = delete;
  timer_queue& operator=(const timer_queue&) = delete;
  ~timer_queue() { *self_ = nullptr; }

  // Fires `t` after `wait` from now; a wait of zero or less fires at the loop's next turn.
  void arm(timer& t, saturated_duration wait) noexcept { arm_at(t, tick_after(wait)); }

  // Fires `t` when tick `expiry` is reached. driver::now() counts the same ticks.
  void arm_at(timer& t, std::uint64_t expiry) noexcept;

  void disarm(timer& t) noexcept {
    check_thread("disarming a timer");
    wheel_.disarm(t);
  }

  // Stops the clock: time moves, and timers fire, only in advance_to().
  void hold() noexcept;
  void advance_to(std::uint64_t tick) noexcept {
    check_thread("moving time on");
    wheel_.advance(tick);
  }
  [[nodiscard]] std::uint64_t now() const noexcept { return held_ ? wheel_.now() : current_tick(); }

  // Before the core runs. Where it is counted, from now on, how late timers are and how many there are.
  void record_in(observe::recorder to) noexcept { recorder_ = to; }
  void write_levels() noexcept;

  // A tick not later than the next expiry; nothing if no timer is armed.
  [[nodiscard]] std::optional<std::uint64_t> next() const noexcept { return wheel_.next(); }

 private:
  static std::uint64_t current_tick() noexcept;
  [[nodiscard]] std::uint64_t tick_after(saturated_duration wait) const noexcept;
  void wait_for(std::uint64_t tick) noexcept;
  void has_waited(bool expired) noexcept;
  void has_fired(std::uint64_t due) noexcept;

  void check_thread([[maybe_unused]] const char* what) const noexcept {
    if constexpr (build::checks)
      if (owner_ != nullptr) owner_->assert_thread(what);
  }

  handler_memory<1> memory_;
  std::shared_ptr<timer_queue*> self_ =
      std::make_shared<timer_queue*>(this);  // for a handler that comes later
  asio::io_context& context_;
  const run_queue* owner_;
  timer_wheel wheel_;
  observe::recorder recorder_;
  std::optional<asio::steady_timer> in_asio_;  // made when first armed
  std::uint64_t waiting_for_ = UINT64_MAX;
  bool waiting_ = false;  // Asio has the handler
  bool held_ = false;
};

}  // namespace weir::io
