#include "weir/process/detail/supervisor.hpp"

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

#include "pause.hpp"
#include "weir/base/error.hpp"
#include "weir/base/log.hpp"
#include "weir/process/detail/service_manager.hpp"

namespace weir::process {
namespace {

using namespace std::chrono_literals;

std::atomic<bool> in_use{false};

double seconds(std::chrono::steady_clock::duration d) { return std::chrono::duration<double>(d).count(); }

std::int64_t milliseconds(std::chrono::steady_clock::time_point at) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(at.time_since_epoch()).count();
}

// Parked connections may not take the descriptors that the master itself needs.
std::uint32_t room_for_parked() {
  constexpr ::rlim_t own = 1024;
  ::rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur <= own) return 0;
  return static_cast<std::uint32_t>(std::min<::rlim_t>(limit.rlim_cur - own, 1'000'000));
}

// A quarter of what this process may open: for connections that workers hand on.
std::size_t room_for_excess() {
  ::rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  return static_cast<std::size_t>(std::min<::rlim_t>(limit.rlim_cur / 4, 1'000'000));
}

}  // namespace

supervisor::supervisor(const settings& s, pool_program program)
    : settings_(s),
      program_(std::move(program)),
      dispatcher_(s),
      not_before_(s.processes.count),
      wanted_(s.processes.count) {
  // With an inherited SIG_IGN the kernel would reap children, and how they ended would be lost.
  static_cast<void>(std::signal(SIGCHLD, SIG_DFL));
  timer_ = unique_fd(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer_) throw_system_error(errno, "timerfd_create");
  board_.pool().generation = generation_;
  board_.describe(s);
  board_.pool().parked_most = room_for_parked();
  next_tick_ = clock::now();
  if (program_.from) siblings_ = siblings(*program_.from);
}

supervisor::claim::claim() {
  if (in_use.exchange(true))
    throw_system_error(EBUSY, "a second process pool in one process (signals belong to the process)");
}

supervisor::claim::~claim() { in_use = false; }

supervisor::outcome supervisor::run() {
  fill();
  while (!ends_ || !workers_.empty() || gives()) {
    try {
      wait();
    } catch (const std::exception& e) {
      survive(e);
    }
  }
  signals_.keep_blocked();
  if (failed_) return outcome::never_served;
  return cut_ ? outcome::cut_connections : outcome::stopped;
}

// What failed in this turn is tried again in the next one, as its event is still there.
void supervisor::survive(const std::exception& e) noexcept {
  try {
    if (const auto held_back = failures_.pass())
      log::error("the master goes on after: {} ({} more since the last line)", e.what(), *held_back);
  } catch (...) {  // no memory for the line
  }
  pause_for_shortage();
}

// Parked connections are for the other master; without one they find the end.
bool supervisor::gives() noexcept {
  return ends_ && ending_ <= end_order::drain && dispatcher_.parked().size() != 0 &&
         siblings_.heir() != nullptr && clock::now() < give_until_;
}

void supervisor::wait() {
  std::vector<::pollfd> set{{signals_.get(), POLLIN, 0}, {timer_.get(), POLLIN, 0}};
  siblings_.add_to(set, gives());
  const std::size_t workers_at = set.size();
  for (const auto& m : workers_) {
    set.push_back({m.process.get(), POLLIN, 0});
    set.push_back({m.channel.get(), static_cast<short>(m.outgoing.empty() ? POLLIN : POLLIN | POLLOUT), 0});
  }
  const auto looks_at = set.size();
  watch_listeners_of_workers(set);
  const auto listeners_at = set.size();
  const auto listeners = watched();
  dispatcher_.add_to(set, listeners, workers_.lanes(generation_, wanted_));
  std::size_t held = dispatcher_.waiting();
  for (const auto& m : workers_) held += m.unacknowledged.size();
  const std::size_t room = room_for_excess();
  board_.pool().excess_allowed = excess_received_ + (room > held ? room - held : 0);
  set_timer();
  if (::ppoll(set.data(), set.size(), nullptr, nullptr) < 0) {
    if (errno != EINTR) throw_system_error(errno, "ppoll");
    return;
  }

  ask_where_clients_wait(std::span(set).subspan(looks_at, looked_at_.size()));
  // Another master that has ended before a signal came is gone when the signal is obeyed. Signals before
  // workers: one that a terminal's Ctrl-C has ended is then expected to have ended.
  look_after_siblings();
  commanded_ = false;
  read_signals();
  std::size_t i = workers_at;
  for (auto m = workers_.begin(); m != workers_.end() && i < looks_at; i += 2) {
    const auto each = m++;
    // Room that came is used up at once by what fails for another reason than a full channel.
    if ((set[i + 1].revents & POLLOUT) != 0 && !each->outgoing.flush(each->channel)) pause_for_shortage();
    if ((set[i + 1].revents & ~POLLOUT) != 0) take_messages(*each);
    if (set[i].revents == 0) continue;
    if (const auto how = each->process.reap()) {
      auto gone = workers_.take_out(each);
      take_messages(gone.front());  // the last ones
      has_ended(gone.front(), *how);
    }
  }
  reap_foreign();
  // A command may have closed or opened listeners.
  if (!commanded_ && listeners == watched())
    dispatcher_.serve(std::span(set).subspan(listeners_at), listeners, workers_.lanes(generation_, wanted_));
  tick();
}

