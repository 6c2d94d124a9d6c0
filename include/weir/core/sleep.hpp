#pragma once
// core: waiting for time to pass, and giving other coroutines a turn.

#include <coroutine>
#include <system_error>

#include "weir/base/duration.hpp"
#include "weir/core/core.hpp"

namespace weir {
namespace detail {

struct sleep_operation : operation, io::timer {
  explicit sleep_operation(saturated_duration d) noexcept;

  bool await_ready() const noexcept { return wait.is_over(); }
  template <task_promise P>
  void await_suspend(std::coroutine_handle<P> h) {
    start();
    h.promise().root->suspend(*this, h);
  }
  void await_resume() const {
    if (error != 0) throw std::system_error(error, std::generic_category(), "sleep_for");
  }

  void start();

  saturated_duration wait;
  io::timer_queue* queue = nullptr;
  int error = 0;
};

struct yield_operation {
  bool await_ready() const noexcept { return false; }
  template <task_promise P>
  void await_suspend(std::coroutine_handle<P> h) const noexcept {
    h.promise().root->resume_later(h);
  }
  void await_resume() const noexcept {}
};

}  // namespace detail

// Continues after at least `d`; at once if `d` is zero or less.
// Errors: std::system_error with errc::not_on_a_core off a core.
// Cancel: throws operation_canceled; nothing remains.
[[nodiscard]] inline detail::sleep_operation sleep_for(saturated_duration d) noexcept {
  return detail::sleep_operation(d);
}

// Continues after every other coroutine that is ready now has had a turn.
// Cancel: cannot be cancelled; it ends by itself.
[[nodiscard]] inline detail::yield_operation yield() noexcept { return {}; }

}  // namespace weir
