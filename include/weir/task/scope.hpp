#pragma once
// task: child tasks that do not outlive their parent.

#include <cstddef>
#include <exception>

#include "weir/task/detail/children.hpp"

namespace weir {

// Problem: a detached coroutine may outlive what it refers to, and its exception is lost. A scope owns its
// tasks: join() waits for all of them; the first exception cancels the others and is thrown by join().
//
//   weir::scope both;
//   both.spawn(copy(a, b));
//   both.spawn(copy(b, a));
//   co_await both.join();
//
// A scope that is destroyed before its tasks have ended, because an exception skipped its join, destroys them
// where they wait. If one of them is on another core at that moment (switch_to), the program is terminated.
// Thread: the one that made it; a scope without tasks may be destroyed on another. Errors:
// errc::not_on_a_core off a core and outside a task that weir::spawn started.
class scope final : private detail::children {
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

  // Waits for all tasks. Errors: the first exception that left a task; after cancel(), operation_canceled is
  // not an error. Cancel: cancels the tasks, waits for them, and throws operation_canceled.
  [[nodiscard]] join_operation join() noexcept { return join_operation(*this); }

 private:
  void reap(detail::child& c) override;

  run_queue& home_;
  std::exception_ptr error_;
  bool cancelled_ = false;
};

}  // namespace weir
