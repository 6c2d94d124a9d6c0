#pragma once
// task: a counting semaphore for the coroutines of one core.

#include <cstddef>

#include "weir/task/detail/wait_list.hpp"

namespace weir {

// Fair: a release goes to the coroutine that has waited longest; none overtakes it.
// Thread: one core's. Lifetime: outlives the operations that wait.
class semaphore {
 public:
  explicit semaphore(std::size_t permits) noexcept : free_(permits) {}

  [[nodiscard]] bool try_acquire() noexcept {
    if (free_ == 0 || !waiting_.empty()) return false;
    --free_;
    return true;
  }
  void release() noexcept {
    if (waiting_.grant_one() == nullptr) ++free_;
  }
  [[nodiscard]] std::size_t available() const noexcept { return free_; }

  struct acquire_operation : detail::list_operation {
    explicit acquire_operation(semaphore& s) noexcept : list_operation(kind, s.waiting_), of(&s) {}
    bool await_ready() const noexcept { return of->try_acquire(); }
    void await_resume() const { throw_if_cancelled("semaphore"); }
    // The permit of a frame that is destroyed after it was granted one goes to the next that waits.
    static bool cancel(operation& op, int error) noexcept {
      auto& self = static_cast<acquire_operation&>(op);
      if (self.granted && error == 0) self.of->release();
      return list_operation::cancel(op, error);
    }
    static constexpr operation_kind kind{&proceed, &cancel};
    semaphore* of;
  };
  // Cancel: throws operation_canceled and takes no permit; a permit that was granted before is kept.
  [[nodiscard]] acquire_operation acquire() noexcept { return acquire_operation(*this); }

 private:
  detail::wait_list waiting_;
  std::size_t free_;
};

}  // namespace weir
