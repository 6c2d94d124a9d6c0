#include "weir/workers/detail/worker_pool.hpp"

#include <algorithm>

#include "weir/base/log.hpp"
#include "weir/connection/detail/stop_signal.hpp"

namespace weir {
namespace {

constexpr std::size_t idle_threads = 8;  // of a model that starts threads as they are needed
constexpr int turns = 16;                // before a worker's own timers and posts get theirs

}  // namespace

worker_pool::worker_pool(const settings& s, bool fixed, std::vector<int> cpus, core_pool& loops)
    : worker_queue(fixed && s.workers.io == worker_io_kind::loop),
      settings_(s),
      fixed_(fixed),
      cpus_(std::move(cpus)),
      loops_(loops),
      most_(fixed ? s.workers.count : s.workers.most) {}

void worker_pool::start() {
  const std::lock_guard lock(mutex_);
  const std::size_t at_start = fixed_ ? most_ : 1;
  while (slots_.size() < at_start) idle_.push_back(new_slot());
}

worker_pool::slot* worker_pool::new_slot() {
  slot& d =
      slots_.emplace_back(static_cast<unsigned>(slots_.size()), cpus_, settings_, loops_.offload_threads());
  try {
    d.thread.start("weir worker " + std::to_string(d.thread.home().index()));
  } catch (...) {
    slots_.pop_back();
    throw;
  }
  if (stopping_) d.thread.home().post([&c = d.thread.home()] { c.local<stop_signal>().set(); });
  return &d;
}

// One that nobody is on, best; a new one; or one whose handlers wait for something.
worker_pool::slot* worker_pool::free_slot() {
  auto found = std::find_if(idle_.rbegin(), idle_.rend(), [](slot* d) { return d->at.residents() == 0; });
  if (found == idle_.rend()) {
    try {
      if (!resting_.empty()) {
        slot* const d = resting_.back();
        d->thread.start("weir worker " + std::to_string(d->thread.home().index()));
        resting_.pop_back();
        return d;
      }
      if (slots_.size() < most_) return new_slot();
    } catch (const std::exception& e) {
      static log::limiter limit;
      if (limit.pass()) log::warning("no further worker thread: {}", e.what());
    }
    found = idle_.rbegin();
    if (found == idle_.rend()) return nullptr;
  }
  slot* const d = *found;
  idle_.erase(std::next(found).base());
  return d;
}

void worker_pool::push(connection_state& c) noexcept {
  const std::lock_guard lock(mutex_);
  ready_.push_back(&c);
  if (stopped_ || ready_.size() <= coming_) return;  // stopped: its frame is destroyed with its core
  slot* const d = free_slot();
  if (d == nullptr) return;
  ++coming_;
  d->thread.home().post([this, d] {
    {
      const std::lock_guard arrived(mutex_);
      --coming_;
    }
    work(*d);
  });
}

bool worker_pool::reserve(connection_state& c) noexcept {
  const std::lock_guard lock(mutex_);
  if (has_room() && not_read_.empty()) return ++reserved_, true;
  not_read_.push_back(&c);
  return false;
}

void worker_pool::give_back() noexcept {
  const std::lock_guard lock(mutex_);
  --reserved_;
  tell_of_room();
}

void worker_pool::withdraw(connection_state& c) noexcept {
  const std::lock_guard lock(mutex_);
  std::erase(not_read_, &c);
}

// Called with the lock. Connections are named only on loop 0, which holds them: until then one may be
// withdrawn.
void worker_pool::tell_of_room() noexcept {
  if (!not_read_.empty() && has_room()) loops_[0].post([this] { grant_places(); });
}

// On loop 0.
void worker_pool::grant_places() noexcept {
  for (;;) {
    connection_state* next = nullptr;
    {
      const std::lock_guard lock(mutex_);
      if (not_read_.empty() || !has_room()) return;
      next = not_read_.front();
      not_read_.pop_front();
      ++reserved_;
    }
    next->go_on_in_reserved_place();
  }
}

void worker_pool::work(slot& d) {
  for (int i = 0; i < turns; ++i) {
    connection_state* next = nullptr;
    {
      const std::lock_guard lock(mutex_);
      if (ready_.empty()) {
        const bool enough = !fixed_ && idle_.size() >= idle_threads && d.at.residents() == 0;
        (enough ? resting_ : idle_).push_back(&d);
        if (enough) d.thread.rest();
        return;
      }
      next = ready_.front();
      ready_.pop_front();
      tell_of_room();
    }
    d.at.take_in(*next);
  }
  d.thread.home().post([this, &d] { work(d); });
}

void worker_pool::tell() noexcept {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  for (slot& d : slots_) d.thread.home().post([&c = d.thread.home()] { c.local<stop_signal>().set(); });
}

void worker_pool::stop() noexcept {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    for (slot& d : slots_) d.thread.rest();
  }
  for (slot& d : slots_) d.thread.stop();
}

std::size_t worker_pool::threads() const noexcept {
  const std::lock_guard lock(mutex_);
  return slots_.size() - resting_.size();
}

}  // namespace weir
