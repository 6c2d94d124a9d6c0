// Longer than others: signals, workers, reloads and upgrades are states of one loop, and read best beside
// each other.
#include "weir/process/detail/supervisor.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <span>
#include <system_error>

#include "weir/base/error.hpp"
#include "weir/base/log.hpp"
#include "weir/config/detail/names.hpp"
#include "weir/process/detail/service_manager.hpp"

namespace weir::process {
namespace {

using namespace std::chrono_literals;

constexpr unsigned ticks_until_stuck = 4;
constexpr auto stop_grace = 2s;  // what has not left by then is killed

std::atomic<bool> in_use{false};

double seconds(std::chrono::steady_clock::duration d) { return std::chrono::duration<double>(d).count(); }

std::int64_t milliseconds(std::chrono::steady_clock::time_point at) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(at.time_since_epoch()).count();
}

// Connections that belong to nobody may not take the descriptors that the master itself needs.
std::uint32_t room_for_parked() {
  constexpr ::rlim_t own = 1024;
  ::rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur <= own) return 0;
  return static_cast<std::uint32_t>(std::min<::rlim_t>(limit.rlim_cur - own, 1'000'000));
}

// A terminal sends SIGWINCH to what runs in its foreground when its window changes: not meant as a command.
bool in_foreground_of_terminal() {
  const unique_fd terminal(::open("/dev/tty", O_RDONLY | O_CLOEXEC | O_NOCTTY));
  return terminal && ::tcgetpgrp(terminal.get()) == ::getpgrp();
}

}  // namespace

supervisor::supervisor(const settings& s, pool_program program)
    : settings_(s), program_(std::move(program)), dispatcher_(s), wanted_(s.processes.count) {
  // An inherited SIG_IGN would have the system reap children before anybody learns how they ended.
  static_cast<void>(std::signal(SIGCHLD, SIG_DFL));
  timer_ = unique_fd(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer_) throw_system_error(errno, "timerfd_create");
  board_.pool().master = ::getpid();
  board_.pool().generation = generation_;
  board_.pool().started = milliseconds(clock::now());
  board_.pool().parked_most = room_for_parked();
  next_tick_ = clock::now();
  if (program_.from) siblings_ = siblings(*program_.from);
}

supervisor::claim::claim() {
  if (in_use.exchange(true))
    throw_system_error(EBUSY, "a second process pool in one process (signals belong to the process)");
}

supervisor::claim::~claim() { in_use = false; }

bool supervisor::run() {
  for (unsigned i = 0; i < wanted_; ++i) start(i, generation_);
  while (ending_ == ending::no || !members_.empty() || gives()) wait();
  signals_.keep_blocked();
  return !failed_;
}

// The other master shall serve those that belong to nobody; without one they find the end.
bool supervisor::gives() noexcept {
  return ending_ == ending::draining && dispatcher_.parked().size() != 0 && siblings_.heir() != nullptr &&
         clock::now() < give_until_;
}

void supervisor::wait() {
  std::vector<::pollfd> set{{signals_.get(), POLLIN, 0}, {timer_.get(), POLLIN, 0}};
  siblings_.add_to(set, gives());
  const std::size_t members_at = set.size();
  for (const auto& m : members_) {
    set.push_back({m.process.get(), POLLIN, 0});
    set.push_back({m.channel.get(), POLLIN, 0});
  }
  const auto listeners_at = set.size();
  const auto listeners = watched();
  dispatcher_.add_to(set, listeners, lanes());
  set_timer();
  if (::ppoll(set.data(), set.size(), nullptr, nullptr) < 0) {
    if (errno != EINTR) throw_system_error(errno, "ppoll");
    return;
  }

  // Signals first: a worker that a terminal's Ctrl-C has ended is then expected to have ended.
  bool obeyed = false;
  while (const auto signal = signals_.next()) {
    if (signal->number == io_signal()) {
      dispatcher_.parked().stirred(signal->fd);
    } else if (signal->number == SIGIO) {
      dispatcher_.parked().any_stirred();
    } else if (signal->number == SIGCHLD) {
      look_for_stopped();
    } else {
      obey(signal->number);
      obeyed = true;
    }
  }
  look_after_siblings();
  std::size_t i = members_at;
  for (auto m = members_.begin(); m != members_.end() && i < listeners_at; i += 2) {
    if (set[i + 1].revents != 0) take_messages(*m);
    const auto how = set[i].revents != 0 ? m->process.reap() : std::nullopt;
    if (how) {
      take_messages(*m);  // its last words
      has_ended(*m, *how);
      dispatcher_.lost(*m);
      m = members_.erase(m);
    } else {
      ++m;
    }
  }
  // A command may have closed or opened listeners.
  if (!obeyed && listeners == watched())
    dispatcher_.serve(std::span(set).subspan(listeners_at), listeners, lanes());
  tick();
}

