#pragma once
// core: a core that a test runs, on its own thread and with a virtual clock.

#include <chrono>

#include "weir/core/detail/virtual_clock.hpp"

namespace weir {

// Runs coroutines without a thread, a network or a wait, so that a test of a handler takes no time and has
// one outcome:
//
//   weir::test_core core;
//   weir::connection_pair ends;
//   core->spawn(handler(std::move(ends.server)));
//   core.settle();                                 // the handler waits for its client
//   core.advance(std::chrono::seconds(60));        // its idle timeout
//
// Thread: the one that made it; the core is core::current() there. Of several, the youngest is current and is
// destroyed first.
class test_core {
 public:
  explicit test_core(const settings& s = {}) : core_(0, std::nullopt, s), here_(core_), clock_(core_) {}

  [[nodiscard]] core& operator*() noexcept { return core_; }
  [[nodiscard]] core* operator->() noexcept { return &core_; }

  // Gives turns until every coroutine waits for time or for another thread. Does not return while a coroutine
  // yields for ever.
  void settle();

  // Moves time on by `d`, and settles at each deadline on the way.
  void advance(saturated_duration d);

  // How far time has moved.
  [[nodiscard]] std::chrono::milliseconds elapsed() const noexcept { return clock_.elapsed(); }

 private:
  core core_;
  core::entered here_;
  virtual_clock clock_;
};

}  // namespace weir
