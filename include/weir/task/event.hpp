#pragma once
// task: a flag that coroutines wait for.

#include "weir/task/detail/wait_list.hpp"

namespace weir {

// Sticky: a wait after set() ends at once, until reset(). Thread: one core's. Lifetime: outlives the
// operations that wait.
class event {
 public:
  [[nodiscard]] bool is_set() const noexcept { return set_; }

  // Resumes all coroutines that wait, in the order in which they came, from the run queue.
  void set() noexcept {
    set_ = true;
    while (waiting_.grant_one() != nullptr) {
    }
  }
  void reset() noexcept { set_ = false; }

  struct wait_operation : detail::list_operation {
    explicit wait_operation(event& e) noexcept : list_operation(kind, e.waiting_), of(&e) {}
    bool await_ready() const noexcept { return of->set_; }
    void await_resume() const { throw_if_cancelled("event"); }
    static constexpr operation_kind kind{&proceed, &list_operation::cancel};
    event* of;
  };
  // Cancel: throws operation_canceled; the event is as it was.
  [[nodiscard]] wait_operation wait() noexcept { return wait_operation(*this); }

 private:
  detail::wait_list waiting_;
  bool set_ = false;
};

}  // namespace weir
