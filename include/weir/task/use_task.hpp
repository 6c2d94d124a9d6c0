#pragma once
// task: Asio and tasks in each other's coroutines: await any Asio operation in a task, spawn a task from
// Asio code.

#include <coroutine>
#include <exception>
#include <memory>
#include <optional>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>

#include "weir/base/asio.hpp"
#include "weir/base/error.hpp"
#include "weir/task/detail/chain_list.hpp"
#include "weir/task/task.hpp"

namespace weir {
namespace detail {

// The result of an Asio operation. Shared by the handler, which Asio may keep for any time, and the frame,
// which may be destroyed earlier.
template <class Result>
struct asio_answer {
  std::optional<Result> result;
  std::exception_ptr error;
  operation* waiting = nullptr;  // null once no frame waits
  asio::cancellation_signal cancel;
  asio::any_io_executor executor;

  void arrived() {
    if (waiting == nullptr) return;
    run_queue& home = waiting->root->home();
    const run_queue::entered here(home);
    chain* const before = home.now_runs(waiting->root);
    chain::proceed(*waiting);
    home.now_runs(before);
  }
};

template <class Result>
struct asio_operation : operation {
  explicit asio_operation(asio_answer<Result>& a) noexcept : operation(kind), answer(&a) {}

  bool await_ready() const noexcept { return is_there(); }
  template <task_promise P>
  void await_suspend(std::coroutine_handle<P> h) noexcept {
    answer->waiting = this;
    h.promise().root->suspend(*this, h);
  }
  void await_resume() const {
    if (answer->error) std::rethrow_exception(answer->error);
  }
  [[nodiscard]] bool is_there() const noexcept { return answer->result || answer->error; }

  static bool proceed(operation& op) noexcept {
    auto& self = static_cast<asio_operation&>(op);
    if (!self.is_there()) return false;
    self.answer->waiting = nullptr;
    return true;
  }
  // Asio may use the operation's buffers until its handler has been called: the operation ends then.
  static bool cancel(operation& op, int error) noexcept {
    auto& self = static_cast<asio_operation&>(op);
    if (error == 0) self.answer->waiting = nullptr;
    self.answer->cancel.emit(asio::cancellation_type::terminal);
    return false;
  }
  static constexpr operation_kind kind{&proceed, &cancel};

  asio_answer<Result>* answer;
};

// Asio 1.22 keeps errno values in a category of its own, to which no std::errc compares equal.
[[nodiscard]] inline error_code comparable(const error_code& ec) noexcept {
  return ec.category() == asio::error::get_system_category() ? error_code(ec.value(), std::generic_category())
                                                             : ec;
}

// The same for what an asio::awaitable has thrown.
[[nodiscard]] std::exception_ptr comparable(const std::exception_ptr& e) noexcept;

// What a handler's arguments become: nothing, one value or a tuple; a leading error is an exception.
template <class... Args>
struct asio_result {
  using type = std::tuple<std::decay_t<Args>...>;
  static std::exception_ptr error_of(const Args&...) noexcept { return nullptr; }
  template <class... As>
  static type value_of(As&&... args) {
    return type(std::forward<As>(args)...);
  }
};
template <class... Args>
struct asio_result<error_code, Args...> : asio_result<Args...> {
  static std::exception_ptr error_of(const error_code& ec, const Args&...) noexcept {
    return ec ? std::make_exception_ptr(std::system_error(comparable(ec))) : nullptr;
  }
  template <class... As>
  static typename asio_result<Args...>::type value_of(const error_code&, As&&... args) {
    return asio_result<Args...>::value_of(std::forward<As>(args)...);
  }
};
template <class... Args>
struct asio_result<std::exception_ptr, Args...> : asio_result<Args...> {
  static std::exception_ptr error_of(const std::exception_ptr& e, const Args&...) noexcept {
    return comparable(e);
  }
  template <class... As>
  static typename asio_result<Args...>::type value_of(const std::exception_ptr&, As&&... args) {
    return asio_result<Args...>::value_of(std::forward<As>(args)...);
  }
};

template <class Tuple>
struct unwrapped {
  using type = Tuple;
};
template <>
struct unwrapped<std::tuple<>> {
  using type = void;
};
template <class T>
struct unwrapped<std::tuple<T>> {
  using type = T;
};

template <class... Args>
class asio_handler {
 public:
  using result = asio_result<Args...>;
  using answer = asio_answer<typename result::type>;
  using executor_type = asio::any_io_executor;
  using cancellation_slot_type = asio::cancellation_slot;

  explicit asio_handler(std::shared_ptr<answer> a) noexcept : answer_(std::move(a)) {}
  executor_type get_executor() const noexcept { return answer_->executor; }
  cancellation_slot_type get_cancellation_slot() const noexcept { return answer_->cancel.slot(); }

  void operator()(Args... args) {
    answer_->error = result::error_of(args...);
    if (!answer_->error) answer_->result.emplace(result::value_of(std::move(args)...));
    const auto keep = answer_;  // resuming may end the frame that holds the other reference
    keep->arrived();
  }

 private:
  std::shared_ptr<answer> answer_;  // shared with the awaiting frame: either may go first
};

}  // namespace detail

// Completion token: `co_await timer.async_wait(weir::use_task)`. A leading error_code or exception_ptr of the
// handler's signature is thrown, what is left is the result: nothing, a value, or a std::tuple.
//
// Called with an asio::awaitable<T> it gives a task<T>: `co_await weir::use_task(legacy())`.
// Thread: on a core, or in a task that Asio code spawned; the handler's executor is the core's, or that
// one's. Errors: errc::not_on_a_core elsewhere. Cancel: the Asio operation gets a terminal cancellation, and
// its error is thrown: operation_canceled. An operation without support for cancellation, such as a name
// look-up, runs to its end.
struct use_task_t {
  template <class T, class Executor>
  task<T> operator()(asio::awaitable<T, Executor> a) const;
};
inline constexpr use_task_t use_task{};

}  // namespace weir

