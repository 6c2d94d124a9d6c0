#include "weir/workers/detail/worker_migration.hpp"

#include <cerrno>
#include <utility>

namespace weir {

worker_migration::handoff_operation::handoff_operation(worker_migration& v) noexcept
    : operation(kind_of_handoff), of(&v) {
  root = &v.of_;
}

bool worker_migration::handoff_operation::proceed(operation& op) noexcept {
  worker_migration& self = *static_cast<handoff_operation&>(op).of;
  if (self.claim()) self.go_on();
  return false;  // it stays registered
}

worker_migration::worker_migration(connection_state& c, worker_queue& at) noexcept
    : of_(c), work_(at), handoff_(*this) {
  registration_.fd = c.fd;
  registration_.driver = &home().driver();
  registration_.reading = registration_.writing = &handoff_;
}

core& worker_migration::home() const noexcept { return of_.home_core(); }

bool worker_migration::claim() noexcept {
  for (holder now = holder_.load();;) {
    if (now == holder::worker_notified) return false;
    const holder next = now == holder::core ? holder::worker : holder::worker_notified;
    if (holder_.compare_exchange_weak(now, next)) return next == holder::worker;
  }
}

void worker_migration::notify() noexcept {
  if (waits_for_place_) {
    work_.withdraw(of_);
    waits_for_place_ = false;
  } else if (!claim()) {
    if (worker* const w = at_.load()) w->events_.post();
    return;
  }
  if (of_.is_cancelled()) of_.note_cut();
  go_on();
}

void worker_migration::check_idle(std::uint64_t now) noexcept {
  holder here = holder::core;
  const bool waited = waits_for_place_;
  if (!waited && !holder_.compare_exchange_strong(here, holder::worker))
    return;  // the worker that has it looks
  if (!of_.end_if_idle(now)) {
    if (!waited) holder_.store(holder::core, std::memory_order_release);
    return;
  }
  if (waited) work_.withdraw(of_);
  waits_for_place_ = false;
  do_io();  // the wait has ended: that takes no place
}

void worker_migration::go_on() noexcept {
  if (!work_.core_does_io()) return hand_over();
  if (of_.is_cancelled() || of_.is_stopping()) return do_io();
  if (work_.reserve(of_)) return go_on_in_reserved_place();
  waits_for_place_ = true;
}

void worker_migration::go_on_in_reserved_place() noexcept {
  worker_queue& queue = work_;  // a worker may end the connection before this returns
  waits_for_place_ = false;
  do_io();
  queue.give_back();
}

void worker_migration::do_io() noexcept {
  of_.reading = of_.writing = nullptr;
  of_.expect(true);  // which it was not on the worker, so that nothing was tried there
  if (!work_.core_does_io() || of_.is_cancelled()) return hand_over();
  operation* const waits = of_.waits_for();
  const auto drop = waits != nullptr ? waits->kind->drop : nullptr;
  if (!of_.proceed_only()) return;
  answered_ = waits;
  drop_ = drop;
  hand_over();
}

void worker_migration::drop_answer() noexcept {
  if (operation* const op = std::exchange(answered_, nullptr); op != nullptr && drop_ != nullptr) drop_(*op);
}

// A worker may have it from here on.
void worker_migration::hand_over() noexcept {
  if (of_.is_queued()) of_.home().unschedule(of_);  // it goes on by this, once
  home().driver().disarm(registration_);
  holder_.store(holder::worker);
  work_.push(of_);
}

// `op` has its slot of the connection already. `for_reading` is what the socket is waited for, which differs
// from what `op` does where a layer has bytes to send first.
void worker_migration::park(operation& op, bool for_reading) noexcept {
  if (of_.is_home()) return wait_at_core(op, for_reading);
  if (op.root == &of_ && of_.is_cancelled()) {
    of_.note_cut();
    return of_.schedule();
  }
  const worker& here = *at_.load(std::memory_order_relaxed);
  const bool tied = op.root != &of_ || !of_.has_no_children() || !here.connected_.all().empty();
  tied ? wait_at_worker(for_reading) : wait_at_core(op, for_reading);
}

void worker_migration::wait_at_worker(bool for_reading) noexcept {
  worker& here = *at_.load(std::memory_order_relaxed);
  const auto watched = for_reading ? io::descriptor::watch::reads : io::descriptor::watch::both;
  if (stream_layer* const layer = of_.layer(); layer != nullptr)
    layer->watch(for_reading);
  else if (of_.watched < watched)
    of_.driver->watch(of_, watched);
  if (holder_.load() == holder::worker_notified)
    here.events_.post();
  else
    here.look_later();
}

void worker_migration::wait_at_core(operation& op, bool for_reading) noexcept {
  io::driver& core_driver = home().driver();
  worker* const from = at_.load(std::memory_order_relaxed);
  registration_.fd = of_.fd;
  if (from != nullptr) depart();
  if (from != nullptr && work_.core_does_io()) return core_driver.deliver(&way_home_);
  const int error = core_driver.arm_once(registration_, for_reading);
  if (from == nullptr) {
    if (error != 0) return of_.wait_failed(op, error);
    holder_.store(holder::core, std::memory_order_release);
    return;
  }
  holder worker_holds = holder::worker;
  if (error == 0 && holder_.compare_exchange_strong(worker_holds, holder::core))
    return;  // from here on it is theirs
  holder_.store(holder::worker);
  settle_at(*from);
  if (error != 0) return of_.wait_failed(op, error);
  of_.schedule();
}

void worker_migration::settle_at(worker& w) noexcept {
  at_.store(&w);
  next_ = w.first_;
  link_ = &w.first_;
  if (next_ != nullptr) next_->link_ = &next_;
  w.first_ = this;
  w.count_.fetch_add(1, std::memory_order_relaxed);
  of_.driver = &w.home().driver();
  of_.move_to(*of_.driver);
  of_.reading = of_.writing = nullptr;
  of_.expect(!work_.core_does_io());
  if (of_.is_stopping()) of_.reads_until_eagain = true;
}

void worker_migration::depart() noexcept {
  worker& w = *at_.exchange(nullptr);
  *link_ = next_;
  if (next_ != nullptr) next_->link_ = link_;
  w.count_.fetch_sub(1, std::memory_order_relaxed);
  of_.leave_driver();
  of_.driver = &home().driver();
  of_.move_to(*of_.driver);
}

void worker_migration::leave() noexcept {
  depart();
  of_.driver->deliver(&way_home_);
}

void worker_migration::end() noexcept {
  home().driver().forget(registration_);
  registration_.fd = -1;
}

void waiting_connections::push(connection_state& c) noexcept {
  auto& last = static_cast<worker_migration&>(*c.away());
  last.next_waiting_ = nullptr;
  *last_ = &last;
  last_ = &last.next_waiting_;
  ++size_;
}

connection_state& waiting_connections::pop() noexcept {
  connection_state& first = first_->of_;
  remove(first);
  return first;
}

void waiting_connections::remove(connection_state& c) noexcept {
  for (worker_migration** at = &first_; *at != nullptr; at = &(*at)->next_waiting_) {
    if (*at != c.away()) continue;
    worker_migration* const found = *at;
    *at = found->next_waiting_;
    if (last_ == &found->next_waiting_) last_ = at;
    --size_;
    return;
  }
}

worker::worker(core& c) : core_(c), connected_(c.local<connection_table>()) {
  fire = [](io::timer& t) noexcept {
    auto& self = static_cast<worker&>(t);
    self.will_look_ = false;
    self.take_pending_events();
    if (self.first_ != nullptr) self.look_later();
  };
}

worker::~worker() { core_.timers().disarm(*this); }

void worker::take_in(connection_state& c) {
  auto& m = static_cast<worker_migration&>(*c.away());
  m.settle_at(*this);
  m.answered_ = nullptr;
  if (m.ready_since_ != 0) core_.driver().take_over(m.ready_since_);
  core_.driver().run_now(c);
}

void worker::look_later() {
  if (std::exchange(will_look_, true)) return;
  core_.timers().arm(*this, std::chrono::seconds(1));
}

void worker::take_pending_events() noexcept {
  for (worker_migration* v = first_; v != nullptr; v = v->next_) {
    worker_migration::holder told = worker_migration::holder::worker_notified;
    v->holder_.compare_exchange_strong(told, worker_migration::holder::worker);
    v->of_.take_pending_events();
  }
}

}  // namespace weir
