#pragma once
// close: how many may be inside, how many are, and when there is room again.

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

namespace weir {

// Problem: do not accept what you cannot serve, and know how many are being served. A gate counts those
// inside, up to a limit; each holds a pass, and the pass's destruction makes room, so the count cannot leak.
// It is taken before the connection is accepted and travels with it. A gate may lie within another: who goes
// on into the inner one is inside both, and the count of the inner one is the load that balancing reads.
// Thread: any. Lifetime: outlives its passes.
class gate {
 public:
  // `counted_in`: where those inside are counted, for others to read; none for within the gate itself.
  explicit gate(std::uint32_t limit, gate* outer = nullptr,
                std::atomic<std::uint32_t>* counted_in = nullptr) noexcept
      : limit_(limit), outer_(outer), inside_(counted_in == nullptr ? own_count_ : *counted_in) {}
  gate(const gate&) = delete;
  gate& operator=(const gate&) = delete;

  class pass {
   public:
    pass() = default;
    pass(pass&& other) noexcept : inside_(std::exchange(other.inside_, nullptr)) {}
    pass& operator=(pass&& other) noexcept {
      std::swap(inside_, other.inside_);
      return *this;
    }
    ~pass() {
      if (inside_ != nullptr) inside_->leave();
    }
    explicit operator bool() const noexcept { return inside_ != nullptr; }

    // For awaiters, which own nothing: the way out of the pass and, with gate::adopt, back into one.
    [[nodiscard]] gate* release() noexcept { return std::exchange(inside_, nullptr); }

   private:
    friend gate;
    explicit pass(gate* g) noexcept : inside_(g) {}
    gate* inside_ = nullptr;
  };

  // An empty pass if the gate is full.
  [[nodiscard]] pass try_enter() noexcept {
    if (inside_.fetch_add(1) < limit_) return pass(this);
    inside_.fetch_sub(1);
    if (waited_for_.load()) tell();
    return {};
  }

  [[nodiscard]] static pass adopt(gate* g) noexcept { return pass(g); }

  // From the outer gate on into this one, whatever its limit.
  [[nodiscard]] pass enter_from(pass outer) noexcept {
    inside_.fetch_add(1, std::memory_order_relaxed);
    static_cast<void>(outer.release());
    return pass(this);
  }

  // The other way. Nobody may wait for this gate meanwhile.
  [[nodiscard]] pass back_to_outer(pass inner) noexcept {
    inside_.fetch_sub(1, std::memory_order_relaxed);
    static_cast<void>(inner.release());
    return pass(outer_);
  }

  // Calls `f` once when somebody has left since the gate was full; at once, on this thread, if there is room
  // already. Otherwise on the thread of the one who leaves.
  void when_room(std::function<void()> f);

  // Calls `f` once when nobody is inside any more; at once, on this thread, if so already. One waits at a
  // time.
  void when_empty(std::function<void()> f);

  // Forgets those who wait; their calls do not come any more.
  void forget_waiting() noexcept;

  [[nodiscard]] std::uint32_t inside() const noexcept { return inside_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint32_t limit() const noexcept { return limit_; }

 private:
  void leave() noexcept {
    inside_.fetch_sub(1);
    if (waited_for_.load()) [[unlikely]]
      tell();
    if (outer_ != nullptr) outer_->leave();
  }
  void tell() noexcept;

  std::uint32_t limit_;
  gate* outer_;
  std::atomic<std::uint32_t> own_count_{0};
  std::atomic<std::uint32_t>& inside_;
  std::atomic<bool> waited_for_{false};
  std::mutex mutex_;
  std::vector<std::function<void()>> waiting_;  // for room
  std::function<void()> empty_;
};

}  // namespace weir
