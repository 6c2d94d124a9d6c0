#include "weir/workers/detail/worker_pool.hpp"

#include <algorithm>

#include "weir/base/log.hpp"
#include "weir/connection/detail/stop_signal.hpp"

namespace weir {
namespace {

constexpr std::size_t idle_threads = 8;  // of a model that starts threads as they are needed
constexpr int turns = 16;                // before a worker's own timers and posts get theirs

}  // namespace

worker_pool::worker_pool(const settings& s, bool fixed, std::vector<int> cpus, core_pool& loops,
                         observe::process_ledger* ledger)
    : worker_queue(fixed && s.workers.io == worker_io_kind::loop),
      settings_(s),
      fixed_(fixed),
      cpus_(std::move(cpus)),
      loops_(loops),
      ledger_(ledger),
      most_(fixed ? s.workers.count : s.workers.most),
      room_(loops[0], [this] { grant_places(); }) {}

worker_pool::slot::slot(unsigned index, worker_pool& of)
    : thread(index, of.cpus_, of.settings_, of.loops_.offload_threads(),
             {.handlers_migrate = true, .opens_late = true, .ledger = of.ledger_}),
      at(thread.home()),
      come(thread.home(),
           [this, &of] {
             {
               const std::lock_guard arrived(of.mutex_);
               --of.coming_;
             }
             of.work(*this);
           }),
      go_on(thread.home(), [this, &of] { of.work(*this); }),
      tell_stop(thread.home(), [&signal = thread.home().local<stop_signal>()] { signal.set(); }) {}

void worker_pool::start() {
  const std::lock_guard lock(mutex_);
  const std::size_t at_start = fixed_ ? most_ : 1;
  while (slots_.size() < at_start) idle_.push_back(new_slot());
}

worker_pool::slot* worker_pool::new_slot() {
  idle_.reserve(slots_.size() + 1);  // so that its thread can go there, and rest
  resting_.reserve(slots_.size() + 1);
  slot& d = slots_.emplace_back(static_cast<unsigned>(slots_.size()), *this);
  d.thread.home().when_own_work_ends([this, &d] { own_work_ended(d); });
  if (stopping_) d.tell_stop.post();
  resting_.push_back(&d);
  return wake_resting();
}

// Errors: std::system_error without a thread; it rests on.
worker_pool::slot* worker_pool::wake_resting() {
  slot* const d = resting_.back();
  d->thread.start("weir worker " + std::to_string(d->thread.home().index()));
  resting_.pop_back();
  return d;
}

// In this order: one without a handler, a new one, one whose handlers wait for something.
worker_pool::slot* worker_pool::free_slot() {
  auto found = std::find_if(idle_.rbegin(), idle_.rend(), [](slot* d) { return d->at.residents() == 0; });
  if (found == idle_.rend()) {
    try {
      if (!resting_.empty()) return wake_resting();
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
  if (settings_.observe.recorder != 0) static_cast<worker_migration&>(*c.away()).is_ready();
  const std::lock_guard lock(mutex_);
  ready_.push(c);
  if (stopped_ || ready_.size() <= coming_) return;  // stopped: its frame is destroyed with its core
  slot* const d = free_slot();
  if (d == nullptr) return;
  ++coming_;
  d->come.post();
}

bool worker_pool::reserve(connection_state& c) noexcept {
  const std::lock_guard lock(mutex_);
  if (has_room() && not_read_.empty()) return ++reserved_, true;
  not_read_.push(c);
  return false;
}

void worker_pool::give_back() noexcept {
  const std::lock_guard lock(mutex_);
  --reserved_;
  tell_of_room();
}

void worker_pool::withdraw(connection_state& c) noexcept {
  const std::lock_guard lock(mutex_);
  not_read_.remove(c);
}

// Called with the lock. Connections are named only on loop 0, which holds them: until then one may be
// withdrawn.
void worker_pool::tell_of_room() noexcept {
  if (!not_read_.empty() && has_room()) room_.post();
}

// On loop 0.
void worker_pool::grant_places() noexcept {
  for (;;) {
    connection_state* next = nullptr;
    {
      const std::lock_guard lock(mutex_);
      if (not_read_.empty() || !has_room()) return;
      next = &not_read_.pop();
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
        // What a handler has spawned needs the thread until it has ended: see own_work_ended().
        const bool enough = !fixed_ && idle_.size() >= idle_threads && d.at.residents() == 0 &&
                            !d.thread.home().has_own_work();
        (enough ? resting_ : idle_).push_back(&d);
        if (enough) d.thread.rest();
        return;
      }
      next = &ready_.pop();
      tell_of_room();
    }
    d.at.take_in(*next);
  }
  d.go_on.post();
}

void worker_pool::own_work_ended(slot& d) {
  const std::lock_guard lock(mutex_);
  if (fixed_ || idle_.size() <= idle_threads || d.at.residents() != 0) return;
  const auto at = std::find(idle_.begin(), idle_.end(), &d);
  if (at == idle_.end()) return;  // it runs a handler, or is about to
  idle_.erase(at);
  resting_.push_back(&d);
  d.thread.rest();
}

void worker_pool::tell() noexcept {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  for (slot& d : slots_) d.tell_stop.post();
}

void worker_pool::stop() noexcept {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    for (slot& d : slots_) d.thread.home().stop();
  }
  for (slot& d : slots_) d.thread.stop();
}

std::vector<core*> worker_pool::cores() {
  const std::lock_guard lock(mutex_);
  std::vector<core*> out;
  for (slot& d : slots_) out.push_back(&d.thread.home());
  return out;
}

std::size_t worker_pool::threads() const noexcept {
  const std::lock_guard lock(mutex_);
  return slots_.size() - resting_.size();
}

}  // namespace weir
