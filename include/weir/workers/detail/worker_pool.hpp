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
  worker_pool(const settings& s, bool fixed, std::vector<int> cpus, core_pool& loops);
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

 private:
  struct slot {
    slot(unsigned index, const std::vector<int>& cpus, const settings& s, offload_pool& offload)
        : thread(index, cpus, s, offload, {.handlers_migrate = true, .opens_late = true}),
          at(thread.home()) {}
    core_thread thread;
    worker at;
  };

  slot* free_slot();
  slot* new_slot();
  void work(slot& d);
  void grant_places() noexcept;
  void tell_of_room() noexcept;
  [[nodiscard]] bool has_room() const noexcept { return ready_.size() + reserved_ < settings_.workers.queue; }

  settings settings_;
  bool fixed_;
  std::vector<int> cpus_;
  core_pool& loops_;
  std::size_t most_;
  mutable std::mutex mutex_;
  std::deque<connection_state*> ready_;
  std::size_t reserved_ = 0;                // places that are promised to connections of loop 0
  std::deque<connection_state*> not_read_;  // held by loop 0 until there is a place for each
  std::deque<slot> slots_;
  std::size_t coming_ = 0;  // slot that were woken and have not looked yet
  std::vector<slot*> idle_;
  std::vector<slot*> resting_;  // without a thread
  bool stopping_ = false;
  bool stopped_ = false;
};

}  // namespace weir
