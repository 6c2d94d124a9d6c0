#include "weir/core/detail/offload_pool.hpp"

#include <algorithm>

namespace weir {

bool offload_pool::submit(std::shared_ptr<job> j) {
  const std::lock_guard lock(mutex_);
  if (stopping_ || queue_.size() >= queue_limit_) return false;
  if (idle_ <= queue_.size() && threads_.size() < threads_limit_) threads_.emplace_back([this] { work(); });
  queue_.push_back(std::move(j));
  ready_.notify_one();
  return true;
}

bool offload_pool::withdraw(const job& j) noexcept {
  const std::lock_guard lock(mutex_);
  const auto at =
      std::find_if(queue_.begin(), queue_.end(), [&j](const auto& each) { return each.get() == &j; });
  if (at == queue_.end()) return false;
  queue_.erase(at);
  return true;
}

void offload_pool::stop() noexcept {
  std::deque<std::shared_ptr<job>> dropped;
  std::vector<std::thread> threads;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    dropped.swap(queue_);
    threads.swap(threads_);
    ready_.notify_all();
  }
  for (auto& t : threads) t.join();
}

std::size_t offload_pool::queued() const {
  const std::lock_guard lock(mutex_);
  return queue_.size();
}

void offload_pool::work() noexcept {
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    ready_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    --idle_;
    if (stopping_) return;
    const std::shared_ptr<job> next = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    next->run();
    lock.lock();
  }
}

}  // namespace weir
