#pragma once
// task: child tasks that do not outlive their parent.

#include <cstddef>
#include <exception>

#include "weir/task/detail/children.hpp"

namespace weir {

// Problem: a detached coroutine outlives what it refers to, and its exception goes nowhere. A scope owns its
// tasks: join() waits for all of them, and the first exception cancels the others and surfaces there.
//
//   weir::scope both;
//   both.spawn(copy(a, b));
//   both.spawn(copy(b, a));
//   co_await both.join();
//
// A scope that dies with tasks that have not ended, because an exception passed by its join, destroys them
// where they wait. One of them that is away on another core (switch_to) then ends the program.
// Thread: that on which it was made; join() there as well. Errors: errc::not_on_a_core off a core and outside
// a task that weir::spawn started.
class scope : private detail::children {
 public:
  scope() : children(policy::cancel_on_error), home_(run_queue::here()) {}
  ~scope();

  // Starts `t` at this thread's next turn. After cancel(), it runs cancelled from the start.
  void spawn(task<> t);

  // Every task's present wait, and each later one, throws operation_canceled.
  void cancel() noexcept;

  // Tasks that have not ended.
  using children::running;

  struct join_operation : wait_operation {
    explicit join_operation(scope& s) noexcept : wait_operation(s), scope_(&s) {}
    void await_resume() const;
    scope* scope_;
  };

  // Waits for all tasks. Errors: the first exception that left one; after cancel() operation_canceled is
  // none. Cancel: cancels the tasks, waits for them, and throws operation_canceled.
  [[nodiscard]] join_operation join() noexcept { return join_operation(*this); }

 private:
  void reap(detail::child& c) override;

  run_queue& home_;
  std::exception_ptr error_;
  bool cancelled_ = false;
};

}  // namespace weir