void supervisor::set_timer() {
  const auto next = next_event();
  const bool never = next == clock::time_point::max();
  const auto at = std::max(next, clock::now() + 1us).time_since_epoch();
  const auto whole = std::chrono::duration_cast<std::chrono::seconds>(at);
  const ::itimerspec when{
      {}, {never ? 0 : whole.count(), never ? 0 : std::chrono::nanoseconds(at - whole).count()}};
  ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &when, nullptr);
}

// Those among which a connection is placed.
std::vector<lane*> supervisor::lanes() {
  std::vector<lane*> out(wanted_, nullptr);
  for (auto& m : members_)
    if (m.generation == generation_ && m.takes && m.index < wanted_) out[m.index] = &m;
  return out;
}

std::vector<int> supervisor::watched() const {
  if (!program_.watched || ending_ != ending::no) return {};
  std::vector<bool> occupied;
  // What a worker's own socket has while the worker does not look at it is served by the others.
  for (unsigned i = 0; i < wanted_; ++i) {
    const member* const m = at_slot(i);
    occupied.push_back(m != nullptr && m->score->passed_over == 0);
  }
  return program_.watched(occupied);
}

supervisor::clock::time_point supervisor::next_event() const noexcept {
  auto at = settings_.processes.stuck_timeout.count() > 0 && !members_.empty() ? next_tick_
                                                                               : clock::time_point::max();
  at = std::min({at, dispatcher_.next_event(), watchdog_.next()});
  if (clock::now() < give_until_) at = std::min(at, give_until_);
  for (const auto& m : members_) at = std::min(at, m.kill_at);
  if (ending_ == ending::no && coming_ == 0)
    for (unsigned i = 0; i < wanted_; ++i)
      if (at_slot(i) == nullptr) at = std::min(at, not_before_[i]);
  return at;
}

// Who serves, or is about to, in the present generation.
const supervisor::member* supervisor::at_slot(unsigned index) const noexcept {
  for (const auto& m : members_)
    if (m.index == index && m.generation == generation_ && m.at != stage::leaving) return &m;
  return nullptr;
}

void supervisor::obey(int signal) {
  const signal_row* const row = row_of_signal(signal);
  if (row == nullptr) return;
  if (row->meaning == command::drain_workers && in_foreground_of_terminal()) return;
  log::info("SIG{}: {}", ::sigabbrev_np(signal), row->effect);
  switch (row->meaning) {
    case command::stop: return end(ending::stopping);
    case command::drain: return end(ending::draining);
    case command::reload: return begin_reload();
    case command::reopen_log:
      if (program_.reopen_log) program_.reopen_log();
      for (auto& m : members_) m.process.signal(SIGUSR1);
      return;
    case command::drain_workers: return resize(0);
    case command::one_more: return resize(wanted_ + 1);
    case command::one_fewer: return resize(std::max(wanted_, 2U) - 1);
    case command::upgrade: return begin_upgrade();
  }
}

void supervisor::end(ending how) {
  if (ending_ == ending::no) {
    if (!siblings_.any()) tell_service_manager("STOPPING=1");
    if (program_.ending) program_.ending();
    if (!siblings_.any() || how == ending::stopping) dispatcher_.parked().clear();
    give_until_ = clock::now() + settings_.limits.drain_timeout + stop_grace;
  }
  ending_ = std::max(ending_, how);
  for (auto& m : members_) leave(m, ending_);
}

