#pragma once
// process: the worker processes of a pool, as their master knows them.

#include <chrono>
#include <cstdint>
#include <list>
#include <optional>
#include <utility>
#include <vector>

#include "weir/process/detail/child_process.hpp"
#include "weir/process/detail/dispatcher.hpp"

namespace weir::process {

// A worker starts, serves and leaves, in this order; it may leave without having served.
struct worker : lane {
  enum class stage : std::uint8_t { starting, serving, leaving };

  worker(lane way, child_process of, unsigned generation_, std::chrono::milliseconds drain_timeout_)
      : lane(std::move(way)),
        process(std::move(of)),
        generation(generation_),
        drain_timeout(drain_timeout_) {}

  // Its beats have stood still for half of the time after which it is killed.
  [[nodiscard]] bool is_stuck() const noexcept { return silent_ticks >= ticks_until_stuck / 2; }
  [[nodiscard]] bool was_stuck() const noexcept { return silent_ticks > ticks_until_stuck; }
  // It gets no connections until it goes on.
  [[nodiscard]] bool is_passed_over() const noexcept { return is_stopped || is_stuck() || is_held; }
  // It could take connections now.
  [[nodiscard]] bool is_attentive() const noexcept { return takes && !is_passed_over(); }

  // An answer that a worker owes for longer makes it held. A turn of a loop is much shorter, and so is the
  // wait for a CPU on a busy machine.
  static constexpr auto patience = std::chrono::milliseconds(250);

  static constexpr unsigned ticks_until_stuck = 4;

  child_process process;
  unsigned generation;
  std::chrono::milliseconds drain_timeout;
  stage at = stage::starting;
  bool has_served = false;
  clock::time_point kill_at = clock::time_point::max();
  clock::time_point drain_at = clock::time_point::max();  // it leaves, accepts no more, and is told to then
  std::uint64_t beats = 0;                                // as last seen in its score
  unsigned silent_ticks = 0;                              // of the master, since `beats` has changed
  bool is_stopped = false;                                // by a signal such as SIGSTOP, as last seen
  bool is_held = false;         // it owes an answer, and another worker can serve what it does not take
  clock::time_point look_at{};  // when its own sockets are watched again
};

// Problem: workers of several generations live side by side, and nearly every command is about some of them.
// Addresses of workers are stable until they are taken out. Thread: the only one of its process.
class worker_table {
 public:
  using clock = worker::clock;

  void add(worker made) { all_.push_back(std::move(made)); }
  [[nodiscard]] bool empty() const noexcept { return all_.empty(); }
  [[nodiscard]] auto begin() noexcept { return all_.begin(); }
  [[nodiscard]] auto end() noexcept { return all_.end(); }
  [[nodiscard]] auto begin() const noexcept { return all_.begin(); }
  [[nodiscard]] auto end() const noexcept { return all_.end(); }

  // Moves one worker, which has been reaped, to a list of its own. It does not throw, so a worker is
  // forgotten whatever fails afterwards.
  [[nodiscard]] std::list<worker> take_out(std::list<worker>::iterator which) noexcept;

  [[nodiscard]] bool has_process(::pid_t pid) const noexcept;

  // Whether a worker serves, or is about to, at this index.
  [[nodiscard]] bool has(unsigned generation, unsigned index) const noexcept;
  // It serves there, and is not passed over.
  [[nodiscard]] bool is_attended(unsigned generation, unsigned index) const noexcept;
  [[nodiscard]] bool any_starting() const noexcept;
  // A worker of that generation beside `which` could take connections now.
  [[nodiscard]] bool any_attentive_beside(const worker& which, unsigned generation) const noexcept;
  // A worker serves, and its loops turn.
  [[nodiscard]] bool any_alive() const noexcept;
  // What a generation that is being started has come to. A generation without workers has failed.
  enum class progress : std::uint8_t { starting, serves, failed };
  [[nodiscard]] progress progress_of(unsigned generation) const noexcept;

  // The workers of a generation to which connections may be sent, by index: null where there is none, or it
  // is passed over.
  [[nodiscard]] std::vector<lane*> lanes(unsigned generation, unsigned count);

  // When the next one is to be killed because it has not served, or has not left, in time; or to be drained.
  [[nodiscard]] clock::time_point next_deadline() const noexcept;
  void kill_overdue(clock::time_point now);

  // Called at equal intervals: reports, and then kills, each worker that has served and whose loops do not
  // turn. Counted in calls instead of time: a pool that was stopped as a whole is not stuck.
  static constexpr unsigned ticks_until_stuck = worker::ticks_until_stuck;
  void listen_for_beats(std::chrono::milliseconds stuck_timeout);

  // Called after each SIGCHLD: looks which workers are stopped.
  void look_for_stopped() noexcept;

  // In a child: closes what is another worker's.
  void disown() noexcept;

 private:
  std::list<worker> all_;
};

}  // namespace weir::process
