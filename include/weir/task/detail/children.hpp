#pragma once
// task: child chains and the operation that waits for them: what scope, when_all, when_any and within share.

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <utility>

#include "weir/task/task.hpp"

namespace weir::detail {

class children;

// A task that runs beside its parent. Its owner provides the storage. Destroying a child that has not ended
// detaches it from the operation that it waits for and destroys its frames. If the child is on another core
// at that moment, the program is terminated: join children before they are destroyed.
class child : public chain {
 public:
  child(children& owner, run_queue& home) noexcept : chain(home), owner_(&owner), origin_(&home) {}

  // Runs until its first suspension, which may be its end.
  void start();
  [[nodiscard]] bool ended() const noexcept { return ended_; }

  // The exception that left the task; null if there was none.
  [[nodiscard]] virtual const std::exception_ptr& error() const noexcept = 0;

 protected:
  ~child();
  void adopt(std::coroutine_handle<> frame) noexcept {
    frame_ = frame;
    wait_for_turn(frame);
  }

 private:
  friend children;
  friend class dump::inspection;
  void finished() noexcept override;
  void turn() override;
  void leaving() noexcept override;
  [[nodiscard]] bool is_native_to(const run_queue& q) const noexcept override { return &q == origin_; }
  void home_again() noexcept;
  void describe(char* text, std::size_t size) const noexcept override;
  void name_into(chain_name& name) const noexcept override;

  children* owner_;
  run_queue* origin_;
  std::coroutine_handle<> frame_;
  child* next_ = nullptr;  // the owner's list
  child** link_ = nullptr;
  bool* starting_ = nullptr;  // on the stack of start(), while it runs and the child is here
  bool ended_ = false;
};

template <class T>
class child_of : public child {
 public:
  child_of(children& owner, run_queue& home, task<T> t) noexcept
      : child(owner, home), frame_(t.release_to(*this)) {
    adopt(frame_);
  }

  // Of one that has ended.
  T take() { return frame_.promise().take(); }
  [[nodiscard]] const std::exception_ptr& error() const noexcept override { return frame_.promise().error; }

 private:
  std::coroutine_handle<promise<T>> frame_;
};

// Children that are waited for together.
// Thread: the home's.
class children {
 public:
  // What the end of one child does to the others.
  enum class policy : std::uint8_t { cancel_on_error, cancel_on_first };

  explicit children(policy p) noexcept : policy_(p) {}
  children(const children&) = delete;
  children& operator=(const children&) = delete;

  void add(child& c) noexcept;
  void cancel_all() noexcept;

  [[nodiscard]] std::size_t running() const noexcept { return running_; }
  // The first child that ended (cancel_on_first) or ended with an error (cancel_on_error); null while there
  // is none.
  [[nodiscard]] child* decisive() const noexcept { return decisive_; }

  // Waits until all have ended; starts nothing.
  // Cancel: the children are cancelled and waited for, then it throws operation_canceled.
  struct wait_operation : operation {
    explicit wait_operation(children& c) noexcept : operation(kind), of(&c) {}
    bool await_ready() const noexcept { return of->running_ == 0 && of->parent_ == nullptr; }
    template <task_promise P>
    bool await_suspend(std::coroutine_handle<P> h) noexcept {
      if (of->running_ == 0) {
        of->leave(*h.promise().root);
        return false;
      }
      of->waiting_ = this;
      h.promise().root->suspend(*this, h);
      return true;
    }
    // True if the wait was cancelled.
    bool await_resume() const noexcept { return cancelled; }

    static bool proceed(operation& op) noexcept;
    static bool cancel(operation& op, int error) noexcept;
    static constexpr operation_kind kind{&proceed, &cancel};

    children* of;
    bool cancelled = false;
  };
  [[nodiscard]] wait_operation wait() noexcept { return wait_operation(*this); }

 protected:
  // The list of children: those that have not ended, and in a scope those that have.
  [[nodiscard]] child* first() const noexcept { return first_; }
  void forget(child& c) noexcept;

  // The next child that ends with an error is decisive again.
  void forget_decisive() noexcept { decisive_ = nullptr; }

  // Called at the turn of a child that has ended. May destroy the child.
  virtual void reap(child&) {}
  ~children();

 private:
  friend child;
  friend class dump::inspection;
  void child_ended(child& c) noexcept;
  // No child of `parent` runs any more; `parent` is on this thread, and waits or runs.
  void leave(chain& parent) noexcept;

  child* first_ = nullptr;
  chain* parent_ = nullptr;  // the chain that has these children
  std::size_t running_ = 0;
  child* decisive_ = nullptr;
  wait_operation* waiting_ = nullptr;
  policy policy_;
};

// For coroutines whose children are in the same frame.
class local_children final : public children {
 public:
  using children::children;
};

}  // namespace weir::detail
