// What a supervisor does when it is told to: stop, drain, reload, resize, upgrade. Its loop is in
// supervisor.cpp.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <exception>
#include <utility>

#include "weir/base/log.hpp"
#include "weir/config/detail/names.hpp"
#include "weir/process/detail/service_manager.hpp"
#include "weir/process/detail/supervisor.hpp"

namespace weir::process {
namespace {

using namespace std::chrono_literals;

constexpr auto stop_grace = 2s;     // a worker that has not left by then is killed
constexpr auto last_grace = 200ms;  // the same, after a second order to stop

// A terminal sends SIGWINCH to its foreground processes when its window changes: not meant as a command.
bool in_foreground_of_terminal() {
  const unique_fd terminal(::open("/dev/tty", O_RDONLY | O_CLOEXEC | O_NOCTTY));
  return terminal && ::tcgetpgrp(terminal.get()) == ::getpgrp();
}

}  // namespace

void supervisor::obey(const signal_row& row) {
  if (row.meaning == command::drain_workers && in_foreground_of_terminal()) return;
  if (row.meaning == command::stop || row.meaning == command::drain) return begin_end(row.number);
  log::info("SIG{}: {}", ::sigabbrev_np(row.number), row.effect);
  switch (row.meaning) {
    case command::stop:
    case command::drain: break;
    case command::reload: return begin_reload();
    case command::upgrade: return begin_upgrade();
    case command::drain_workers:
    case command::one_more:
    case command::one_fewer: return change_workers(row.meaning);
    case command::reopen_log: return reopen_log();
  }
}

// Workers may lack the right to make the file, so the master opens it first. They are told whether or not
// that failed.
void supervisor::reopen_log() {
  try {
    if (program_.reopen_log) program_.reopen_log();
  } catch (const std::exception& e) {
    log::error("{}", e.what());
  }
  for (auto& m : workers_) m.process.signal(SIGUSR1);
}

void supervisor::change_workers(command c) {
  if (ending_ != end_order::none) return;
  if (coming_)
    deferred_.add(c);
  else
    resize(resized(wanted_, c));
}

void supervisor::begin_end(int signal) {
  const auto delay = settings_.limits.drain_delay;
  // A worker that serves may not have said so yet.
  const auto how = next_order(ending_, signal == SIGQUIT,
                              {.delays = delay.count() != 0 && !workers_.empty(), .first_signal_cuts = true});
  if (how == end_order::leave)
    log::info("SIG{}: stopping in {} ms: until then clients are served, and told", ::sigabbrev_np(signal),
              delay.count());
  else
    log::info("SIG{}: {}", ::sigabbrev_np(signal),
              row_of_signal(how == end_order::drain ? SIGQUIT : SIGTERM)->effect);
  end(how);
}

// With limits.drain_delay the pool serves on at first; beside another program, which serves its clients, only
// what is connected is served on. What fails is done again: `ending_` is what has been done.
void supervisor::end(end_order how) {
  if (ending_ == end_order::none) {
    if (how == end_order::leave && coming_) {
      deferred_ = {};
      finish_reload(false);
    }
    if (!siblings_.any()) tell_service_manager("STOPPING=1");
  }
  const auto delay = how == end_order::leave ? settings_.limits.drain_delay : 0ms;
  const bool serves_on = how == end_order::leave && !siblings_.any();
  if (!serves_on && !ends_) {
    if (program_.ending) program_.ending();
    if (!siblings_.any() || how >= end_order::cut) dispatcher_.parked().clear();
    give_until_ = clock::now() + delay + settings_.limits.drain_timeout + stop_grace;
    ends_ = true;
  }
  for (auto& m : workers_) {
    if (serves_on)
      tell_drain(m, message::kind::service_leaves);
    else
      leave(m, how);
    if (how == end_order::cut_again) m.kill_at = std::min(m.kill_at, clock::now() + last_grace);
  }
  ending_ = how;
  drain_at_ = how == end_order::leave ? clock::now() + delay : clock::time_point::max();
  if (ends_)
    while (passed_connection connection = dispatcher_.take_waiting()) park_or_cut(std::move(connection));
}

void supervisor::end_delays(clock::time_point now) {
  if (drain_at_ <= now) end(end_order::drain);
  for (auto& m : workers_)
    if (m.drain_at <= now) leave(m, end_order::drain);
}

// A connection that no worker has, and none will get any more.
void supervisor::park_or_cut(passed_connection connection) {
  if (ending_ <= end_order::drain && siblings_.any())
    park(std::move(connection));
  else
    cut_ = true;
}

// An order to drain that is repeated ends the delay before it, and then changes nothing; only one to stop
// cuts what has been begun. A worker that has clients is told before it drains, so that they may leave by
// themselves.
void supervisor::leave(worker& m, end_order how) {
  if (m.process.get() < 0) return;  // it has ended, and is about to be forgotten
  const bool leaves_already = m.at == stage::leaving;
  if (how == end_order::leave && leaves_already) return;
  const bool retires = how == end_order::leave && m.at == stage::serving;
  const auto delay = retires ? settings_.limits.drain_delay : 0ms;
  const auto grace = how >= end_order::cut ? stop_grace : delay + m.drain_timeout + stop_grace;
  const bool was_told_to_drain = leaves_already && m.drain_at == clock::time_point::max();
  m.takes = false;
  m.at = stage::leaving;
  m.kill_at = std::min(m.kill_at, clock::now() + grace);
  m.drain_at = delay.count() != 0 ? clock::now() + delay : clock::time_point::max();
  m.score->now = worker_score::state::draining;
  dispatcher_.drains(m);
  if (how >= end_order::cut) {
    m.outgoing.send(m.channel, {message::kind::cut, 0});
    m.process.signal(SIGTERM);
  } else if (delay.count() != 0) {
    tell_drain(m, message::kind::retire);
  } else if (!was_told_to_drain) {
    tell_drain(m, message::kind::drain);
  }
}

// Behind the connections that are on their way to it.
void supervisor::tell_drain(worker& m, message::kind what) {
  const std::uint32_t all = what == message::kind::drain && ends_ && !siblings_.any() ? 1 : 0;
  if (m.outgoing.send(m.channel, {what, all}) != descriptor_channel::sent::gone) return;
  if (what == message::kind::service_leaves) return;  // a worker that has not heard it serves on
  // It would ask this master for the message that cannot be sent. With the channel closed it drains by
  // itself.
  m.channel.close();
  m.process.signal(SIGQUIT);
}

void supervisor::resize(unsigned workers) {
  if (workers == wanted_) return;
  try {
    if (program_.resized) program_.resized(workers);
  } catch (const std::exception& e) {
    return log::error("the number of workers stays {}: {}", wanted_, e.what());
  }
  wanted_ = workers;
  not_before_.resize(std::max<std::size_t>(not_before_.size(), wanted_));
  for (auto& m : workers_)
    if (m.index >= wanted_) leave(m, end_order::leave);
  fill();
}

void supervisor::begin_reload() {
  if (ending_ != end_order::none) return;
  if (coming_) return deferred_.add(command::reload);
  tell_reloading();
  auto fresh = program_.reload ? program_.reload() : std::nullopt;
  if (!fresh) return tell_service_manager("READY=1");
  coming_.emplace(coming_generation{++last_generation_, *std::move(fresh)});
  const unsigned count = coming_->with.processes.count;
  not_before_.resize(std::max<std::size_t>(not_before_.size(), count));
  for (unsigned i = 0; i < count; ++i) start(i, coming_->number);
  look_at_reload();
}

// A reload has ended when none of its workers is still starting.
void supervisor::look_at_reload() {
  if (!coming_ || ending_ != end_order::none) return;
  switch (workers_.progress_of(coming_->number)) {
    case worker_table::progress::starting: return;
    case worker_table::progress::serves: return finish_reload(true);
    case worker_table::progress::failed: return finish_reload(false);
  }
}

void supervisor::finish_reload(bool taken) {
  const unsigned leaving = taken ? generation_ : coming_->number;
  if (taken) {
    generation_ = coming_->number;
    settings_ = coming_->with;
    dispatcher_.configure(settings_);
    wanted_ = settings_.processes.count;
    next_tick_ = clock::now();
    history_.young_deaths = 0;
    std::fill(not_before_.begin(), not_before_.end(), clock::time_point());
    board_.pool().generation = generation_;
    board_.pool().io = settings_.io;
    board_.pool().reloads.fetch_add(1);
    log::info("generation {} serves with {} workers; generation {} drains", generation_, wanted_, leaving);
  }
  coming_.reset();
  for (auto& m : workers_)
    if (m.generation == leaving) leave(m, taken ? end_order::leave : end_order::cut);
  try {
    if (program_.reloaded) program_.reloaded(taken);
  } catch (const std::exception& e) {
    log::error("{}", e.what());
  }
  announce();
  obey_deferred();
}

// What was commanded while the reload was pending.
void supervisor::obey_deferred() {
  if (ending_ != end_order::none) return;
  if (deferred_.take_reload()) begin_reload();
  if (coming_) return;
  resize(std::exchange(deferred_, {}).apply_to(wanted_));
}

void supervisor::begin_upgrade() {
  if (ending_ != end_order::none || !program_.itself) return;
  if (siblings_.any())
    return log::warning("no upgrade: the {} program is still there",
                        siblings_.has_successor() ? "new" : "old");
  if (program_.handing_over) program_.handing_over();
  try {
    siblings_.start(*program_.itself, program_.sockets(), name_of(settings_.processes.accept));
  } catch (const std::exception& e) {
    log::error("no upgrade: {}", e.what());
    if (program_.alone) program_.alone();
  }
}

}  // namespace weir::process
