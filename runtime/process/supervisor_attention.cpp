// How a supervisor sees to it that what waits for a worker is served although the worker does not turn.
#include <poll.h>

#include "weir/base/log.hpp"
#include "weir/process/detail/foreign_children.hpp"
#include "weir/process/detail/supervisor.hpp"

namespace weir::process {

using namespace std::chrono_literals;

void supervisor::tick() {
  const auto now = clock::now();
  end_delays(now);
  workers_.kill_overdue(now);
  if (settings_.processes.stuck_timeout.count() > 0 && now >= next_tick_) {
    next_tick_ = now + settings_.processes.stuck_timeout / worker_table::ticks_until_stuck;
    workers_.listen_for_beats(settings_.processes.stuck_timeout);
    pass_over();
  }
  if (now >= next_check()) {
    checked_ = now;
    program_.check_placement();
  }
  look_for_held();
  board_.pool().parked = static_cast<std::uint32_t>(dispatcher_.parked().size());
  watchdog_.tell_if_due(is_alive());
  fill();
}

// Whatever it is, it shows that core 0's loop turns; an answer to `ask` shows it of all loops.
void supervisor::has_spoken(worker& m) {
  m.has_spoken();
  if (!m.is_held || m.was_asked) return;
  m.is_held = false;
  log::debug("worker {} (pid {}) turns again", m.index, m.process.pid());
  pass_over();
}

void supervisor::ask(worker& m) {
  if (m.was_asked || m.outgoing.send(m.channel, {message::kind::ask, 0}) == descriptor_channel::sent::gone)
    return;
  m.was_asked = true;
  ++m.answers_owed;
  m.owes_answer();
}

// While no other worker can serve in its place, what it owes waits.
void supervisor::look_for_held() {
  const auto now = clock::now();
  bool any = false;
  for (auto& m : workers_) {
    if (m.silent_since == clock::time_point::max() || now < m.silent_since + worker::patience ||
        m.is_passed_over())
      continue;
    m.is_held = dispatcher_.may_choose_another() && workers_.any_attentive_beside(m, generation_);
    any |= m.is_held;
    m.silent_since = now;
    if (m.is_held)
      log::debug("worker {} (pid {}) is held: others serve what waits for it", m.index, m.process.pid());
  }
  if (any) pass_over();
}

// All children of a master but its workers and the program that takes over are orphans, or were there before
// this program was executed.
void supervisor::reap_foreign() {
  if (!child_ended_ || !adopts_orphans()) return;
  child_ended_ = reap_foreign_children(
      [this](::pid_t pid) { return workers_.has_process(pid) || siblings_.has_process(pid); });
}

// A worker that is stopped, stuck or held gets no connections in any mode. What it was told of, and what it
// has not received, is for the other workers.
void supervisor::pass_over() {
  for (auto& m : workers_) {
    const bool now = m.is_passed_over();
    if (m.score->passed_over.exchange(now ? 1 : 0) == (now ? 1U : 0U)) continue;
    board_.wake_standing_back();
    if (!now) continue;
    dispatcher_.drains(m);
    dispatcher_.recall(m);
    if (m.is_held) ask(m);  // nothing else that it would answer may be left
    for (auto& other : workers_)
      if (other.is_attentive()) other.outgoing.send(other.channel, {message::kind::look_again, 0});
  }
}

// In mode reuseport only a worker itself looks at its sockets. The master does, too: a client that waits
// there makes it ask the worker, at most once in `patience`.
void supervisor::watch_listeners_of_workers(std::vector<::pollfd>& set) {
  looked_at_.clear();
  if (!program_.own_listeners || ends_) return;
  const auto now = clock::now();
  for (auto& m : workers_) {
    if (m.generation != generation_ || !m.is_attentive() || m.was_asked || now < m.look_at ||
        !workers_.any_attentive_beside(m, generation_))
      continue;
    for (const int fd : program_.own_listeners(m.index)) {
      set.push_back({fd, POLLIN, 0});
      looked_at_.push_back(&m);
    }
  }
}

void supervisor::ask_where_clients_wait(std::span<const ::pollfd> ready) {
  for (std::size_t i = 0; i < ready.size(); ++i) {
    if (ready[i].revents == 0) continue;
    worker& m = *looked_at_[i];
    m.look_at = clock::now() + worker::patience;
    ask(m);
  }
}

// Idle workers owe nothing and are looked at already: then there is nothing to wake up for.
supervisor::clock::time_point supervisor::next_look() const noexcept {
  auto at = clock::time_point::max();
  const auto now = clock::now();
  for (const auto& m : workers_) {
    if (m.silent_since != clock::time_point::max() && !m.is_passed_over())
      at = std::min(at, m.silent_since + worker::patience);
    if (m.look_at > now) at = std::min(at, m.look_at);
  }
  return at;
}

// A pool is alive if it serves, not if its master turns.
bool supervisor::is_alive() const noexcept { return wanted_ == 0 || ends_ || workers_.any_alive(); }

}  // namespace weir::process
