#pragma once
// core: a deadline for any task. It is part of core, not of task, because it needs the core's timers.

#include <system_error>
#include <utility>

#include "weir/base/duration.hpp"
#include "weir/core/core.hpp"
#include "weir/task/detail/children.hpp"
#include "weir/task/named_task.hpp"

namespace weir {
namespace detail {

// Cancels a child when its time is up.
class deadline : io::timer {
 public:
  deadline(child& c, io::timer_queue& timers) noexcept : child_(c), timers_(timers) {
    fire = [](io::timer& t) noexcept {
      auto& self = static_cast<deadline&>(t);
      self.passed_ = true;
      self.child_.cancel();
    };
  }
  deadline(const deadline&) = delete;
  deadline& operator=(const deadline&) = delete;
  ~deadline() { timers_.disarm(*this); }

  void arm(saturated_duration d) { timers_.arm(*this, d); }
  [[nodiscard]] bool passed() const noexcept { return passed_; }

 private:
  child& child_;
  io::timer_queue& timers_;
  bool passed_ = false;
};

[[noreturn]] void throw_timed_out(const std::exception_ptr& error);

}  // namespace detail

// The result of `work`, which is cancelled when it has not ended after `d`. Deadlines nest; the nearest wins.
// `work` that ends without waiting, or in spite of the cancellation, keeps its result.
// Errors: what `work` throws; std::errc::timed_out if that is the cancellation by this deadline.
// Thread: a core; `work` stays on it. Cancel: cancels `work`, waits for it, throws operation_canceled.
template <class T>
task<T> within(saturated_duration d, task<T> work) {
  core& here = core::here();
  detail::local_children one(detail::children::policy::cancel_on_error);
  detail::child_of<T> child(one, here.driver(), std::move(work));
  detail::deadline limit(child, here.timers());
  one.add(child);
  child.start();
  if (!child.ended()) {
    limit.arm(d);
    static_cast<void>(co_await one.wait());
  }
  if (limit.passed() && child.error()) detail::throw_timed_out(child.error());
  co_return child.take();
}

template <class T>
named_task<T> within(saturated_duration d, named_task<T> work) {
  return named_task<T>(within(d, task<T>(std::move(work))));
}

}  // namespace weir
