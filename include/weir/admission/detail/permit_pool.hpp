#pragma once
// admission: how many connections there may be, how many there are, and when the next one may come.

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

namespace weir {

// Problem: do not accept what you cannot serve, and know how many are being served. A permit_pool counts the
// permits in use, up to a limit. A connection holds a permit, and the permit's destruction gives it back, so
// the count cannot leak. The permit is taken before the connection is accepted and travels with it. A
// permit_pool may lie within an outer one: a permit of the inner one counts in both, and the count of the
// inner one is the load that balancing reads. Thread: any. Lifetime: outlives its permits.
class permit_pool {
 public:
  // `counted_in`: where the permits in use are counted, for other processes to read; null: in this object.
  explicit permit_pool(std::uint32_t limit, permit_pool* outer = nullptr,
                       std::atomic<std::uint32_t>* counted_in = nullptr) noexcept
      : limit_(limit), outer_(outer), in_use_(counted_in == nullptr ? own_count_ : *counted_in) {}
  permit_pool(const permit_pool&) = delete;
  permit_pool& operator=(const permit_pool&) = delete;

  class permit {
   public:
    permit() = default;
    permit(permit&& other) noexcept : in_use_(std::exchange(other.in_use_, nullptr)) {}
    permit& operator=(permit&& other) noexcept {
      std::swap(in_use_, other.in_use_);
      return *this;
    }
    ~permit() {
      if (in_use_ != nullptr) in_use_->leave();
    }
    explicit operator bool() const noexcept { return in_use_ != nullptr; }

    // For awaiters, which own nothing: the way out of the permit and, with permit_pool::adopt, back into one.
    [[nodiscard]] permit_pool* release() noexcept { return std::exchange(in_use_, nullptr); }

   private:
    friend permit_pool;
    explicit permit(permit_pool* g) noexcept : in_use_(g) {}
    permit_pool* in_use_ = nullptr;
  };

  // An empty permit if all are in use.
  [[nodiscard]] permit try_acquire() noexcept {
    if (in_use_.fetch_add(1) < limit()) return permit(this);
    in_use_.fetch_sub(1);
    if (waited_for_.load()) tell();
    return {};
  }

  [[nodiscard]] static permit adopt(permit_pool* g) noexcept { return permit(g); }

  // From the outer permit_pool on into this one, whatever its limit.
  [[nodiscard]] permit acquire_from(permit outer) noexcept {
    in_use_.fetch_add(1, std::memory_order_relaxed);
    static_cast<void>(outer.release());
    return permit(this);
  }

  // The other way. No call of when_available() or when_unused() of this pool may be pending.
  [[nodiscard]] permit return_to_outer(permit inner) noexcept {
    in_use_.fetch_sub(1, std::memory_order_relaxed);
    static_cast<void>(inner.release());
    return permit(outer_);
  }

  // Calls `f` once when a permit is free: at once, on this thread, if one is free already, otherwise on the
  // thread that gives a permit back. Errors: std::bad_alloc, and `f` is not called.
  void when_available(std::function<void()> f);

  // Calls `f` once when no permit is in use: at once, on this thread, if so already, otherwise on the thread
  // that gives the last one back. One call is pending at a time.
  void when_unused(std::function<void()> f);

  // Permits beyond it that are in use stay in use. May make the pending calls.
  void set_limit(std::uint32_t limit) noexcept {
    limit_ = limit;
    tell();
  }

  // Before the first permit. `f`, which throws nothing and takes no permit, is called after each permit that
  // is given back while a watch lives, on the thread that gives the permit back.
  void when_given_back(std::function<void()> f) { given_back_ = std::move(f); }
  // While it lives: what its owner reads after its construction is either up to date, or followed by a
  // call.
  class watch {
   public:
    explicit watch(permit_pool& p) noexcept : pool_(p) { pool_.watchers_.fetch_add(1); }
    watch(const watch&) = delete;
    watch& operator=(const watch&) = delete;
    ~watch() { pool_.watchers_.fetch_sub(1); }

   private:
    permit_pool& pool_;
  };

  // Drops the pending calls.
  void forget_waiting() noexcept;

  [[nodiscard]] std::uint32_t in_use() const noexcept { return in_use_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint32_t limit() const noexcept { return limit_.load(std::memory_order_relaxed); }

 private:
  void leave() noexcept {
    in_use_.fetch_sub(1);
    if (waited_for_.load()) [[unlikely]]
      tell();
    if (watchers_.load() != 0 && given_back_) [[unlikely]]
      given_back_();
    if (outer_ != nullptr) outer_->leave();
  }
  void tell() noexcept;

  std::atomic<std::uint32_t> limit_;
  permit_pool* outer_;
  std::atomic<std::uint32_t> own_count_{0};
  std::atomic<std::uint32_t>& in_use_;
  std::atomic<bool> waited_for_{false};
  std::atomic<std::uint32_t> watchers_{0};
  std::function<void()> given_back_;
  std::mutex mutex_;
  std::vector<std::function<void()>> waiting_;  // for room
  std::function<void()> empty_;
};

}  // namespace weir