void supervisor::leave(member& m, ending how) {
  if (m.process.get() < 0) return;  // it has ended, and is about to be forgotten
  const auto grace = how == ending::stopping ? stop_grace : m.drain_timeout + stop_grace;
  m.takes = false;
  // Behind the connections that are on their way to it.
  if (how == ending::stopping || m.channel.send({message::kind::drain, 0}) != descriptor_channel::sent::yes)
    m.process.signal(how == ending::stopping ? SIGTERM : SIGQUIT);
  m.kill_at = std::min(m.kill_at, clock::now() + grace);
  m.at = stage::leaving;
  m.score->now = worker_score::state::draining;
}

void supervisor::start(unsigned index, unsigned generation) {
  if (not_before_.size() <= index) not_before_.resize(index + 1);
  const settings& with = generation == coming_ ? *coming_settings_ : settings_;
  worker_score* const score = board_.take();
  try {
    if (score == nullptr) throw_system_error(EAGAIN, "the scoreboard is full");
    auto ends = descriptor_channel::make();
    score->index = index;
    score->generation = generation;
    child_process process([&] {
      ends.first.close();
      return be_worker(index, generation, *score, ends.second);
    });
    score->started = milliseconds(process.started());
    score->pid = process.pid();
    lane way;
    way.index = index;
    way.channel = std::move(ends.first);
    way.score = score;
    members_.push_back({std::move(way), std::move(process), generation, with.limits.drain_timeout});
  } catch (const std::system_error& e) {
    if (score != nullptr) scoreboard::give_back(*score);
    if (!history_.ever_served) throw;
    log::error("worker {} cannot be started: {}", index, e.what());
    not_before_[index] = clock::now() + 500ms;
  }
}

// In the child: what is the master's or another worker's is closed.
int supervisor::be_worker(unsigned index, unsigned generation, worker_score& score,
                          descriptor_channel& to_master) {
  for (auto& m : members_) {
    m.process.disown();
    m.channel.close();
    m.unacknowledged.clear();
  }
  dispatcher_.disown();
  siblings_.disown();
  board_.disown();
  timer_.reset();
  signals_.give_back();
  return program_.work({index, generation, score, board_, to_master, signals_});
}

void supervisor::take_messages(member& m) {
  for (;;) {
    auto got = m.channel.receive();
    switch (got.what) {
      case descriptor_channel::received::kind::nothing: return;
      case descriptor_channel::received::kind::end: return m.channel.close();
      case descriptor_channel::received::kind::rejected:
        m.channel.send({message::kind::placed, 0});  // it is lost, and must not be waited for
        continue;
      case descriptor_channel::received::kind::taken: break;
    }
    switch (got.content.what) {
      case message::kind::serving: serving(m); break;
      case message::kind::leaving:
        if (m.at != stage::leaving) leave(m, ending::draining);
        break;
      case message::kind::parked: park(std::move(got.fd)); break;
      case message::kind::taken: dispatcher::acknowledged(m, got.content.number); break;
      case message::kind::connection: take_excess(m, std::move(got.fd)); break;
      case message::kind::answered: dispatcher_.answered(m, got.content.number); break;
      default: break;
    }
  }
}

void supervisor::serving(member& m) {
  if (m.at != stage::starting) return;
  m.at = stage::serving;
  m.takes = m.has_served = history_.ever_served = true;
  m.score->now = worker_score::state::serving;
  const auto serves = [&](const member& each) {
    return each.generation != coming_ || each.at == stage::serving;
  };
  if (!std::all_of(members_.begin(), members_.end(), serves)) return;
  if (coming_ != 0) return finish_reload(true);
  const auto has_started = [](const member& each) { return each.at != stage::starting; };
  if (!ready_ && std::all_of(members_.begin(), members_.end(), has_started)) announce();
}

