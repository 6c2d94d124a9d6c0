#include "weir/server/worker_pool.hpp"

#include <algorithm>

#include "weir/base/log.hpp"
#include "weir/close/stop_signal.hpp"

namespace weir {
namespace {

constexpr std::size_t idle_threads = 8;  // of a model that starts threads as they are needed
constexpr int turns = 16;                // before a worker's own timers and posts get theirs

}  // namespace

worker_pool::worker_pool(const settings& s, std::vector<int> cpus, core_pool& loops)
    : workplace(s.model == model_kind::loop_with_workers && s.workers.io == worker_io_kind::loop),
      settings_(s),
      cpus_(std::move(cpus)),
      loops_(loops),
      most_(s.model == model_kind::loop_with_workers ? s.workers.count : s.workers.most) {}

void worker_pool::start() {
  const std::lock_guard lock(mutex_);
  const std::size_t at_start = settings_.model == model_kind::loop_with_workers ? most_ : 1;
  while (desks_.size() < at_start) idle_.push_back(new_desk());
}

worker_pool::desk* worker_pool::new_desk() {
  desk& d =
      desks_.emplace_back(static_cast<unsigned>(desks_.size()), cpus_, settings_, loops_.offload_threads());
  try {
    d.thread.start("weir worker " + std::to_string(d.thread.home().index()));
  } catch (...) {
    desks_.pop_back();
    throw;
  }
  if (stopping_) d.thread.home().post([&c = d.thread.home()] { c.local<stop_signal>().set(); });
  return &d;
}

// One that nobody is on, best; a new one; or one whose handlers wait for something.
worker_pool::desk* worker_pool::free_desk() {
  auto found = std::find_if(idle_.rbegin(), idle_.rend(), [](desk* d) { return d->at.residents() == 0; });
  if (found == idle_.rend()) {
    try {
      if (!resting_.empty()) {
        desk* const d = resting_.back();
        d->thread.start("weir worker " + std::to_string(d->thread.home().index()));
        resting_.pop_back();
        return d;
      }
      if (desks_.size() < most_) return new_desk();
    } catch (const std::exception& e) {
      static log::limiter limit;
      if (limit.pass()) log::warning("no further worker thread: {}", e.what());
    }
    found = idle_.rbegin();
    if (found == idle_.rend()) return nullptr;
  }
  desk* const d = *found;
  idle_.erase(std::next(found).base());
  return d;
}

void worker_pool::take_up(connection_state& c) noexcept {
  const std::lock_guard lock(mutex_);
  ready_.push_back(&c);
  if (stopped_ || ready_.size() <= coming_) return;  // stopped: its frame is destroyed with its core
  desk* const d = free_desk();
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

bool worker_pool::has_room(connection_state& c) noexcept {
  const std::lock_guard lock(mutex_);
  if (ready_.size() < settings_.workers.queue) return true;
  not_read_.push_back(&c);
  return false;
}

void worker_pool::work(desk& d) {
  for (int i = 0; i < turns; ++i) {
    connection_state* next = nullptr;
    {
      const std::lock_guard lock(mutex_);
      if (ready_.empty()) {
        const bool enough = settings_.model == model_kind::thread_per_event && idle_.size() >= idle_threads &&
                            d.at.residents() == 0;
        (enough ? resting_ : idle_).push_back(&d);
        if (enough) d.thread.rest();
        return;
      }
      next = ready_.front();
      ready_.pop_front();
      if (!not_read_.empty() && ready_.size() < settings_.workers.queue) {
        loops_[0].post([c = not_read_.front()] { c->go_on(); });
        not_read_.pop_front();
      }
    }
    d.at.take_in(*next);
  }
  d.thread.home().post([this, &d] { work(d); });
}

void worker_pool::tell() noexcept {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  for (desk& d : desks_) d.thread.home().post([&c = d.thread.home()] { c.local<stop_signal>().set(); });
}

void worker_pool::stop() noexcept {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    for (desk& d : desks_) d.thread.rest();
  }
  for (desk& d : desks_) d.thread.stop();
}

std::size_t worker_pool::threads() const noexcept {
  const std::lock_guard lock(mutex_);
  return desks_.size() - resting_.size();
}

}  // namespace weir