void supervisor::read_signals() {
  while (commands_left_ < commands_.size()) {
    const auto signal = signals_.next();
    if (!signal) break;
    if (signal->number == io_signal()) {
      dispatcher_.parked().stirred(signal->fd);
    } else if (signal->number == SIGIO) {
      dispatcher_.parked().any_stirred();
    } else if (signal->number == SIGCHLD) {
      child_ended_ = true;
      workers_.look_for_stopped();
      pass_over();
    } else if (const signal_row* const row = row_of_signal(signal->number)) {
      commands_[commands_left_++] = row;
    }
  }
  // The kernel delivers signals that wait together by their numbers, so their order is lost. A reload counts
  // as the last one: a pool that serves is the lesser harm where WINCH came last.
  const auto commands = std::span(commands_).first(commands_left_);
  commands_left_ = 0;
  const auto last = std::find_if(commands.begin(), commands.end(),
                                 [](const signal_row* row) { return row->meaning == command::reload; });
  if (last != commands.end()) std::rotate(last, last + 1, commands.end());
  for (const signal_row* const row : commands) {
    commanded_ = true;
    try {
      obey(*row);
    } catch (const std::exception& e) {
      log::error("SIG{}: {}", ::sigabbrev_np(row->number), e.what());
      // Nobody repeats an order to end.
      if (row->meaning == command::stop || row->meaning == command::drain) commands_[commands_left_++] = row;
    }
  }
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

std::vector<watched_listener> supervisor::watched() const {
  if (!program_.watched || ends_) return {};
  std::vector<bool> occupied;
  // The other workers serve what comes to the socket of a worker that does not look at it.
  for (unsigned i = 0; i < wanted_; ++i) occupied.push_back(workers_.is_attended(generation_, i));
  return program_.watched(occupied);
}

supervisor::clock::time_point supervisor::next_event() const noexcept {
  auto at = settings_.processes.stuck_timeout.count() > 0 && !workers_.empty() ? next_tick_
                                                                               : clock::time_point::max();
  at = std::min({at, dispatcher_.next_event(), watchdog_.next(), workers_.next_deadline(), next_look(),
                 next_check(), drain_at_});
  if (clock::now() < give_until_) at = std::min(at, give_until_);
  if (!ends_)
    for (unsigned i = 0; i < wanted_; ++i)
      if (!workers_.has(generation_, i)) at = std::min(at, not_before_[i]);
  return at;
}

// Starts the workers of the present generation that are missing, also while a reload is pending.
void supervisor::fill() {
  if (ends_) return;
  const auto now = clock::now();
  for (unsigned i = 0; i < wanted_; ++i) {
    if (workers_.has(generation_, i) || not_before_[i] > now || start(i, generation_)) continue;
    if (history_.ever_served || !workers_.empty()) continue;
    failed_ = true;
    return end(end_order::cut);
  }
}

bool supervisor::is_coming(unsigned generation) const noexcept {
  return coming_ && coming_->number == generation;
}

bool supervisor::start(unsigned index, unsigned generation) {
  const settings& with = is_coming(generation) ? coming_->with : settings_;
  worker_score* const score = board_.take(with.processes.model_of(index));
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
    way.far_end = std::move(ends.second);
    way.score = score;
    worker made(std::move(way), std::move(process), generation, with.limits.drain_timeout);
    if (with.processes.start_timeout.count() > 0) made.kill_at = clock::now() + with.processes.start_timeout;
    workers_.add(std::move(made));
    return true;
  } catch (const std::exception& e) {
    if (score != nullptr) board_.give_back(*score);
    not_before_[index] = clock::now() + 500ms;
    log::error("worker {} cannot be started: {}", index, e.what());
    return false;
  }
}

// In the child: closes what is the master's or another worker's.
int supervisor::be_worker(unsigned index, unsigned generation, worker_score& score,
                          descriptor_channel& to_master) {
  workers_.disown();
  dispatcher_.disown();
  siblings_.disown();
  board_.disown();
  timer_.reset();
  signals_.give_back();
  return program_.work({index, generation, is_coming(generation), score, board_, to_master, signals_});
}

