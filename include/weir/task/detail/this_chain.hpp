#pragma once
// task: the chain of the coroutine that is running, for code that cancels it later.

#include <coroutine>

#include "weir/task/detail/chain.hpp"
#include "weir/task/task.hpp"

namespace weir::detail {

// `chain* const mine = co_await this_chain();` Does not suspend.
struct this_chain {
  chain* root = nullptr;
  bool await_ready() const noexcept { return false; }
  template <task_promise P>
  bool await_suspend(std::coroutine_handle<P> h) noexcept {
    root = h.promise().root;
    return false;
  }
  chain* await_resume() const noexcept { return root; }
};

}  // namespace weir::detail
