#pragma once
// core: one object per core, for state without locks.

#include <concepts>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "weir/core/core_pool.hpp"
#include "weir/core/switch_to.hpp"

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

  // Calls `ask` on each core with its object, there, and folds the answers here.
  // Thread: any core; comes back to it. Cancel: at the next wait after it came back.
  template <class Result, class Ask, class Fold>
  task<Result> reduce(Result initial, Ask ask, Fold fold) {
    core& home = core::here();
    for (core& c : cores_) {
      co_await switch_to(c);
      initial = std::invoke(fold, std::move(initial), std::invoke(ask, *each_[c.index()]));
    }
    co_await switch_to(home);
    co_return initial;
  }

  // On each core's thread, in turn.
  task<> run_start()
    requires requires(T& t) { t.start(); }
  {
    core& home = core::here();
    for (core& c : cores_) {
      co_await switch_to(c);
      each_[c.index()]->start();
    }
    co_await switch_to(home);
  }
  task<> run_stop()
    requires requires(T& t) { t.stop(); }
  {
    core& home = core::here();
    for (core& c : cores_) {
      co_await switch_to(c);
      each_[c.index()]->stop();
    }
    co_await switch_to(home);
  }

 private:
  core_pool& cores_;
  std::vector<std::unique_ptr<T>> each_;
};

}  // namespace weir
