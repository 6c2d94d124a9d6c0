#include "weir/process/detail/worker_table.hpp"

#include <algorithm>
#include <csignal>

#include "weir/base/log.hpp"

namespace weir::process {

std::list<worker> worker_table::take_out(std::list<worker>::iterator which) noexcept {
  std::list<worker> out;
  out.splice(out.begin(), all_, which);
  return out;
}

bool worker_table::has_process(::pid_t pid) const noexcept {
  return std::any_of(begin(), end(), [pid](const worker& w) { return w.process.pid() == pid; });
}

bool worker_table::has(unsigned generation, unsigned index) const noexcept {
  return std::any_of(begin(), end(), [&](const worker& w) {
    return w.index == index && w.generation == generation && w.at != worker::stage::leaving;
  });
}

bool worker_table::is_attended(unsigned generation, unsigned index) const noexcept {
  return std::any_of(begin(), end(), [&](const worker& w) {
    return w.index == index && w.generation == generation && w.at == worker::stage::serving &&
           !w.is_passed_over();
  });
}

bool worker_table::any_starting() const noexcept {
  return std::any_of(begin(), end(), [](const worker& w) { return w.at == worker::stage::starting; });
}

bool worker_table::any_attentive_beside(const worker& which, unsigned generation) const noexcept {
  return std::any_of(begin(), end(), [&](const worker& w) {
    return &w != &which && w.generation == generation && w.is_attentive();
  });
}

bool worker_table::any_alive() const noexcept {
  return std::any_of(begin(), end(), [](const worker& w) {
    return w.at == worker::stage::serving && w.silent_ticks < ticks_until_stuck;
  });
}

worker_table::progress worker_table::progress_of(unsigned generation) const noexcept {
  auto out = progress::failed;
  for (const worker& w : all_) {
    if (w.generation != generation) continue;
    if (w.at == worker::stage::starting) return progress::starting;
    // One that has served and leaves already is replaced once the generation is the present one.
    if (w.has_served) out = progress::serves;
  }
  return out;
}

std::vector<lane*> worker_table::lanes(unsigned generation, unsigned count) {
  std::vector<lane*> out(count, nullptr);
  for (worker& w : all_)
    if (w.generation == generation && w.is_attentive() && w.index < count) out[w.index] = &w;
  return out;
}

worker_table::clock::time_point worker_table::next_deadline() const noexcept {
  auto out = clock::time_point::max();
  for (const worker& w : all_) out = std::min({out, w.kill_at, w.drain_at});
  return out;
}

void worker_table::kill_overdue(clock::time_point now) {
  for (worker& w : all_) {
    if (w.kill_at > now) continue;
    const bool killed = w.process.signal(SIGKILL);
    w.kill_at = killed ? clock::time_point::max() : now + std::chrono::seconds(1);
    if (!killed) continue;
    if (w.at == worker::stage::starting)
      log::error("worker {} (pid {}) has not served within processes.start_timeout and is killed", w.index,
                 w.process.pid());
    else
      log::warning("worker {} of generation {} has not left in time and is killed", w.index, w.generation);
  }
}

void worker_table::listen_for_beats(std::chrono::milliseconds stuck_timeout) {
  for (worker& w : all_) {
    const auto beats = w.score->beats.load();
    // One that starts has a limit of its own.
    w.silent_ticks = beats == w.beats && w.at != worker::stage::starting ? w.silent_ticks + 1 : 0;
    w.beats = beats;
    if (w.at != worker::stage::serving) continue;
    if (w.silent_ticks == ticks_until_stuck / 2)
      log::warning("worker {} (pid {}) is stuck: a loop of it does not turn", w.index, w.process.pid());
    if (w.silent_ticks <= ticks_until_stuck) continue;
    if (!w.process.signal(SIGKILL)) continue;
    log::error("worker {} (pid {}) has been stuck for {} ms and is killed", w.index, w.process.pid(),
               stuck_timeout.count());
  }
}

void worker_table::look_for_stopped() noexcept {
  for (worker& w : all_) w.is_stopped = w.process.stopped().value_or(w.is_stopped);
}

void worker_table::disown() noexcept {
  for (worker& w : all_) {
    w.process.disown();
    w.channel.close();
    w.far_end.close();
    w.unacknowledged.clear();
  }
}

}  // namespace weir::process
