#pragma once
// core: one object per core, for state without locks.

#include <concepts>
#include <exception>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "weir/core/core_pool.hpp"
#include "weir/core/switch_to.hpp"
#include "weir/task/named_task.hpp"

namespace weir {

// Problem: a counter, a cache or a table that every core writes needs a lock, and its cache lines travel. A
// per_core<T> is a T on each core; each core uses its own, and a question to all goes from core to core.
//
//   weir::per_core<hits> counters(server.cores());
//   ++counters.local().pages;
//   auto total = co_await counters.reduce(0L, [](hits& h) { return h.pages; }, std::plus<>());
//
// If T has start() or stop(), run_start() and run_stop() call them on each core's thread.
// Lifetime: outlives the tasks that use it. The objects are made and destroyed on the owner's thread, while
// the cores do not run.
template <class T>
class per_core {
 public:
  // Each T is made from `args`.
  template <class... Args>
  explicit per_core(core_pool& cores, const Args&... args) : cores_(cores) {
    for (std::size_t i = 0; i < cores.size(); ++i) each_.push_back(std::make_unique<T>(args...));
  }

  // This core's. Errors: errc::not_on_a_core.
  [[nodiscard]] T& local() const { return *each_[core::here().index()]; }
  [[nodiscard]] T& on(const core& c) const noexcept { return *each_[c.index()]; }

  // Calls `ask` on each core with its object, there, and folds the answers there into `initial`, which
  // travels along: an answer must not be bound to a core. Thread: any core; comes back to it. Errors: what
  // `ask` and `fold` throw, here. Cancel: at the next wait after it came back. On GCC 12 see named_task.
  template <class Result, class Ask, class Fold>
  detail::task_for<std::decay_t<Result>, Result, Ask, Fold> reduce(Result&& initial, Ask&& ask, Fold&& fold) {
    static_assert(!core_bound<std::decay_t<Result>>, "the result of reduce() travels from core to core");
    return detail::task_for<std::decay_t<Result>, Result, Ask, Fold>(
        fold_all(std::decay_t<Result>(std::forward<Result>(initial)),
                 std::decay_t<Ask>(std::forward<Ask>(ask)), std::decay_t<Fold>(std::forward<Fold>(fold))));
  }

  // On each core's thread, in turn, until one throws, which is thrown here.
  task<> run_start()
    requires requires(T& t) { t.start(); }
  {
    return on_each([](T& t) { t.start(); });
  }
  task<> run_stop()
    requires requires(T& t) { t.stop(); }
  {
    return on_each([](T& t) { t.stop(); });
  }

 private:
  template <class Result, class Ask, class Fold>
  task<Result> fold_all(Result initial, Ask ask, Fold fold) {
    co_await on_each([&](T& t) { initial = std::invoke(fold, std::move(initial), std::invoke(ask, t)); });
    co_return initial;
  }

  // Comes home before it throws: a coroutine that goes on after an exception goes on where it was.
  template <class Call>
  task<> on_each(Call call) {
    core& home = core::here();
    std::exception_ptr error;
    for (core& c : cores_) {
      co_await switch_to(c);
      try {
        call(*each_[c.index()]);
      } catch (...) {
        error = std::current_exception();
      }
      if (error) break;
    }
    co_await switch_to(home);
    if (error) std::rethrow_exception(error);
  }

  core_pool& cores_;
  std::vector<std::unique_ptr<T>> each_;
};

}  // namespace weir
