#pragma once
// core: a call that is posted to a core again and again, and never fails.

#include <atomic>
#include <functional>
#include <utility>

#include "weir/core/core.hpp"

namespace weir {

// Problem: core::post() takes memory, and where a connection, a permit or a stop is handed to a core by a
// counter or a list, nothing would repeat a post that failed: the core would never look. This one is its own
// memory. Thread: any for post(); `f` runs on the core's thread. Requests that come before `f` has begun are
// one. Lifetime: made before and destroyed after the core runs.
class standing_post : private remote_wake {
 public:
  standing_post(core& home, std::function<void()> f) : home_(home), f_(std::move(f)) { how = &called; }
  standing_post(const standing_post&) = delete;
  standing_post& operator=(const standing_post&) = delete;
  ~standing_post() {
    if (pending_.load(std::memory_order_relaxed)) home_.driver().drop_delivered();
  }

  void post() noexcept {
    if (!pending_.exchange(true, std::memory_order_acq_rel)) home_.driver().deliver(this);
  }

 private:
  static chain* call(remote_wake* w) noexcept {
    auto& self = *static_cast<standing_post*>(w);
    self.pending_.store(false, std::memory_order_release);
    self.f_();
    return nullptr;
  }
  static void drop(remote_wake* w) noexcept { static_cast<standing_post*>(w)->pending_ = false; }
  static constexpr kind called{&call, &drop};

  core& home_;
  std::function<void()> f_;  // throws nothing
  std::atomic<bool> pending_{false};
};

}  // namespace weir
