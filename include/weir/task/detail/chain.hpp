#pragma once
// task: a root task and the tasks that it awaits form one chain, which runs, waits for one operation, or is
// in a run queue.

#include <array>
#include <atomic>
#include <cerrno>
#include <coroutine>
#include <cstdint>
#include <optional>

#include "weir/task/detail/run_queue.hpp"

namespace weir {

class chain;
struct operation;
namespace dump {
class inspection;
}

// What tells a chain from others when it is gone.
struct chain_name {
  std::array<std::uint64_t, 3> peer{};  // of a connection's: its peer_address
  const void* root = nullptr;           // what its root coroutine is resumed by; null: unknown
};

// What the coroutine of a frame is resumed by: tells which coroutine it is. Null of one that has ended.
[[nodiscard]] inline const void* resume_function_of(std::coroutine_handle<> h) noexcept {
  return h ? *static_cast<const void* const*>(h.address()) : nullptr;
}

// How a suspended operation continues. One constant per type of operation.
struct operation_kind {
  // The event that the operation waits for may have come: finishes and unlinks the operation and returns
  // true, or leaves it waiting and returns false.
  bool (*proceed)(operation&) noexcept;

  // Unlinks the operation from what it waits on, makes `error` (an errno value) its result and returns true;
  // or, where that takes time, makes it end early and returns false. An `error` of 0 means that the frame is
  // about to be destroyed: nothing may refer to the operation after that.
  bool (*cancel)(operation&, int error) noexcept;

  // proceed(), and resumes the coroutine if that was true. One of its own, advance_by<proceed>, saves a
  // frequent operation a return and a test.
  void (*advance)(operation&) = &advance_by_kind;

  // The same operation where the driver completes it instead of saying when to try: the driver changes the
  // kind of the operation when it begins to wait. Such a kind is its own. Null: it waits until it may try.
  const operation_kind* completed = nullptr;

  // Of a kind that has such a twin, and of the twin: proceed() and what follows, where the driver has the
  // answer at hand; one that does not end the operation is left with the driver first. Such kinds have one,
  // because the driver does not look.
  void (*finish)(operation&, std::uintptr_t answer) = nullptr;

  // Frees what an operation that has proceeded has for its coroutine, which is never resumed. Null: nothing.
  void (*drop)(operation&) noexcept = nullptr;

  // The same operation where a layer changes the bytes of its connection: the kind changes when it begins to
  // wait. Null: it is the same.
  const operation_kind* layered = nullptr;

  // Its event gives the chain to another thread, which may have it already: what proceeds takes no turn of
  // the chain, and nothing of the chain may be looked at but its address.
  bool hands_over = false;

  static void advance_by_kind(operation& op);
  template <bool (*Proceed)(operation&) noexcept>
  static void advance_by(operation& op);

  // Resumes the coroutine of an operation that has ended.
  static void resume(operation& op);
};

// Base of every awaiter that suspends. Trivially destructible: it is part of the awaiting coroutine's frame
// and owns nothing. The owner of a suspended frame calls chain::abandon() before it destroys the frame.
struct operation {
  explicit operation(const operation_kind& k) noexcept : kind(&k) {}
  operation() noexcept {}  // NOLINT(*-use-equals-default,*-pro-type-member-init): most never need one
  union {
    const operation_kind* kind;  // set when it suspends, at the latest
    std::uintptr_t answer;       // of an operation that has ended: its kind is not asked for any more
  };
  chain* root;  // set when it suspends
};

// Problem: a coroutine alone does not tell what it waits for, so it cannot be cancelled or destroyed safely.
// A chain records it: `suspended` is the operation, `waiter` the coroutine that the operation will resume.
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

  // Lets the suspended operation proceed, and resumes its coroutine if the operation is done.
  void resume() {
    operation* const op = suspended_;
    if (op != nullptr) {
      if (!cancelled_.load(std::memory_order_relaxed)) return op->kind->advance(*op);
      if (!op->kind->cancel(*op, ECANCELED)) return op->kind->advance(*op);
      suspended_ = nullptr;
    }
    waiter_.resume();
  }

  // The same, where the operation is known. May destroy the operation and its chain.
  static void proceed(operation& op) { op.kind->advance(op); }

  // The next turn resumes `h`; the caller brings the turn about.
  void wait_for_turn(std::coroutine_handle<> h) noexcept { waiter_ = h; }

  // Resumes `h` later, from the run queue. For a chain that waits for nothing.
  void resume_later(std::coroutine_handle<> h) noexcept {
    waiter_ = h;
    schedule();
  }

  // Cancels the present wait and every later one with operation_canceled. A chain that is on another thread
  // than the caller notices at its next wait.
  void cancel() noexcept {
    cancelled_.store(true, std::memory_order_relaxed);
    if (&home() == run_queue::current() && suspended_ != nullptr) end_wait(ECANCELED);
  }
  [[nodiscard]] bool is_cancelled() const noexcept { return cancelled_.load(std::memory_order_relaxed); }

  // Ends the wait for the suspended operation with `error`; its coroutine is resumed from the run queue, or
  // when the operation has ended. Nothing happens if the chain waits for nothing.
  void end_wait(int error) noexcept {
    home().assert_thread("ending a wait");
    operation* const op = suspended_;
    if (op == nullptr || !op->kind->cancel(*op, error)) return;
    suspended_ = nullptr;
    schedule();
  }

  // `op` has this chain as its root and cannot wait for what it needs: it ends with `error`. `op` need not be
  // the operation that a coroutine of the chain waits for.
  void wait_failed(operation& op, int error) noexcept {
    if (suspended_ == &op) return end_wait(error);
    op.kind->cancel(op, error);
    schedule();
  }

