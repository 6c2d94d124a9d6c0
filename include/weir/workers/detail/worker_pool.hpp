#pragma once
// workers: the threads that run handlers in the models with workers.

#include <cstddef>
#include <deque>
#include <mutex>
#include <vector>

#include "weir/core/core_pool.hpp"
#include "weir/core/detail/core_thread.hpp"
#include "weir/workers/detail/worker_migration.hpp"

namespace weir {

// Connections whose handlers can go on wait in one queue for the next free worker.
// Thread: any, unless said otherwise.
class worker_pool final : public worker_queue {
 public:
  // `fixed`: settings.workers.count threads. Otherwise a thread for each event that finds none free, at most
  // settings.workers.most; a few stay for the next events.
  // `cpus`: where the threads may run; empty for anywhere. `loops`: the cores of the connections.
  // `ledger`: where it is counted what they do.
  worker_pool(const settings& s, bool fixed, std::vector<int> cpus, core_pool& loops,
              observe::process_ledger* ledger = nullptr);
  ~worker_pool() { stop(); }

  // The owner's thread. Errors: std::system_error without a thread.
  void start();

  // Tells the handlers that the server stops.
  void tell() noexcept;

  // The owner's thread, when the loops have ended.
  void stop() noexcept;

  [[nodiscard]] migration* migrate(connection_state& c) override { return new worker_migration(c, *this); }
  void push(connection_state& c) noexcept override;
  [[nodiscard]] bool reserve(connection_state& c) noexcept override;
  void give_back() noexcept override;
  void withdraw(connection_state& c) noexcept override;

  // Threads that there are now.
  [[nodiscard]] std::size_t threads() const noexcept;

  // The cores of all threads that there were, which live as long as this. Errors: std::bad_alloc.
  [[nodiscard]] std::vector<core*> cores();

 private:
  struct slot {
    slot(unsigned index, worker_pool& of);
    core_thread thread;
    worker at;
    standing_post come;   // it was woken for a connection that is ready
    standing_post go_on;  // there are more, after its timers and posts had their turn
    standing_post tell_stop;
  };

  slot* free_slot();
  slot* new_slot();
  slot* wake_resting();
  void work(slot& d);
  void grant_places() noexcept;
  void tell_of_room() noexcept;
  void own_work_ended(slot& d);
  [[nodiscard]] bool has_room() const noexcept { return ready_.size() + reserved_ < settings_.workers.queue; }

  settings settings_;
  bool fixed_;
  std::vector<int> cpus_;
  core_pool& loops_;
  observe::process_ledger* ledger_;
  std::size_t most_;
  mutable std::mutex mutex_;
  waiting_connections ready_;
  std::size_t reserved_ = 0;      // places that are promised to connections of loop 0
  waiting_connections not_read_;  // held by loop 0 until there is a place for each
  std::deque<slot> slots_;
  standing_post room_;      // on loop 0: there is room for connections that are not read
  std::size_t coming_ = 0;  // slot that were woken and have not looked yet
  std::vector<slot*> idle_;
  std::vector<slot*> resting_;  // without a thread
  bool stopping_ = false;
  bool stopped_ = false;
};

}  // namespace weir