void supervisor::announce() {
  tell_service_manager(fmt::format("MAINPID={}\nREADY=1\nSTATUS={} workers serve", ::getpid(), wanted_));
  if (!std::exchange(ready_, true)) siblings_.tell_serving();
}

// A connection belongs to nobody.
void supervisor::park(unique_fd connection) {
  if (!connection) return;
  if (ending_ != ending::no && (!siblings_.any() || ending_ == ending::stopping)) return;
  dispatcher_.parked().add(std::move(connection));
}

// The worker does not end before it has the answer, so what no other worker takes can go back to it.
void supervisor::take_excess(member& m, unique_fd connection) {
  if (const auto all = lanes();
      std::any_of(all.begin(), all.end(), [](const lane* l) { return l != nullptr; }))
    dispatcher_.place(std::move(connection));
  else if (connection)
    dispatcher_.give(m, connection);
  m.channel.send({message::kind::placed, 0});
}

void supervisor::begin_upgrade() {
  if (ending_ != ending::no || !program_.itself) return;
  if (siblings_.any())
    return log::warning("no upgrade: the {} program is still there",
                        siblings_.has_successor() ? "new" : "old");
  if (program_.handing_over) program_.handing_over();
  try {
    siblings_.start(*program_.itself, program_.sockets(), name_of(settings_.processes.accept));
  } catch (const std::system_error& e) {
    log::error("no upgrade: {}", e.what());
    if (program_.alone) program_.alone();
  }
}

void supervisor::look_after_siblings() {
  if (siblings_.listen([this](unique_fd connection) { park(std::move(connection)); }) && !siblings_.any()) {
    tell_service_manager(fmt::format("MAINPID={}", ::getpid()));
    if (program_.alone) program_.alone();
  }
  if (gives()) dispatcher_.parked().give_to(*siblings_.heir());
}

void supervisor::has_ended(member& m, const exit_reason& how) {
  scoreboard::give_back(*m.score);
  const auto now = clock::now();
  const auto lived = now - m.process.started();
  if (m.at == stage::leaving) {
    if (how.is_clean())
      log::info("worker {} of generation {} has left", m.index, m.generation);
    else
      log::warning("worker {} of generation {} was to leave and ended with {}", m.index, m.generation,
                   how.to_string());
    return;
  }
  const auto told = fmt::format("worker {} of generation {} ended with {} after {:.1f} s", m.index,
                                m.generation, how.to_string(), seconds(lived));
  if (coming_ != 0 && m.generation == coming_) {
    log::error("{}; the reload is given up", told);
    m.at = stage::leaving;
    return finish_reload(false);
  }
  const auto decision = decide_restart(
      history_, {now, std::chrono::duration_cast<std::chrono::milliseconds>(lived), m.has_served, how});
  history_ = decision.history;
  if (decision.what == restart_decision::kind::give_up) {
    log::error("{}; no worker has ever served, so this pool ends", told);
    failed_ = true;
    m.at = stage::leaving;
    return end(ending::stopping);
  }
  log::warning("{}; it is replaced {}", told,
               decision.delay == 0ms ? "at once" : fmt::format("in {} ms", decision.delay.count()));
  not_before_[m.index] = now + decision.delay;
  board_.pool().restarts.fetch_add(1);
  m.at = stage::leaving;
}

void supervisor::tick() {
  const auto now = clock::now();
  for (auto& m : members_) {
    if (m.kill_at > now) continue;
    log::warning("worker {} of generation {} has not left in time and is killed", m.index, m.generation);
    m.process.signal(SIGKILL);
    m.kill_at = clock::time_point::max();
  }
  if (settings_.processes.stuck_timeout.count() > 0 && now >= next_tick_) {
    next_tick_ = now + settings_.processes.stuck_timeout / ticks_until_stuck;
    listen_for_beats();
  }
  board_.pool().parked = static_cast<std::uint32_t>(dispatcher_.parked().size());
  watchdog_.tell_if_due(is_alive());
  fill();
}

// Alive is a pool that serves, not a master that turns.
bool supervisor::is_alive() const noexcept {
  return wanted_ == 0 || ending_ != ending::no ||
         std::any_of(members_.begin(), members_.end(), [](const member& m) {
           return m.at == stage::serving && m.silent_ticks < ticks_until_stuck;
         });
}