template <class R, class... Args>
class asio::async_result<weir::use_task_t, R(Args...)> {
 public:
  using handler = weir::detail::asio_handler<Args...>;
  using value = typename handler::result::type;
  using unwrapped = typename weir::detail::unwrapped<value>::type;
  using return_type = weir::task<unwrapped>;

  template <class Initiation, class... InitArgs>
  static return_type initiate(Initiation initiation, weir::use_task_t, InitArgs... args) {
    const auto answer = std::make_shared<typename handler::answer>();
    answer->executor = weir::run_queue::here().executor();
    std::move(initiation)(handler(answer), std::move(args)...);
    weir::detail::asio_operation<value> waiting(*answer);
    co_await waiting;
    if constexpr (std::tuple_size_v<value> == 1)
      co_return std::get<0>(std::move(*answer->result));
    else if constexpr (std::tuple_size_v<value> != 0)
      co_return std::move(*answer->result);
  }
};

namespace weir {

template <class T, class Executor>
task<T> use_task_t::operator()(asio::awaitable<T, Executor> a) const {
  co_return co_await asio::co_spawn(run_queue::here().executor(), std::move(a), use_task_t{});
}

namespace detail {

// A run queue on an executor of Asio, for a task that spawn() has started and its children. Everything that
// concerns it goes through a strand, so that the executor may have any number of threads.
class asio_run_queue final : public run_queue, public std::enable_shared_from_this<asio_run_queue> {
 public:
  explicit asio_run_queue(const asio::any_io_executor& e) : strand_(asio::make_strand(e)) {}
  void schedule(chain& root) noexcept override;
  void unschedule(chain& root) noexcept override {
    assert_thread("unscheduling a spawned task");
    queue_.remove(root);
  }
  void deliver(remote_wake* w) noexcept override;
  [[nodiscard]] asio::any_io_executor executor() const override { return strand_; }
  [[nodiscard]] std::shared_ptr<void> keep_alive() override { return shared_from_this(); }

 private:
  void post() noexcept;

  asio::strand<asio::any_io_executor> strand_;
  chain_list queue_;
  bool posted_ = false;
};

// The chain of a task that Asio code has spawned. The handler is called on its own executor, which is kept at
// work until then.
template <class T, class Handler>
class asio_spawned final : public chain {
 public:
  asio_spawned(std::shared_ptr<asio_run_queue> queue, task<T> t, Handler handler)
      : chain(*queue),
        queue_(std::move(queue)),
        frame_(t.release_to(*this)),
        handler_(std::move(handler)),
        work_(queue_->executor()),
        handler_work_(asio::get_associated_executor(handler_, queue_->executor())) {
    resume_later(frame_);  // another thread may run it, to its end, from here on
  }

  void finished() noexcept override { chain::schedule(); }
  void turn() override {
    if (!frame_.done()) return resume();
    std::exception_ptr error = frame_.promise().error;
    if constexpr (std::is_void_v<T>) {
      finish([error](Handler& h) { std::move(h)(error); });
    } else {
      std::optional<T>& value = frame_.promise().value;
      finish([error, v = error ? T() : std::move(*value)](Handler& h) mutable {
        std::move(h)(error, std::move(v));
      });
    }
  }

 private:
  template <class Call>
  void finish(Call call) {
    frame_.destroy();
    auto handler = std::move(handler_);
    const auto work = std::move(work_);
    const auto handler_work = std::move(handler_work_);
    delete this;
    asio::dispatch(handler_work.get_executor(),
                   [h = std::move(handler), c = std::move(call)]() mutable { c(h); });
  }

  std::shared_ptr<asio_run_queue> queue_;  // what is posted to the executor keeps it as well
  std::coroutine_handle<typename task<T>::promise_type> frame_;
  Handler handler_;
  asio::executor_work_guard<asio::any_io_executor> work_;
  asio::executor_work_guard<asio::associated_executor_t<Handler, asio::any_io_executor>> handler_work_;
};

template <class T>
struct spawn_signature {
  using type = void(std::exception_ptr, T);
};
template <>
struct spawn_signature<void> {
  using type = void(std::exception_ptr);
};

}  // namespace detail

// Starts a task from Asio code: `weir::spawn(executor, my_task(), asio::detached)`. The token's signature is
// void(std::exception_ptr) or void(std::exception_ptr, T), as with asio::co_spawn. T is
// default-constructible. Thread: the task and its children run in a strand of their own: on any of the
// executor's threads, on one at a time, and what one turn wrote the next one sees. What they share with
// others needs a lock on an executor of several threads. Lifetime: an executor that is destroyed first leaves
// the task's frame behind. Without memory for what is posted to the executor, the thread that posts waits
// until there is some; where it is missing within Asio's strand, the task does not go on.
template <class T, class Token>
auto spawn(asio::any_io_executor executor, task<T> t, Token&& token) {
  using signature = typename detail::spawn_signature<T>::type;
  return asio::async_initiate<Token, signature>(
      [](auto handler, asio::any_io_executor e, task<T> started) {
        new detail::asio_spawned<T, decltype(handler)>(std::make_shared<detail::asio_run_queue>(e),
                                                       std::move(started), std::move(handler));
      },
      token, std::move(executor), std::move(t));
}

}  // namespace weir