void supervisor::take_messages(worker& m) {
  using kind = descriptor_channel::received::kind;
  for (;;) {
    auto got = m.channel.receive();
    if (got.what == kind::nothing) return;
    if (got.what == kind::failed) return pause_for_shortage();
    if (got.what == kind::end) return m.channel.close();
    if (got.what == kind::rejected) continue;
    if (got.what == kind::without_descriptor) {
      if (const auto held_back = failures_.pass())
        log::warning("a {} connection is closed: too many open files ({} more since the last line)",
                     got.content.what == message::kind::parked ? "parked" : "handed-on", *held_back);
    }
    switch (got.content.what) {
      case message::kind::serving: serving(m); break;
      case message::kind::leaving:
        // A worker that leaves already has been sent the drain that it asks for, or will be; so will all when
        // the pool leaves.
        if (m.at != stage::leaving && ending_ != end_order::leave) leave(m, end_order::leave);
        break;
      case message::kind::parked:
        dispatcher::acknowledged(m, got.content.number);
        park({std::move(got.fd), got.content.layers});
        break;
      case message::kind::taken: dispatcher::acknowledged(m, got.content.number); break;
      case message::kind::connection: take_excess(m, {std::move(got.fd), got.content.layers}); break;
      case message::kind::refused: dispatcher_.refused(m, got.content.number); break;
      case message::kind::unable: dispatcher_.unable(m, got.content.number); break;
      case message::kind::answered: dispatcher_.answered(m, got.content.number); break;
      case message::kind::turns:
        if (std::exchange(m.was_asked, false)) --m.answers_owed;
        break;
      default: break;
    }
    has_spoken(m);
  }
}

void supervisor::serving(worker& m) {
  m.has_served = history_.ever_served = true;
  if (m.at != stage::starting) return;
  m.at = stage::serving;
  m.kill_at = clock::time_point::max();
  m.takes = true;
  m.score->now = worker_score::state::serving;
  if (ending_ == end_order::leave) return tell_drain(m, message::kind::service_leaves);
  if (coming_) return look_at_reload();
  if (!ready_ && !workers_.any_starting()) announce();
}

void supervisor::announce() {
  tell_service_manager(fmt::format("MAINPID={}\nREADY=1\nSTATUS={} workers serve", ::getpid(), wanted_));
  if (!std::exchange(ready_, true)) siblings_.tell_serving();
}

void supervisor::park(passed_connection connection) {
  if (!connection) return;
  if (ends_ && (!siblings_.any() || ending_ >= end_order::cut)) return;
  dispatcher_.parked().add(std::move(connection));
}

// `connection` is empty if there was no descriptor for it. Its worker does not end before it has the answer,
// so what no other worker takes can go back to it.
void supervisor::take_excess(worker& m, passed_connection connection) {
  ++excess_received_;
  if (connection) {
    const auto all = workers_.lanes(generation_, wanted_);
    const bool any = std::any_of(all.begin(), all.end(), [](const lane* l) { return l != nullptr; });
    if (any || !dispatcher_.give(m, connection)) dispatcher_.place(std::move(connection));
  }
  m.outgoing.send(m.channel, {message::kind::placed, 1});
}

void supervisor::look_after_siblings() {
  if (siblings_.listen([this](passed_connection connection) { park(std::move(connection)); }) &&
      !siblings_.any()) {
    tell_service_manager(fmt::format("MAINPID={}", ::getpid()));
    if (program_.alone) program_.alone();
  }
  if (gives() && !dispatcher_.parked().give_to(*siblings_.heir())) pause_for_shortage();
}

void supervisor::has_ended(worker& m, const exit_reason& how) {
  board_.give_back(*m.score);
  dispatcher_.lost(m);
  if (ends_)
    while (passed_connection connection = dispatcher_.take_waiting()) park_or_cut(std::move(connection));
  const auto now = clock::now();
  const auto lived = now - m.process.started();
  if (m.at == stage::leaving) {
    if (ends_ && m.has_served && !how.is_clean()) cut_ = true;
    if (how.is_clean())
      log::info("worker {} of generation {} has left", m.index, m.generation);
    else if (!how.by_signal && how.value == exit_connections_cut)
      log::warning("worker {} of generation {} has left; connections were cut", m.index, m.generation);
    else
      log::warning("worker {} of generation {} was to leave and ended with {}", m.index, m.generation,
                   how.to_string());
    return look_at_reload();
  }
  const auto told = fmt::format("worker {} of generation {} ended with {} after {:.1f} s", m.index,
                                m.generation, how.to_string(), seconds(lived));
  if (is_coming(m.generation)) {
    log::error("{}; the reload is given up", told);
    return finish_reload(false);
  }
  const auto decision = decide_restart(
      history_, {now, std::chrono::duration_cast<std::chrono::milliseconds>(lived), m.has_served, how});
  history_ = decision.history;
  if (decision.what == restart_decision::kind::give_up) {
    log::error("{}; no worker has ever served, so this pool ends", told);
    failed_ = true;
    return end(end_order::cut);
  }
  not_before_[m.index] = now + decision.delay;
  board_.count_restart(m.was_stuck()   ? restart_reason::stuck
                       : how.by_signal ? restart_reason::signal
                                       : restart_reason::exit_code);
  log::warning("{}; it is replaced {}", told,
               decision.delay == 0ms ? "at once" : fmt::format("in {} ms", decision.delay.count()));
}

}  // namespace weir::process
