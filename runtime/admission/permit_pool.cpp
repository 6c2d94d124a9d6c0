#include "weir/admission/detail/permit_pool.hpp"

namespace weir {

// In both: either the caller sees the count that it waits for, or the thread that gives a permit back sees
// that there is a pending call.

void permit_pool::when_available(std::function<void()> f) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(f));
    waited_for_ = true;
  }
  tell();
}

void permit_pool::when_unused(std::function<void()> f) {
  {
    const std::lock_guard lock(mutex_);
    empty_ = std::move(f);
    waited_for_ = true;
  }
  tell();
}

void permit_pool::forget_waiting() noexcept {
  const std::lock_guard lock(mutex_);
  waiting_.clear();
  empty_ = nullptr;
  waited_for_ = false;
}

void permit_pool::tell() noexcept {
  std::vector<std::function<void()>> ready;
  std::function<void()> unused;  // nothing here may throw
  {
    const std::lock_guard lock(mutex_);
    const std::uint32_t used = in_use_.load();
    if (used < limit_) ready.swap(waiting_);
    if (used == 0) unused.swap(empty_);
    waited_for_ = !waiting_.empty() || empty_;
  }
  for (auto& f : ready) f();
  if (unused) unused();
}

}  // namespace weir
