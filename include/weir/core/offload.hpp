#pragma once
// core: blocking or heavy work beside the core, and its result back on it.

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
#include "weir/task/named_task.hpp"

namespace weir {
namespace detail {

// The job and its result. Made, and destroyed, on the core: a worker runs it and delivers it home, and keeps
// no reference, so that what the job has captured never dies on a worker's thread.
class offload_ticket : public offload_pool::job, public remote_wake {
 public:
  explicit offload_ticket(core& at) noexcept : at_(&at) { how = &ticket; }
  offload_ticket(const offload_ticket&) = delete;
  offload_ticket& operator=(const offload_ticket&) = delete;

  // The worker's thread.
  void run() noexcept final {
    work();
    home_->deliver(this);  // from here on the home thread may destroy it
  }

  // The frame that made it lets it go: now, or, if a worker has it, when it comes home.
  void let_go() noexcept;

 protected:
  virtual ~offload_ticket() = default;
  virtual void work() noexcept = 0;

 private:
  friend struct offload_operation;
  static chain* come_home(remote_wake* w) noexcept;
  static constexpr kind ticket{&come_home, [](remote_wake* w) noexcept { static_cast<void>(come_home(w)); }};

  core* at_;
  run_queue* home_ = nullptr;
  std::shared_ptr<void>
      keeps_home_;     // shared: a queue on an executor may lose its last chain before the job has run
  bool away_ = false;  // the pool has it
  bool let_go_ = false;
};

struct offload_operation : operation {
  explicit offload_operation(offload_ticket& t) noexcept : operation(kind), ticket(&t) {}
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

  static bool proceed(operation& op) noexcept { return !static_cast<offload_operation&>(op).ticket->away_; }
  static bool cancel(operation& op, int error) noexcept;
  static constexpr operation_kind kind{&proceed, &cancel};

  offload_ticket* ticket;
  bool cancelled = false;
};

template <class F>
class offload_work final : public offload_ticket {
 public:
  using result = std::invoke_result_t<F&>;
  using stored = std::conditional_t<std::is_void_v<result>, std::monostate, result>;

  offload_work(core& at, F f) : offload_ticket(at), f_(std::move(f)) {}

  // The job is destroyed before its result is taken.
  result take() {
    f_.reset();
    if (error_) std::rethrow_exception(error_);
    if constexpr (!std::is_void_v<result>) return std::move(*value_);
  }

  struct let_go {
    void operator()(offload_work* w) const noexcept { w->offload_ticket::let_go(); }
  };

 private:
  void work() noexcept override {
    try {
      if constexpr (std::is_void_v<result>) {
        (*f_)();
        value_.emplace();
      } else {
        value_.emplace((*f_)());
      }
    } catch (...) {
      error_ = std::current_exception();
    }
  }

  std::optional<F> f_;
  std::optional<stored> value_;
  std::exception_ptr error_;
};

template <class F>
task<std::invoke_result_t<F&>> run_beside(F f) {
  using work_type = offload_work<F>;
  const std::unique_ptr<work_type, typename work_type::let_go> work(
      new work_type(core::here(), std::move(f)));
  offload_operation running(*work);
  co_await running;
  co_return work->take();
}

}  // namespace detail

// Runs `f` on a thread of the core's offload pool (settings.workers) and goes on, on this core, with its
// result or exception. `f` is moved into the job, and destroyed on this core, as is the result. Errors:
// errc::overloaded if the pool's queue is full: at once, nothing has run. Cancel: throws operation_canceled.
// Work that has not started does not start; work that has runs to its end and its result is dropped, so `f`
// must own what it uses. On GCC 12 a task that was given a temporary with a destructor has a name before it
// is awaited: see named_task.
template <class F>
detail::task_for<std::invoke_result_t<std::decay_t<F>&>, F> offload(F&& f) {
  return detail::task_for<std::invoke_result_t<std::decay_t<F>&>, F>(
      detail::run_beside<std::decay_t<F>>(std::forward<F>(f)));
}

}  // namespace weir
