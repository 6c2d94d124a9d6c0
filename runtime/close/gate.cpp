#include "weir/close/gate.hpp"

namespace weir {

// In both: either the caller sees the state that it waits for, or the one who leaves sees that it is waited
// for.

void gate::when_room(std::function<void()> f) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(f));
    waited_for_ = true;
  }
  tell();
}

void gate::when_empty(std::function<void()> f) {
  {
    const std::lock_guard lock(mutex_);
    empty_ = std::move(f);
    waited_for_ = true;
  }
  tell();
}

void gate::forget_waiting() noexcept {
  const std::lock_guard lock(mutex_);
  waiting_.clear();
  empty_ = nullptr;
  waited_for_ = false;
}

void gate::tell() noexcept {
  std::vector<std::function<void()>> ready;
  {
    const std::lock_guard lock(mutex_);
    const std::uint32_t inside = inside_.load();
    if (inside < limit_) ready.swap(waiting_);
    if (inside == 0 && empty_) ready.push_back(std::exchange(empty_, nullptr));
    waited_for_ = !waiting_.empty() || empty_;
  }
  for (auto& f : ready) f();
}

}  // namespace weir
