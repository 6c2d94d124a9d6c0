#pragma once
// process: the master of a pool: keeps the workers running and obeys the signals.

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "weir/base/log.hpp"
#include "weir/config/settings.hpp"
#include "weir/process/detail/deferred_commands.hpp"
#include "weir/process/detail/dispatcher.hpp"
#include "weir/process/detail/end_order.hpp"
#include "weir/process/detail/restart_policy.hpp"
#include "weir/process/detail/scoreboard.hpp"
#include "weir/process/detail/service_manager.hpp"
#include "weir/process/detail/signals.hpp"
#include "weir/process/detail/upgrade.hpp"
#include "weir/process/detail/worker_table.hpp"

namespace weir::process {

// The exit code of a process that stopped as it was told, but had to cut connections.
inline constexpr int exit_connections_cut = 3;

// What a worker process is given. `signals` are blocked until the worker has its own handlers; it ends when
// it gets SIGTERM (at once) or message::kind::drain (when its connections have ended). SIGQUIT comes if the
// channel is broken.
struct worker_slot {
  unsigned index;  // 0..count-1; a replacement gets that of the worker that it replaces
  unsigned generation;
  bool is_coming;  // it belongs to the generation that a reload is starting, and serves what `reload` has
                   // prepared
  worker_score& score;
  scoreboard& board;
  descriptor_channel& to_master;
  signal_source& signals;
};

// What a supervisor is the master of. An exception of a function that the master calls fails that command; it
// does not end the pool.
struct pool_program {
  // In a worker process; the result is its exit code. It sends message::kind::serving when it serves.
  std::function<int(worker_slot)> work = {};

  // In the master. Reads the configuration again and prepares what new workers will need; nothing if that
  // fails, and then the program has logged why. processes.count is the number of workers, at least 1.
  std::function<std::optional<settings>()> reload = {};
  // Every worker of the new generation serves; or it failed, and what reload prepared is undone.
  std::function<void(bool taken)> reloaded = {};

  // The number of workers is about to change. Errors: an exception leaves it as it is.
  std::function<void(unsigned workers)> resized = {};
  // The listeners that the master itself watches: all, some or none. `occupied` tells by index which workers
  // there are.
  std::function<std::vector<watched_listener>(const std::vector<bool>& occupied)> watched = {};

  // Listeners that only the worker at that index accepts from. The master keeps them too.
  std::function<std::vector<int>(unsigned index)> own_listeners = {};

  std::function<void()> reopen_log = {};

  // In the master, as often as settings.cores.check says: looks where the loops of the workers run.
  std::function<void()> check_placement = {};

  // How this program is started anew, and with which sockets; nothing for a program that cannot be started
  // anew.
  std::optional<invocation> itself = {};
  std::function<std::vector<named_descriptor>()> sockets = {};
  // A new master is about to be started. And this master is alone again: the other one has ended, or never
  // came.
  std::function<void()> handing_over = {};
  std::function<void()> alone = {};
  // The master before this one, if this one takes over.
  std::optional<heritage> from = {};

  // No worker will be started any more: the listening sockets may be closed.
  std::function<void()> ending = {};
};

// Problem: a process that serves may crash, hang, leak or be told to change, and clients of other processes
// must not notice. The master never serves: it is one loop over signals, the ends of its workers, their
// messages and a timer. A shortage of memory or descriptors does not end it: what failed is logged, and the
// loop goes on. Thread: the only one of its process, from construction to the end of run(). One per process,
// as signals belong to the process. Signals are remembered from construction on, and obeyed by run(). Errors:
// std::system_error, EBUSY for a second one.
class supervisor {
 public:
  supervisor(const settings& s, pool_program program);
  supervisor(const supervisor&) = delete;
  supervisor& operator=(const supervisor&) = delete;

  // How a pool has ended: as it was told, with every connection ended by its handler; as it was told, but a
  // worker had to cut connections; or because no worker could ever serve, and the reason is logged.
  enum class outcome : std::uint8_t { stopped, cut_connections, never_served };

