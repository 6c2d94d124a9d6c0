#pragma once
// process: the master of a pool: keeps the workers running and obeys the signals.

#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <vector>

#include "weir/config/settings.hpp"
#include "weir/process/detail/child_process.hpp"
#include "weir/process/detail/descriptor_channel.hpp"
#include "weir/process/detail/dispatcher.hpp"
#include "weir/process/detail/restart_policy.hpp"
#include "weir/process/detail/scoreboard.hpp"
#include "weir/process/detail/service_manager.hpp"
#include "weir/process/detail/signals.hpp"
#include "weir/process/detail/upgrade.hpp"

namespace weir::process {

// What a worker process is given. `signals` are blocked until the worker has its own handlers; it ends when
// it gets SIGTERM (at once) or SIGQUIT (when its connections have ended).
struct worker_slot {
  unsigned index;  // 0..count-1; a replacement gets that of the one that it replaces
  unsigned generation;
  worker_score& score;
  scoreboard& board;
  descriptor_channel& to_master;
  signal_source& signals;
};

// What a supervisor is the master of.
struct pool_program {
  // In a worker process; what it returns is the exit code. It sends message::kind::serving when it serves.
  std::function<int(worker_slot)> work = {};

  // In the master. Reads the configuration again and prepares what new workers will need; nothing if that
  // fails, and then the program has told why. processes.count is the number of workers, at least 1.
  std::function<std::optional<settings>()> reload = {};
  // Every worker of the new generation serves; or it failed, and what reload prepared is undone.
  std::function<void(bool taken)> reloaded = {};

  // The number of workers is about to be another. Errors: what it throws leaves things as they are.
  std::function<void(unsigned workers)> resized = {};
  // The listeners that the master itself looks at: all, some or none. `occupied` tells by index which workers
  // there are.
  std::function<std::vector<int>(const std::vector<bool>& occupied)> watched = {};

  std::function<void()> reopen_log = {};

  // How this program is started anew, with which sockets: nothing for a program that cannot be. And how a
  // pool whose program takes over, or has taken over, learns that: `alone` when the other master has ended
  // (or never came), with or without this one having served.
  std::optional<invocation> itself = {};
  std::function<std::vector<named_descriptor>()> sockets = {};
  std::function<void()> handing_over = {};
  std::function<void()> alone = {};
  // The master before this one, if this one takes over.
  std::optional<heritage> from = {};

  // No worker will be started any more: the listening sockets may be closed.
  std::function<void()> ending = {};
};

// Problem: a process that serves may crash, hang, leak or be told to change, and none of that may be noticed
// by clients of others. The master never serves: it is one loop over signals, the ends of its workers, their
// messages and a timer.
// Thread: the only one of its process, from construction to the end of run(). One per process, as signals
// belong to the process. Errors: std::system_error, EBUSY for a second one.
class supervisor {
 public:
  supervisor(const settings& s, pool_program program);
  supervisor(const supervisor&) = delete;
  supervisor& operator=(const supervisor&) = delete;

  // Until a signal ends the pool and the last worker has left. False if no worker could ever serve, which has
  // been logged.
  [[nodiscard]] bool run();

  // Another master serves on: with the sockets that it has in common with this one.
  [[nodiscard]] bool has_sibling() const noexcept { return siblings_.any(); }

  [[nodiscard]] scoreboard& scores() noexcept { return board_; }

 private:
  enum class stage : std::uint8_t { starting, serving, leaving };
  enum class ending : std::uint8_t { no, draining, stopping };
  using clock = std::chrono::steady_clock;

  struct member : lane {
    child_process process;
    unsigned generation;
    std::chrono::milliseconds drain_timeout;
    stage at = stage::starting;
    bool has_served = false;
    clock::time_point kill_at = clock::time_point::max();
    std::uint64_t beats = 0;
    unsigned silent_ticks = 0;
    bool stopped = false;  // by a signal such as SIGSTOP
  };

  void wait();
  void set_timer();
  void obey(int signal);
  void end(ending how);
  void start(unsigned index, unsigned generation);
  int be_worker(unsigned index, unsigned generation, worker_score& score, descriptor_channel& to_master);
  void take_messages(member& m);
  void has_ended(member& m, const exit_reason& how);
  void leave(member& m, ending how);
  void tick();
  void listen_for_beats();
  void look_for_stopped();
  void judge(member& m);
  void fill();
  void resize(unsigned workers);
  void begin_reload();
  void finish_reload(bool taken);
  void serving(member& m);
  void begin_upgrade();
  void look_after_siblings();
  void announce();
  [[nodiscard]] bool gives() noexcept;
  void park(unique_fd connection);
  void take_excess(member& m, unique_fd connection);
  [[nodiscard]] bool is_alive() const noexcept;
  [[nodiscard]] std::vector<lane*> lanes();
  [[nodiscard]] std::vector<int> watched() const;
  [[nodiscard]] const member* at_slot(unsigned index) const noexcept;
  [[nodiscard]] clock::time_point next_event() const noexcept;

  // One per process.
  class claim {
   public:
    claim();
    claim(const claim&) = delete;
    claim& operator=(const claim&) = delete;
    ~claim();
  };

  claim claim_;
  settings settings_;
  pool_program program_;
  scoreboard board_;
  signal_source signals_;
  unique_fd timer_;
  dispatcher dispatcher_;
  std::list<member> members_;
  std::vector<clock::time_point> not_before_;  // by index
  restart_history history_;
  unsigned wanted_;
  unsigned generation_ = 1;
  unsigned last_generation_ = 1;
  unsigned coming_ = 0;  // the generation that a reload is starting; 0: none
  std::optional<settings> coming_settings_;
  bool reload_again_ = false;
  bool failed_ = false;
  bool ready_ = false;  // all workers of a generation have served
  ending ending_ = ending::no;
  clock::time_point next_tick_;
  siblings siblings_;
  clock::time_point give_until_ = clock::time_point::max();
  watchdog watchdog_;
};

}  // namespace weir::process
