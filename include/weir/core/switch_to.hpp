#pragma once
// core: moving a coroutine to another core.

#include <coroutine>

#include "weir/core/core.hpp"

namespace weir {
namespace detail {

struct switch_operation {
  core* target;

  bool await_ready() const noexcept { return core::current() == target; }
  template <task_promise P>
  void await_suspend(std::coroutine_handle<P> h) {
    chain& root = *h.promise().root;
    remote_wake* const w = remote_wake::depart(root);
    root.wait_for_turn(h);
    root.move_to(target->driver());
    target->driver().deliver(w);  // from here on the chain, and this awaiter, belong to the other thread
  }
  void await_resume() const noexcept {}
};

}  // namespace detail

// Continues, together with the coroutines that await this one, on `target`'s thread. Objects that belong to a
// core stay there: a connection must not be used until its coroutine has switched back. A handler or a
// spawned task that ends on another core is moved home; children of a scope must switch back before the scope
// ends. Cancel: cannot be cancelled under way. Errors: std::bad_alloc, where the coroutine's chain began; the
// way back takes no memory.
[[nodiscard]] inline detail::switch_operation switch_to(core& target) noexcept { return {&target}; }

}  // namespace weir
