#pragma once
// task: the coroutine type of weir: lazy, owned by one parent, resumed by symmetric transfer.

#include <concepts>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <optional>
#include <utility>

#include "weir/base/detail/build.hpp"
#include "weir/task/detail/block_pool.hpp"
#include "weir/task/detail/chain.hpp"

namespace weir {

template <class T>
class task;

namespace detail {

// Ends the program: GCC 12 has put the promise, and with it all of the frame, where the coroutine will not
// look for it.
[[noreturn]] void misplaced_frame(const void* promise) noexcept;

struct promise_base {
  static void* operator new(std::size_t size) { return block_pool::allocate(size); }
  static void operator delete(void* frame, std::size_t size) noexcept { block_pool::deallocate(frame, size); }

  struct final_awaiter {
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> h) const noexcept {
      promise_base& ended = h.promise();
      const std::coroutine_handle<> parent = ended.continuation;
      if (!parent) {
        ended.root->finished();
        return std::noop_coroutine();
      }
      of(parent).root = ended.root;  // it awaits no task any more
      if constexpr (!build::tail_calls) {
        if (ended.root->should_unwind()) {
          ended.root->resume_later(parent);
          return std::noop_coroutine();
        }
      }
      return parent;
    }
    void await_resume() const noexcept {}
  };

  // The promise of any task's frame. All promises lie at the same distance from the start of their frames,
  // for none is aligned to more than a frame is.
  [[nodiscard]] static promise_base& of(std::coroutine_handle<> frame) noexcept {
    return std::coroutine_handle<promise_base>::from_address(frame.address()).promise();
  }

  // A frame and its promise lie at multiples of 16.
  void check_place() const noexcept {
    if constexpr (build::careful_coroutines)
      if (reinterpret_cast<std::uintptr_t>(this) % 16 != 0) [[unlikely]]
        misplaced_frame(this);
  }

  // Where the task lies that this frame awaits; null while it awaits none. A frame that awaits a task does
  // not run, and needs no root until then: the place of the task is kept there, marked by the lowest bit, so
  // that a frame is no larger for it.
  [[nodiscard]] std::coroutine_handle<>* awaited() const noexcept {
    const auto bits = reinterpret_cast<std::uintptr_t>(root);
    return (bits & 1) != 0 ? reinterpret_cast<std::coroutine_handle<>*>(bits - 1) : nullptr;
  }
  void await(std::coroutine_handle<>* child) noexcept {
    root = reinterpret_cast<chain*>(reinterpret_cast<std::uintptr_t>(child) | 1);
  }

  // Destroys a frame and those that it awaits, the innermost first. The tasks that own those would do the
  // same, each from within the destruction of the one above, and a million of them would not find room on the
  // stack.
  static void destroy(std::coroutine_handle<> outermost) noexcept {
    std::coroutine_handle<> frame = outermost;
    while (of(frame).awaited() != nullptr) frame = *of(frame).awaited();
    while (frame != outermost) {
      const std::coroutine_handle<> parent = of(frame).continuation;
      *of(parent).awaited() = nullptr;  // the task that owned the frame owns nothing now
      of(parent).root = nullptr;
      frame.destroy();
      frame = parent;
    }
    outermost.destroy();
  }

  std::suspend_always initial_suspend() const noexcept { return {}; }
  final_awaiter final_suspend() const noexcept { return {}; }
  void unhandled_exception() noexcept { error = std::current_exception(); }

  std::coroutine_handle<> continuation;  // empty in a root task
  chain* root = nullptr;                 // of a frame that awaits no task: see awaited()
  std::exception_ptr error;
};

template <class T>
struct promise : promise_base {
  task<T> get_return_object() noexcept;
  template <std::convertible_to<T> U = T>
  void return_value(U&& u) {
    value.emplace(std::forward<U>(u));
  }
  T take() {
    if (error) std::rethrow_exception(std::exchange(error, nullptr));
    return std::move(*value);
  }

  std::optional<T> value;
};

template <>
struct promise<void> : promise_base {
  task<void> get_return_object() noexcept;
  void return_void() const noexcept {}
  void take() {
    if (error) std::rethrow_exception(std::exchange(error, nullptr));
  }
};

}  // namespace detail

// What an awaiter of weir needs of the coroutine that awaits it: a promise of task<T>.
template <class P>
concept task_promise = std::derived_from<P, detail::promise_base>;

// A coroutine that starts when it is awaited and hands its result, or its exception, to the one that
// awaits it. Its frame comes from block_pool.
// Lifetime: the task owns the frame. Parameters of the coroutine are copied into the frame: take them by
// value, and let no lambda with captures be a coroutine.
// GCC 12: a coroutine with `co_await` in a condition needs a local variable, or its frame is misplaced and
// the program is ended with a message; `while (const bool sent = co_await client.send(text))` has one. A
// closure with a destructor, or an aggregate, that is passed within a co_await expression is destroyed twice:
// give it, or the task, a name first. Thread: stays on the thread that awaits it, unless it moves by an
// operation that says so. Cancel: awaiting a task is cancelled by cancelling what that task itself waits for.
template <class T = void>
class [[nodiscard]] task {
 public:
  using promise_type = detail::promise<T>;

  task() = default;
  task(task&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  task& operator=(task&& other) noexcept {
    if (this != &other) {
      if (frame_) detail::promise_base::destroy(frame_);
      frame_ = std::exchange(other.frame_, nullptr);
    }
    return *this;
  }
  ~task() {
    if (frame_) detail::promise_base::destroy(frame_);
  }

  explicit operator bool() const noexcept { return static_cast<bool>(frame_); }

  struct awaiter {
    std::coroutine_handle<>* child;
    bool await_ready() const noexcept { return false; }
    template <task_promise P>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<P> parent) const noexcept {
      promise_type& started = task::promise_of(*child);
      started.continuation = parent;
      started.root = parent.promise().root;
      parent.promise().await(child);
      return *child;
    }
    T await_resume() const { return task::promise_of(*child).take(); }
  };
  awaiter operator co_await() const& noexcept { return {&frame_}; }

  // For the owner of a root task: makes the task part of `root`; the caller resumes and destroys the frame.
  [[nodiscard]] std::coroutine_handle<promise_type> release_to(chain& root) noexcept {
    promise_of(frame_).root = &root;
    return typed(std::exchange(frame_, nullptr));
  }

 private:
  friend promise_type;
  explicit task(std::coroutine_handle<promise_type> frame) noexcept : frame_(frame) {}
  static std::coroutine_handle<promise_type> typed(std::coroutine_handle<> frame) noexcept {
    return std::coroutine_handle<promise_type>::from_address(frame.address());
  }
  static promise_type& promise_of(std::coroutine_handle<> frame) noexcept { return typed(frame).promise(); }

  mutable std::coroutine_handle<>
      frame_;  // null once it was destroyed together with the frame that awaits it
};

namespace detail {

template <class T>
task<T> promise<T>::get_return_object() noexcept {
  static_assert(
      alignof(promise) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__,
      "task<T>: T needs a stronger alignment than a coroutine's frame has; return a std::unique_ptr<T>");
  check_place();
  return task<T>(std::coroutine_handle<promise>::from_promise(*this));
}

inline task<void> promise<void>::get_return_object() noexcept {
  check_place();
  return task<void>(std::coroutine_handle<promise>::from_promise(*this));
}

}  // namespace detail
}  // namespace weir
