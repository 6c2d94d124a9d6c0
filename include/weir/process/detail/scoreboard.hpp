#pragma once
// process: the figures of a server, in memory that all processes of a pool share and that others can read.

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "weir/base/unique_fd.hpp"
#include "weir/config/settings.hpp"
#include "weir/observe/detail/ledger.hpp"
#include "weir/observe/detail/series.hpp"
#include "weir/process/detail/connection_list.hpp"

namespace weir::process {

// One worker's figures. The worker writes them, except where said otherwise; any process reads them. Two of
// them need not be of the same instant.
struct alignas(128) worker_score {
  enum class state : std::uint32_t { free, starting, serving, draining };

  std::atomic<state> now;                  // the master's
  std::atomic<std::int32_t> pid;           // the master's
  std::atomic<std::uint32_t> index;        // the master's
  std::atomic<std::uint32_t> generation;   // the master's
  std::atomic<model_kind> model;           // the master's
  std::atomic<io_kind> io;                 // what its loops wait in
  std::atomic<std::int64_t> started;       // the master's: milliseconds of the monotonic clock
  std::atomic<std::uint32_t> connections;  // open, with those that are being waited for
  std::atomic<std::uint32_t> load;     // permits taken, at any instant: where workers accept by themselves
  std::atomic<std::uint32_t> held_up;  // its accept threads that cannot take a connection for now
  std::atomic<std::uint32_t>
      passed_over;                       // the master's: 1 while it is stopped, or a loop of it does not turn
  std::atomic<std::uint32_t> coming;     // connections from the master that it does not count yet; of both
  std::atomic<std::uint64_t> accepted;   // since it was started
  std::atomic<std::uint64_t> requests;   // that its handlers have counted: core::count_requests
  std::atomic<std::uint64_t> refused;    // closed at once, by a limit
  std::atomic<std::uint64_t> fruitless;  // wake-ups of an accept that found no connection
  std::atomic<std::uint64_t> beats;      // each time that all its loops have turned
};

// Why a worker process was replaced.
enum class restart_reason : std::uint8_t { signal, exit_code, stuck };
inline constexpr std::array<std::string_view, 3> names_of_restart_reasons{"signal", "exit_code", "stuck"};

// Of a program of one process too: that is its own master.
struct pool_score {
  std::atomic<std::int32_t> master;
  std::atomic<model_kind> model;
  std::atomic<io_kind> io;
  std::atomic<accept_kind> accept;
  std::atomic<policy_kind> policy;
  std::atomic<std::uint32_t> generation;
  std::atomic<std::int64_t> started;  // milliseconds of the monotonic clock
  std::atomic<std::uint64_t> restarts;
  std::array<std::atomic<std::uint64_t>, names_of_restart_reasons.size()> restarts_for;
  std::atomic<std::uint64_t> reloads;
  std::atomic<std::uint32_t> parked;             // connections that are parked in the master
  std::atomic<std::uint32_t> parked_most;        // as many as the master can keep
  std::atomic<std::uint32_t> rows;               // of workers that have ever been taken
  std::atomic<std::uint32_t> placement_drifts;   // ways in which loops do not run as it was planned
  std::atomic<std::uint64_t> placement_changes;  // times that this has changed
  // Connections that workers above their share have sent to the master, ever, and how many that may be: the
  // master has a free descriptor for each. A worker counts one before it sends it.
  std::atomic<std::uint64_t> excess_sent;
  std::atomic<std::uint64_t> excess_allowed;
  // Of workers above their share: the lowest load of a sibling for which one of them waits, and the futex.
  std::atomic<std::uint32_t> least_awaited;
  std::atomic<std::uint32_t> wake_ups;
  // Until when workers write lists of their connections: milliseconds of the monotonic clock.
  std::atomic<std::int64_t> lists_wanted_until;
};

static_assert(std::atomic<std::uint64_t>::is_always_lock_free &&
                  std::atomic<std::uint32_t>::is_always_lock_free,
              "the atomics of another process need no lock");

// A server of one process has one as well, with one worker: itself.
// Thread: any. Fork: the memory is shared with every child that is forked later. Other processes of the same
// user find it by the master's descriptor, so a child closes its own.
class scoreboard {
 public:
  static constexpr std::size_t capacity = 1024;  // memory is taken only for what is used

  // Errors: std::system_error.
  scoreboard();
  // That of another process, to be read only.
  // Errors: std::system_error that says why it cannot be seen, or that the process has none.
  explicit scoreboard(::pid_t master);
  scoreboard(const scoreboard&) = delete;
  scoreboard& operator=(const scoreboard&) = delete;
  ~scoreboard();

  // In a child: keeps the memory, not the descriptor.
  void disown() noexcept { fd_.reset(); }

  // Of the process that has made it: what it is, and that it has started now.
  void describe(const settings& s) noexcept;

  [[nodiscard]] pool_score& pool() noexcept { return memory_->pool; }
  [[nodiscard]] std::span<worker_score, capacity> workers() noexcept { return memory_->workers; }
  [[nodiscard]] observe::ledger& ledger() noexcept { return memory_->ledger; }
  // Written by the worker of that row.
  [[nodiscard]] published<connection_list>& connections_of(const worker_score& row) noexcept {
    return memory_->lists[number_of(row)];
  }

  // What the loops of a worker write to.
  [[nodiscard]] std::uint16_t number_of(const worker_score& row) noexcept {
    return static_cast<std::uint16_t>(&row - memory_->workers);
  }
  [[nodiscard]] observe::process_ledger ledger_of(const worker_score& row) {
    return {memory_->ledger, number_of(row), static_cast<std::uint16_t>(row.index.load()),
            static_cast<std::uint8_t>(row.model.load())};
  }

  void count_restart(restart_reason why) noexcept;

  // A worker serves and is told to go on.
  [[nodiscard]] bool is_ready() noexcept;

  // A free row, zeroed and taken; null if all are in use. `model`: of the worker.
  [[nodiscard]] worker_score* take(model_kind model = model_kind::loop_per_core) noexcept;
  // Its process has ended: what it has counted stays.
  void give_back(worker_score& row) noexcept;

  // A count with what is coming. A connection that is taken meanwhile may count twice, but never not at all.
  [[nodiscard]] static std::uint32_t load_of(const worker_score& row,
                                             std::atomic<std::uint32_t> worker_score::* count) noexcept {
    const std::uint32_t coming = row.coming.load();
    return coming + (row.*count).load();
  }

  // The smallest load of the workers that serve and can take a connection, without `self`; the greatest
  // number if there is none.
  [[nodiscard]] std::uint32_t least_beside(const worker_score& self,
                                           std::atomic<std::uint32_t> worker_score::* count) noexcept;
  // A worker beside `self` is stopped or stuck.
  [[nodiscard]] bool any_passed_over(const worker_score& self) noexcept;

  // Workers that are above their share look at the loads again.
  void wake_standing_back() noexcept;

 private:
  struct layout {
    std::uint64_t form;  // of this very layout
    pool_score pool;
    worker_score workers[capacity];
    published<connection_list> lists[capacity];
    observe::ledger ledger;
    observe::series_store series;
  };
  // A program that was built otherwise would read nonsense.
  static constexpr std::uint64_t this_form = 0x7765'6972'0006'0000U + sizeof(layout);

  void map(int access);

  unique_fd fd_;
  layout* memory_ = nullptr;
};

}  // namespace weir::process
