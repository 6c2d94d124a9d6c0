#pragma once
// core: going to another core, and coming home.

#include <coroutine>

#include "weir/core/core.hpp"

namespace weir {
namespace detail {

struct switch_operation {
  core* target;
  remote_wake* wake = nullptr;

  bool await_ready() const noexcept { return core::current() == target; }
  template <task_promise P>
  void await_suspend(std::coroutine_handle<P> h) {
    chain& root = *h.promise().root;
    remote_wake* const w = remote_wake::make(root);
    root.wait_for_turn(h);
    root.move_to(target->driver());
    target->driver().deliver(w);  // from here on the chain, and this awaiter, belong to the other thread
  }
  void await_resume() const noexcept {}
};

}  // namespace detail

// Goes on, with everything that awaits this coroutine, on `target`'s thread. What is bound to a core stays
// where it is: a connection must not be used until its coroutine has switched back. A handler or a spawned
// task that ends elsewhere is taken home by itself; children of a scope must come home before the scope ends.
// Cancel: cannot be cancelled under way.
[[nodiscard]] inline detail::switch_operation switch_to(core& target) noexcept { return {&target}; }

}  // namespace weir