// Counted in ticks of this loop instead of time: a pool that was stopped as a whole is not stuck.
void supervisor::listen_for_beats() {
  for (auto& m : members_) {
    const auto beats = m.score->beats.load();
    m.silent_ticks = beats == m.beats ? m.silent_ticks + 1 : 0;
    m.beats = beats;
    judge(m);
    if (m.at == stage::leaving) continue;
    if (m.silent_ticks == ticks_until_stuck / 2)
      log::warning("worker {} (pid {}) is stuck: a loop of it does not turn", m.index, m.process.pid());
    if (m.silent_ticks <= ticks_until_stuck) continue;
    log::error("worker {} (pid {}) has been stuck for {} ms and is killed", m.index, m.process.pid(),
               settings_.processes.stuck_timeout.count());
    m.process.signal(SIGKILL);
  }
}

void supervisor::look_for_stopped() {
  for (auto& m : members_) {
    const auto is_stopped = m.process.stopped();
    if (!is_stopped) continue;
    m.stopped = *is_stopped;
    judge(m);
  }
}

// A worker that cannot take connections is passed over, in every mode, until it can.
void supervisor::judge(member& m) {
  const bool passed_over = m.stopped || m.silent_ticks >= ticks_until_stuck / 2;
  if (m.score->passed_over.exchange(passed_over ? 1 : 0) == (passed_over ? 1 : 0)) return;
  if (passed_over) dispatcher_.passed_over(m);
  board_.wake_standing_back();
}

void supervisor::fill() {
  if (ending_ != ending::no || coming_ != 0) return;
  const auto now = clock::now();
  for (unsigned i = 0; i < wanted_; ++i)
    if (at_slot(i) == nullptr && not_before_[i] <= now) start(i, generation_);
}

void supervisor::resize(unsigned workers) {
  if (ending_ != ending::no || coming_ != 0) return;
  workers = std::min(workers, 256U);
  try {
    if (program_.resized) program_.resized(workers);
  } catch (const std::system_error& e) {
    return log::error("the number of workers stays {}: {}", wanted_, e.what());
  }
  wanted_ = workers;
  not_before_.resize(std::max<std::size_t>(not_before_.size(), wanted_));
  for (auto& m : members_)
    if (m.index >= wanted_ && m.at != stage::leaving) leave(m, ending::draining);
  fill();
}

void supervisor::begin_reload() {
  if (ending_ != ending::no) return;
  reload_again_ = coming_ != 0;
  if (reload_again_) return;
  tell_reloading();
  coming_settings_ = program_.reload ? program_.reload() : std::nullopt;
  if (!coming_settings_) return tell_service_manager("READY=1");
  coming_ = ++last_generation_;
  for (unsigned i = 0; i < coming_settings_->processes.count; ++i) start(i, coming_);
  if (std::none_of(members_.begin(), members_.end(),
                   [&](const member& m) { return m.generation == coming_; }))
    finish_reload(false);
}

void supervisor::finish_reload(bool taken) {
  const unsigned leaving = taken ? generation_ : coming_;
  if (taken) {
    generation_ = coming_;
    settings_ = *coming_settings_;
    dispatcher_.configure(settings_);
    wanted_ = settings_.processes.count;
    next_tick_ = clock::now();
    history_.young_deaths = 0;
    std::fill(not_before_.begin(), not_before_.end(), clock::time_point());
    board_.pool().generation = generation_;
    board_.pool().reloads.fetch_add(1);
    log::info("generation {} serves with {} workers; generation {} drains", generation_, wanted_, leaving);
  }
  coming_ = 0;
  coming_settings_.reset();
  for (auto& m : members_)
    if (m.generation == leaving && m.at != stage::leaving)
      leave(m, taken ? ending::draining : ending::stopping);
  if (program_.reloaded) program_.reloaded(taken);
  announce();
  if (std::exchange(reload_again_, false)) begin_reload();
}

}  // namespace weir::process