  // Makes the suspended frames safe to destroy: afterwards nothing refers to them.
  void abandon() noexcept {
    if (operation* op = suspended_) {
      op->kind->cancel(*op, 0);
      suspended_ = nullptr;
    }
    waiter_ = nullptr;
  }

  [[nodiscard]] bool is_suspended() const noexcept { return suspended_ != nullptr; }
  // The operation that it waits for, or null.
  [[nodiscard]] operation* waits_for() const noexcept { return suspended_; }

  // Whether it waits for its turn in a run queue.
  [[nodiscard]] bool is_queued() const noexcept { return link_in_queue_ != nullptr; }

  // Puts the chain at the end of its home's run queue, once.
  void schedule() noexcept { home().schedule(*this); }

  [[nodiscard]] run_queue& home() const noexcept { return *home_.load(std::memory_order_relaxed); }
  // Makes `home` the queue of a chain to which nothing refers here. From the moment at which the chain is
  // delivered there, it belongs to the other thread.
  void move_to(run_queue& home) noexcept {
    leaving();
    if (is_queued())
      this->home().unschedule(*this);  // the turn that was requested here is not needed any more
    home_.store(&home, std::memory_order_relaxed);
  }

  // The root task has reached its end and stands at its final suspension point. Called from within that
  // coroutine: must not destroy it.
  virtual void finished() noexcept = 0;

  // Whether it was made on `q`. A chain that does not say is treated as if it were at home everywhere.
  [[nodiscard]] virtual bool is_native_to(const run_queue& /*q*/) const noexcept { return true; }

  // The chain is about to move to another thread.
  virtual void leaving() noexcept {}

  // Whether no children of this chain are left to be joined. With children it must stay on its thread.
  [[nodiscard]] bool has_no_children() const noexcept { return child_groups_ == 0; }
  void child_group_added() noexcept {
    if (child_groups_ == UINT8_MAX) return;  // too many to count: for good
    if (child_groups_++ == 0) children_changed(false);
  }
  void child_group_removed() noexcept {
    if (child_groups_ == UINT8_MAX) return;
    if (--child_groups_ == 0) children_changed(true);
  }

  // A text for people: a connection writes its peer. Called from a signal handler: writes at most
  // `size` bytes with the final zero, and allocates nothing.
  virtual void describe(char* text, std::size_t size) const noexcept;

  // The same for a recorder, in which it outlives the chain.
  virtual void name_into(chain_name& /*into*/) const noexcept {}

  // That of the coroutine which waits; null if none does.
  [[nodiscard]] const void* resume_function() const noexcept {
    return suspended_ != nullptr ? resume_function_of(waiter_) : nullptr;
  }

  // Called by the run queue when it is the chain's turn.
  virtual void turn() { resume(); }

  // Milliseconds since it began, of a chain that says when: to 64 ms. `now`: of the clock of began_at().
  [[nodiscard]] std::optional<std::uint64_t> age(std::uint64_t now) const noexcept {
    if (began_ == 0) return std::nullopt;
    const std::uint32_t passed = static_cast<std::uint32_t>(now >> began_shift) - began_;
    return passed < 0x8000'0000U ? std::uint64_t{passed} << began_shift : 0;  // or it began after `now`
  }

  // Lets the suspended operation proceed without resuming its coroutine, which resume() does later. True if
  // the operation is done, or there is none. For operations that run on another thread than their coroutine.
  [[nodiscard]] bool proceed_only() noexcept {
    if (suspended_ == nullptr) return true;
    if (!suspended_->kind->proceed(*suspended_)) return false;
    suspended_ = nullptr;
    return true;
  }

  // Without tail calls each completion leaves a stack frame behind: every 64th goes through the run queue.
  [[nodiscard]] bool should_unwind() noexcept { return ++completions_ % 64 == 0; }

 protected:
  ~chain() = default;

  // has_no_children() has changed.
  virtual void children_changed(bool) noexcept {}

  // Milliseconds of the monotonic clock.
  void began_at(std::uint64_t now) noexcept { began_ = static_cast<std::uint32_t>(now >> began_shift); }

  // Cancels without touching the suspended operation: for a chain that may be on any thread.
  void cancel_at_next_wait() noexcept { cancelled_.store(true, std::memory_order_relaxed); }

 private:
  // A suspension writes the first and the third. Side by side they would be put together in a vector register
  // first.
  operation* suspended_ = nullptr;
  // Relaxed: read on the thread that made the chain, while the chain may be on another.
  std::atomic<run_queue*> home_;
  std::coroutine_handle<> waiter_;

  friend class chain_list;
  friend class dump::inspection;
  friend struct operation_kind;
  chain* next_in_queue_ = nullptr;
  chain** link_in_queue_ = nullptr;  // what points at this chain; null while it is in no run queue

  std::atomic<bool> cancelled_{false};
  std::uint8_t completions_ = 0;
  std::uint8_t child_groups_ = 0;
  // Of 64 ms, so that 31 bits last for four years. Lies where there was padding in front of what a derived
  // class has.
  static constexpr unsigned began_shift = 6;
  std::uint32_t began_ = 0;  // 0: it does not say
};

inline void operation_kind::resume(operation& op) {
  chain& root = *op.root;
  root.suspended_ = nullptr;
  root.waiter_.resume();
}

template <bool (*Proceed)(operation&) noexcept>
void operation_kind::advance_by(operation& op) {
  if (Proceed(op)) resume(op);
}

inline void operation_kind::advance_by_kind(operation& op) {
  if (op.kind->proceed(op)) resume(op);
}

}  // namespace weir
