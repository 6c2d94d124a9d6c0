#include "weir/workers/detail/connection_threads.hpp"

#include <algorithm>
#include <new>

namespace weir {
namespace {

constexpr std::size_t idle_threads = 8;
constexpr std::chrono::milliseconds slice(
    1000);  // it is woken by a signal, which may come a moment too early

}  // namespace

connection_threads::slot::slot(unsigned index, connection_threads& of)
    : thread(index, of.cpus_, of.settings_, of.offload_, {.io_blocks = true, .ledger = of.ledger_}),
      tell(thread.home(),
           [this, &of] {
             try {
               at->stop(of.grace_.load());
             } catch (const std::bad_alloc&) {  // it is told again: server::tell_threads()
             }
           }),
      cancel(thread.home(), [this] { at->cancel(); }) {
  at.emplace(thread.home(), of.settings_, of.handler_, of.all_, of.per_address_, of.leaves_, of.proxied_,
             of.tls_);
  at->block(slice);
  at->listen_by(of.taps_);
  at->when_left([this, &of] { of.left(*this); });
  thread.home().when_own_work_ends([this, &of] { of.own_work_ended(*this); });
}

connection_threads::connection_threads(const settings& s, std::vector<int> cpus,
                                       const connection_handler& handler, permit_pool& all,
                                       address_limit<peer_address>* per_address, offload_pool& offload,
                                       const departure_state* leaves, proxy_rules* proxied,
                                       observe::process_ledger* ledger, present_source* tls)
    : settings_(s),
      cpus_(std::move(cpus)),
      handler_(handler),
      all_(all),
      per_address_(per_address),
      tls_(tls),
      offload_(offload),
      leaves_(leaves),
      proxied_(proxied),
      ledger_(ledger) {
  struct sigaction nothing{};
  nothing.sa_handler = [](int) {};  // and without SA_RESTART
  ::sigaction(wake_up, &nothing, &before_);
}

connection_threads::~connection_threads() {
  stop();
  ::sigaction(wake_up, &before_, nullptr);
}

connection_threads::slot& connection_threads::free_slot() {
  const std::lock_guard lock(mutex_);
  if (!idle_.empty()) {
    slot& s = *idle_.back();
    idle_.pop_back();
    return s;
  }
  if (resting_.empty()) {
    resting_.reserve(slots_.size() + 1);  // left() may not fail
    idle_.reserve(slots_.size() + 1);
    resting_.push_back(&slots_.emplace_back(static_cast<unsigned>(slots_.size()), *this));
  }
  slot& s = *resting_.back();
  s.thread.start("weir conn " + std::to_string(s.thread.home().index()));
  resting_.pop_back();
  return s;
}

void connection_threads::deliver(accepted_socket s) {
  slot& at = free_slot();
  bool serves = false;
  try {
    serves = at.at->deliver(std::move(s));
  } catch (...) {
    left(at);
    throw;
  }
  if (!serves) left(at);
}

void connection_threads::left(slot& s) {
  const std::lock_guard lock(mutex_);
  // What the handler has spawned needs the thread until it has ended: see own_work_ended().
  const bool enough = idle_.size() >= idle_threads && !s.thread.home().has_own_work();
  (enough ? resting_ : idle_).push_back(&s);
  if (enough) s.thread.rest();
}

void connection_threads::own_work_ended(slot& s) {
  const std::lock_guard lock(mutex_);
  if (idle_.size() <= idle_threads) return;
  const auto at = std::find(idle_.begin(), idle_.end(), &s);
  if (at == idle_.end()) return;  // it has a connection
  idle_.erase(at);
  resting_.push_back(&s);
  s.thread.rest();
}

void connection_threads::each(standing_post slot::* told) noexcept {
  const std::lock_guard lock(mutex_);
  for (slot& s : slots_) {
    (s.*told).post();
    s.thread.home().interrupt(wake_up);
  }
}

void connection_threads::tell(std::chrono::milliseconds grace) noexcept {
  grace_ = grace;
  each(&slot::tell);
}

void connection_threads::cancel() noexcept { each(&slot::cancel); }

void connection_threads::set_idle_timeout(std::chrono::milliseconds t) noexcept {
  const std::lock_guard lock(mutex_);
  settings_.limits.idle_timeout = t;
  for (slot& s : slots_) s.at->set_idle_timeout(t);
}

void connection_threads::stop() noexcept {
  for (slot& s : slots_) s.thread.home().stop();
  // All at once: those that are in a call then end side by side, however many they are.
  for (slot& s : slots_) s.thread.home().interrupt(wake_up);
  for (slot& s : slots_) s.thread.stop(wake_up);
}

std::uint64_t connection_threads::refused() const noexcept {
  const std::lock_guard lock(mutex_);
  std::uint64_t sum = 0;
  for (const slot& s : slots_) sum += s.at->refused();
  return sum;
}

std::uint64_t connection_threads::dropped() const noexcept {
  const std::lock_guard lock(mutex_);
  std::uint64_t sum = 0;
  for (const slot& s : slots_) sum += s.at->dropped();
  return sum;
}

std::size_t connection_threads::threads() const noexcept {
  const std::lock_guard lock(mutex_);
  return slots_.size() - resting_.size();
}

}  // namespace weir
