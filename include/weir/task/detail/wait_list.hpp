#pragma once
// task: operations of one core that wait, in order, for another coroutine of that core.

#include <cerrno>
#include <coroutine>
#include <system_error>

#include "weir/task/task.hpp"

namespace weir::detail {

class wait_list;

// Base of the awaiters of event, semaphore and channel.
struct list_operation : operation {
  list_operation(const operation_kind& k, wait_list& l) noexcept : operation(k), list(&l) {}
  template <task_promise P>
  void await_suspend(std::coroutine_handle<P> h) noexcept;
  void throw_if_cancelled(const char* what) const {
    if (cancelled) throw std::system_error(std::make_error_code(std::errc::operation_canceled), what);
  }

  static bool proceed(operation& op) noexcept { return static_cast<list_operation&>(op).granted; }
  static bool cancel(operation& op, int error) noexcept;

  wait_list* list;
  list_operation* next = nullptr;
  list_operation** link = nullptr;  // null while it is in no list
  bool granted = false;
  bool cancelled = false;
};

// First in, first out. Thread: one.
class wait_list {
 public:
  wait_list() = default;
  wait_list(const wait_list&) = delete;
  wait_list& operator=(const wait_list&) = delete;

  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }

  void push(list_operation& op) noexcept {
    check(op, "waiting in a list of another core");
    op.link = last_;
    *last_ = &op;
    last_ = &op.next;
  }
  void remove(list_operation& op) noexcept {
    *op.link = op.next;
    if (op.next != nullptr)
      op.next->link = op.link;
    else
      last_ = op.link;
    op.next = nullptr;
    op.link = nullptr;
  }

  // Removes the first operation and resumes it from its run queue; null if none waits.
  list_operation* grant_one() noexcept {
    list_operation* const op = first_;
    if (op == nullptr) return nullptr;
    check(*op, "granting to a coroutine of another core");
    remove(*op);
    op->granted = true;
    op->root->schedule();
    return op;
  }

 private:
  // All of a list belong to one run queue, and its thread. An empty list does not know which.
  void check([[maybe_unused]] const list_operation& op, [[maybe_unused]] const char* what) const noexcept {
    if constexpr (build::checks) {
      op.root->home().assert_thread(what);
      if (first_ != nullptr && first_->root != nullptr) first_->root->home().assert_thread(what);
    }
  }

  list_operation* first_ = nullptr;
  list_operation** last_ = &first_;
};

template <task_promise P>
void list_operation::await_suspend(std::coroutine_handle<P> h) noexcept {
  root = h.promise().root;
  list->push(*this);
  root->suspend(*this, h);
}

inline bool list_operation::cancel(operation& op, int error) noexcept {
  auto& self = static_cast<list_operation&>(op);
  if (self.granted && error != 0) return false;  // granted already: it is in the run queue
  if (self.link != nullptr) self.list->remove(self);
  self.cancelled = true;
  return true;
}

}  // namespace weir::detail