  // Until a signal ends the pool and the last worker has left.
  [[nodiscard]] outcome run();

  // Another master serves on: with the sockets that it has in common with this one.
  [[nodiscard]] bool has_sibling() const noexcept { return siblings_.any(); }

  [[nodiscard]] scoreboard& scores() noexcept { return board_; }

 private:
  using clock = std::chrono::steady_clock;
  using stage = worker::stage;

  // A generation that is being started.
  struct coming_generation {
    unsigned number;
    settings with;
  };

  void wait();
  void read_signals();
  void set_timer();
  void obey(const signal_row& row);
  void reopen_log();
  void change_workers(command c);
  void begin_end(int signal);
  void end(end_order how);
  void end_delays(clock::time_point now);
  void fill();
  bool start(unsigned index, unsigned generation);
  int be_worker(unsigned index, unsigned generation, worker_score& score, descriptor_channel& to_master);
  void take_messages(worker& m);
  void has_ended(worker& m, const exit_reason& how);
  void leave(worker& m, end_order how);
  void tell_drain(worker& m, message::kind what);
  void tick();
  void resize(unsigned workers);
  void begin_reload();
  void look_at_reload();
  void finish_reload(bool taken);
  void obey_deferred();
  void serving(worker& m);
  void begin_upgrade();
  void look_after_siblings();
  void announce();
  [[nodiscard]] bool gives() noexcept;
  void park(passed_connection connection);
  void take_excess(worker& m, passed_connection connection);
  void park_or_cut(passed_connection connection);
  void pass_over();
  void ask(worker& m);
  void has_spoken(worker& m);
  void look_for_held();
  void watch_listeners_of_workers(std::vector<::pollfd>& set);
  void ask_where_clients_wait(std::span<const ::pollfd> ready);
  [[nodiscard]] clock::time_point next_look() const noexcept;
  void reap_foreign();
  void survive(const std::exception& e) noexcept;
  [[nodiscard]] bool is_coming(unsigned generation) const noexcept;
  [[nodiscard]] bool is_alive() const noexcept;
  [[nodiscard]] clock::time_point next_check() const noexcept {
    const bool checks = program_.check_placement && settings_.cores.check.count() > 0 && !ends_;
    return checks ? checked_ + settings_.cores.check : clock::time_point::max();
  }
  [[nodiscard]] std::vector<watched_listener> watched() const;
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
  std::uint64_t excess_received_ = 0;  // connections that workers have handed on
  signal_source signals_;
  unique_fd timer_;
  dispatcher dispatcher_;
  worker_table workers_;
  std::vector<worker*> looked_at_;             // by the listeners that were added last
  std::vector<clock::time_point> not_before_;  // by index: when a worker may be started
  restart_history history_;
  unsigned wanted_;
  unsigned generation_ = 1;
  unsigned last_generation_ = 1;
  std::optional<coming_generation> coming_;                        // while a reload is pending
  deferred_commands deferred_;                                     // until it has ended
  bool child_ended_ = true;                                        // perhaps one that is no worker
  std::array<const signal_row*, signal_table.size()> commands_{};  // that have come and are not obeyed yet
  std::size_t commands_left_ = 0;
  bool commanded_ = false;  // in this turn of the loop
  bool failed_ = false;
  bool cut_ = false;    // connections, while the pool ended
  bool ready_ = false;  // all workers of a generation have served
  end_order ending_ = end_order::none;
  bool ends_ = false;  // no worker is started any more, and no client accepted
  clock::time_point drain_at_ = clock::time_point::max();  // with end_order::leave
  clock::time_point next_tick_;
  clock::time_point checked_ = clock::now();  // the placement of loops
  siblings siblings_;
  clock::time_point give_until_ = clock::time_point::max();
  watchdog watchdog_;
  log::limiter failures_;
};

}  // namespace weir::process
