#pragma once
// task: a root task with the tasks that it awaits is one chain: a single line of execution that is
// running, waiting for one operation, or in a run queue.

#include <atomic>
#include <cerrno>
#include <coroutine>
#include <cstdint>

#include "weir/task/detail/run_queue.hpp"

namespace weir {

class chain;
struct operation;

// How a suspended operation goes on. One constant per type of operation.
struct operation_kind {
  // The event that the operation waits for may have come: finishes and unlinks the operation and returns
  // true, or leaves it waiting and returns false.
  bool (*proceed)(operation&) noexcept;

  // Unlinks the operation from whatever it waits on, makes its result `error` (an errno value) and returns
  // true. Or, where that takes time, has it end early by itself and returns false. An `error` of 0 says that
  // the frame is about to be destroyed: then nothing may refer to the operation afterwards.
  bool (*cancel)(operation&, int error) noexcept;
};

// Base of every awaiter that suspends. Trivially destructible: it lives in the awaiting coroutine's frame
// and owns nothing; whoever destroys a suspended frame calls chain::abandon() first.
struct operation {
  explicit operation(const operation_kind& k) noexcept : kind(&k) {}
  const operation_kind* kind;
  chain* root;  // set when it suspends
};

// Problem: a coroutine alone does not say what it waits for, so nobody can cancel or destroy it safely.
// A chain says it: `suspended` is the operation, `waiter` the coroutine that it will resume.
// Thread: used on one thread at a time, that of its home.
class chain {
 public:
  explicit chain(run_queue& home) noexcept : home_(&home) {}
  chain(const chain&) = delete;
  chain& operator=(const chain&) = delete;

  // For an awaiter that looks itself whether the chain is cancelled, and then schedules it.
  void suspend_unchecked(operation& op, std::coroutine_handle<> h) noexcept {
    op.root = this;
    suspended_ = &op;
    waiter_ = h;
  }

  // An awaiter says so when it suspends.
  void suspend(operation& op, std::coroutine_handle<> h) noexcept {
    suspend_unchecked(op, h);
    if (cancelled_.load(std::memory_order_relaxed)) [[unlikely]]
      schedule();
  }

  // Goes on: lets the suspended operation proceed, and resumes its coroutine if that is done.
  void resume() {
    operation* const op = suspended_;
    if (op != nullptr) {
      if (!cancelled_.load(std::memory_order_relaxed)) return proceed(*op);
      if (!op->kind->cancel(*op, ECANCELED)) return proceed(*op);
      suspended_ = nullptr;
    }
    waiter_.resume();
  }

  // The same, for who knows the operation.
  static void proceed(operation& op) {
    chain& root = *op.root;
    if (!op.kind->proceed(op)) return;
    root.suspended_ = nullptr;
    root.waiter_.resume();
  }

  // The next turn resumes `h`, whoever brings it about.
  void wait_for_turn(std::coroutine_handle<> h) noexcept { waiter_ = h; }

  // Resumes `h` later, from the run queue. For a chain that waits for nothing.
  void resume_later(std::coroutine_handle<> h) noexcept {
    waiter_ = h;
    schedule();
  }

  // Cancels this wait and every later one with operation_canceled. A chain that visits another core notices
  // at its next wait.
  void cancel() noexcept {
    cancelled_.store(true, std::memory_order_relaxed);
    if (&home() == run_queue::current() && suspended_ != nullptr) end_wait(ECANCELED);
  }
  [[nodiscard]] bool is_cancelled() const noexcept { return cancelled_.load(std::memory_order_relaxed); }

  // Ends the wait for the suspended operation with `error`; its coroutine is resumed from the run queue, or
  // when the operation has ended. Nothing happens if the chain waits for nothing.
  void end_wait(int error) noexcept {
    operation* const op = suspended_;
    if (op == nullptr || !op->kind->cancel(*op, error)) return;
    suspended_ = nullptr;
    schedule();
  }

  // Makes the suspended frames safe to destroy: nothing refers to them any more.
  void abandon() noexcept {
    if (operation* op = suspended_) {
      op->kind->cancel(*op, 0);
      suspended_ = nullptr;
    }
    waiter_ = nullptr;
  }

  [[nodiscard]] bool is_suspended() const noexcept { return suspended_ != nullptr; }

  // Puts the chain at the end of its home's run queue, once.
  void schedule() noexcept { home().schedule(*this); }

  [[nodiscard]] run_queue& home() const noexcept { return *home_.load(std::memory_order_relaxed); }
  // For who moves a chain to another thread, while nothing refers to it here.
  void move_to(run_queue& home) noexcept {
    leaving();
    if (queued) this->home().unschedule(*this);  // a turn that was asked for here, and is not needed any more
    home_.store(&home, std::memory_order_relaxed);
  }

  // The root task has reached its end and stands at its final suspension point. Called from within that
  // coroutine: must not destroy it.
  virtual void finished() noexcept = 0;

  // The chain is about to move to another thread.
  virtual void leaving() noexcept {}

  // Whether no children of this line are left to be joined: what they share ties it to its thread.
  [[nodiscard]] bool has_no_children() const noexcept { return child_groups_ == 0; }
  void child_group_added() noexcept {
    if (child_groups_ == UINT8_MAX) return;  // too many to count: for good
    if (child_groups_++ == 0) children_changed(false);
  }
  void child_group_removed() noexcept {
    if (child_groups_ == UINT8_MAX) return;
    if (--child_groups_ == 0) children_changed(true);
  }

  // Who this is, for a person: a connection says its peer. Called from a signal handler: writes at most
  // `size` bytes with the final zero, and allocates nothing.
  virtual void describe(char* text, std::size_t size) const noexcept;

  // Called by the run queue when it is the chain's turn.
  virtual void turn() { resume(); }

  // Lets the suspended operation proceed without resuming its coroutine, which resume() does then. True if it
  // is done, or there is none. For who runs operations on another thread than their coroutine.
  [[nodiscard]] bool proceed_only() noexcept {
    if (suspended_ == nullptr) return true;
    if (!suspended_->kind->proceed(*suspended_)) return false;
    suspended_ = nullptr;
    return true;
  }

  // Without tail calls each completion leaves stack behind: now and then go through the run queue.
  [[nodiscard]] bool should_unwind() noexcept { return ++completions_ % 64 == 0; }

 protected:
  ~chain() = default;

  // has_no_children() has changed.
  virtual void children_changed(bool) noexcept {}

  // Cancels without looking at what it waits for: for a chain that may be on any thread.
  void cancel_at_next_wait() noexcept { cancelled_.store(true, std::memory_order_relaxed); }

 private:
  operation* suspended_ = nullptr;
  std::coroutine_handle<> waiter_;
  std::atomic<run_queue*> home_;  // relaxed: asked on the thread where it was made, while it may be elsewhere

 public:  // the run queue's
  chain* next_in_queue = nullptr;
  bool queued = false;

 private:
  std::atomic<bool> cancelled_{false};
  std::uint8_t completions_ = 0;
  std::uint8_t child_groups_ = 0;  // small members last: a derived class continues in the padding
};

}  // namespace weir
