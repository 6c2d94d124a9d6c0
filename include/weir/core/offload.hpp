#pragma once
// core: blocking or heavy work beside the core, and its result back on it.

#include <atomic>
#include <coroutine>
#include <exception>
#include <memory>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>
#include <variant>

#include "weir/base/error.hpp"
#include "weir/core/core.hpp"
#include "weir/core/detail/offload_pool.hpp"

namespace weir {
namespace detail {

// What the worker and the waiting coroutine share.
class offload_ticket : public offload_pool::job {
 public:
  void run() noexcept final {
    work();
    done_.store(true, std::memory_order_release);
    home_->deliver(wake_);
  }
  [[nodiscard]] bool done() const noexcept { return done_.load(std::memory_order_acquire); }

 protected:
  // One that never ran has its wake-up still.
  ~offload_ticket() {
    if (wake_ != nullptr && !done()) remote_wake::free(wake_);
  }
  virtual void work() noexcept = 0;

 private:
  friend struct offload_operation;
  std::atomic<bool> done_{false};
  run_queue* home_ = nullptr;
  remote_wake* wake_ = nullptr;  // null again once it has arrived: only then may the frame go on
};

struct offload_operation : operation {
  offload_operation(offload_pool& p, const std::shared_ptr<offload_ticket>& t) noexcept
      : operation(kind), pool(&p), ticket(&t) {}
  bool await_ready() const noexcept { return false; }
  template <task_promise P>
  void await_suspend(std::coroutine_handle<P> h) {
    start(*h.promise().root);
    h.promise().root->suspend(*this, h);
  }
  void await_resume() const {
    if (cancelled) throw std::system_error(std::make_error_code(std::errc::operation_canceled), "offload");
  }
  void start(chain& waiting);

  static bool proceed(operation& op) noexcept {
    return (*static_cast<offload_operation&>(op).ticket)->wake_ == nullptr;
  }
  static bool cancel(operation& op, int error) noexcept;
  static constexpr operation_kind kind{&proceed, &cancel};

  offload_pool* pool;
  const std::shared_ptr<offload_ticket>* ticket;
  bool cancelled = false;
};

template <class F>
class offload_work final : public offload_ticket {
 public:
  using result = std::invoke_result_t<F&>;
  using stored = std::conditional_t<std::is_void_v<result>, std::monostate, result>;

  explicit offload_work(F f) : f_(std::move(f)) {}
  result take() {
    if (error_) std::rethrow_exception(error_);
    if constexpr (!std::is_void_v<result>) return std::move(*value_);
  }

 private:
  void work() noexcept override {
    try {
      if constexpr (std::is_void_v<result>) {
        f_();
        value_.emplace();
      } else {
        value_.emplace(f_());
      }
    } catch (...) {
      error_ = std::current_exception();
    }
  }

  F f_;
  std::optional<stored> value_;
  std::exception_ptr error_;
};

}  // namespace detail

// Runs `f` on a thread of the core's offload pool (settings.workers) and goes on, on this core, with its
// result or exception. Errors: errc::overloaded if the pool's queue is full: at once, nothing has run.
// Cancel: throws operation_canceled. Work that has not started does not start; work that has runs to its end
// and its result is dropped, so `f` must own what it uses.
template <class F>
task<std::invoke_result_t<F&>> offload(F f) {
  const auto work = std::make_shared<detail::offload_work<F>>(std::move(f));
  const std::shared_ptr<detail::offload_ticket> ticket = work;
  co_await detail::offload_operation(core::here().offload_threads(), ticket);
  co_return work->take();
}

}  // namespace weir
