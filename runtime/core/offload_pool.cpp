#include "weir/core/detail/offload_pool.hpp"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <system_error>

namespace weir {
namespace {

constinit thread_local bool runs_job = false;

}  // namespace

offload_pool::offload_pool(std::size_t threads, std::size_t queue) noexcept
    : threads_limit_(threads), queue_limit_(queue) {
  CPU_ZERO(&cpus_);
  if (::sched_getaffinity(0, sizeof cpus_, &cpus_) != 0) CPU_ZERO(&cpus_);
}

bool offload_pool::runs_job_here() noexcept { return runs_job; }

void offload_pool::push(job& j) noexcept {
  j.place_ = job::place::queued;
  j.queued_at_ = std::chrono::steady_clock::now();
  j.next_ = nullptr;
  j.link_ = last_;
  *last_ = &j;
  last_ = &j.next_;
  ++queued_;
}

void offload_pool::take_out(job& j, job::place to) noexcept {
  j.place_ = to;
  *j.link_ = j.next_;
  if (j.next_ != nullptr)
    j.next_->link_ = j.link_;
  else
    last_ = j.link_;
  --queued_;
}

bool offload_pool::submit(job& j, const void* owner) {
  const std::lock_guard lock(mutex_);
  if (stopping_ || queued_ >= queue_limit_) return false;
  if (idle_ <= queued_ && threads_.size() < threads_limit_) {
    running_.reserve(threads_.size() + 1);  // so that a worker's push_back cannot fail
    try {
      threads_.emplace_back([this] { work(); });
    } catch (const std::system_error&) {
      if (threads_.empty()) throw;  // else the job waits for one of the threads that there are
    }
  }
  j.owner_ = owner;
  push(j);
  ready_.notify_one();
  return true;
}

bool offload_pool::withdraw(job& j) noexcept {
  const std::lock_guard lock(mutex_);
  if (j.place_ == job::place::queued) take_out(j, job::place::outside);
  return j.place_ == job::place::outside;
}

void offload_pool::leave(const void* owner) noexcept {
  std::unique_lock lock(mutex_);
  for (job* j = first_; j != nullptr;) {
    job* const next = j->next_;
    if (j->owner_ == owner) take_out(*j, job::place::outside);
    j = next;
  }
  ended_.wait(lock, [&] { return std::ranges::find(running_, owner, &running::owner) == running_.end(); });
}

void offload_pool::stop() noexcept {
  std::vector<std::thread> threads;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    while (first_ != nullptr) take_out(*first_, job::place::outside);
    threads.swap(threads_);
    ready_.notify_all();
  }
  for (auto& t : threads) t.join();
}

// With the lock: one thread at a time.
void offload_pool::count_start(const job& j) noexcept {
  if (recorder_.counted == nullptr) return;
  const auto waited = std::chrono::nanoseconds(std::chrono::steady_clock::now() - j.queued_at_);
  (*recorder_.counted)[observe::figure::jobs].add(1);
  of(*recorder_.measured, observe::measure::job_wait).record(static_cast<std::uint64_t>(waited.count()));
}

std::size_t offload_pool::queued() const {
  const std::lock_guard lock(mutex_);
  return queued_;
}

void offload_pool::work() noexcept {
  ::pthread_setname_np(::pthread_self(), "weir offload");
  if (CPU_COUNT(&cpus_) != 0) ::sched_setaffinity(0, sizeof cpus_, &cpus_);
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    ready_.wait(lock, [this] { return stopping_ || first_ != nullptr; });
    --idle_;
    if (stopping_) return;
    job& next = *first_;
    const void* const owner = next.owner_;
    take_out(next, job::place::started);
    count_start(next);
    running_.push_back({owner, &next});
    lock.unlock();
    runs_job = true;
    next.run();  // hands the job back: it may be gone from here on
    runs_job = false;
    lock.lock();
    // Its address may be another job's already, but not with that owner while this one is in the list.
    running_.erase(std::ranges::find_if(
        running_, [&](const running& r) { return r.owner == owner && r.what == &next; }));
    ended_.notify_all();
  }
}

}  // namespace weir
