#pragma once
// workers: a handler that runs on other threads than its connection's core.

#include <atomic>
#include <cstddef>

#include "weir/connection/detail/connection_table.hpp"
#include "weir/connection/detail/migration.hpp"
#include "weir/core/detail/standing_post.hpp"

namespace weir {

class worker_migration;

// A thread on which handlers run: a core, and the connections whose handlers are there now.
// Thread: the core's, unless said otherwise. Lifetime: outlives the connections that visit it.
class worker : private io::timer {
 public:
  explicit worker(core& c);
  worker(const worker&) = delete;
  worker& operator=(const worker&) = delete;
  ~worker();

  // Goes on with the handler of `c`, until it waits.
  void take_in(connection_state& c);

  // Tells those whose handlers are here what their own cores could not.
  void take_pending_events() noexcept;

  [[nodiscard]] core& home() const noexcept { return core_; }

  // Any thread. Handlers that are here: they run, or wait for something else than their connection's core.
  [[nodiscard]] std::size_t residents() const noexcept { return count_.load(std::memory_order_relaxed); }

 private:
  friend worker_migration;
  void look_later();

  core& core_;
  standing_post events_{core_, [this] { take_pending_events(); }};
  connection_table& connected_;  // the connections that handlers have made here: what holds one stays
  worker_migration* first_ = nullptr;
  std::atomic<std::size_t> count_{0};
  bool will_look_ = false;
};

// Problem: a connection whose handler may run on any of several threads must be in one of them at a time.
// While it waits for its socket the connection's core holds it, and one event is armed; the event gives it to
// a worker, which holds it until the handler waits for the socket again. An event in between (a stop, a cut)
// is left for the holder to find. A handler that has children, or whose worker has connections of its own
// making, waits on its worker.
class worker_migration final : public migration {
 public:
  worker_migration(connection_state& c, worker_queue& at) noexcept;
  worker_migration(const worker_migration&) = delete;
  worker_migration& operator=(const worker_migration&) = delete;

  static void* operator new(std::size_t size) { return block_pool::allocate(size); }
  static void operator delete(void* p, std::size_t size) noexcept { block_pool::deallocate(p, size); }

  void park(operation& op, bool for_reading) noexcept override;
  void hand_over() noexcept override;
  void leave() noexcept override;
  void end() noexcept override;
  void go_on() noexcept override;
  void go_on_in_reserved_place() noexcept override;
  void notify() noexcept override;
  void drop_answer() noexcept override;
  void check_idle(std::uint64_t now) noexcept override;

  // Its handler can go on, and waits for a worker: for a recorder.
  void is_ready() noexcept { ready_since_ = observe::nanoseconds_now(); }

 private:
  friend worker;
  friend class waiting_connections;
  enum class holder : std::uint8_t { core, worker, worker_notified };

  struct handoff_operation : operation {
    explicit handoff_operation(worker_migration& v) noexcept;
    static bool proceed(operation& op) noexcept;
    static bool cancel(operation&, int) noexcept { return true; }
    static constexpr operation_kind kind_of_handoff{
        .proceed = &proceed, .cancel = &cancel, .hands_over = true};
    worker_migration* of;
  };

  // Brings the connection to its core: one at a time.
  struct way_home : remote_wake {
    explicit way_home(worker_migration& v) noexcept : of(&v) { how = &arrival; }
    static chain* arrive(remote_wake* w) noexcept { return &static_cast<way_home*>(w)->of->of_; }
    static void drop(remote_wake*) noexcept {}
    static constexpr kind arrival{&arrive, &drop};
    worker_migration* of;
  };

  [[nodiscard]] bool claim() noexcept;
  void do_io() noexcept;
  void wait_at_worker(bool for_reading) noexcept;
  void wait_at_core(operation& op, bool for_reading) noexcept;
  void settle_at(worker& w) noexcept;
  void depart() noexcept;
  [[nodiscard]] core& home() const noexcept;

  connection_state& of_;
  worker_queue& work_;
  io::descriptor registration_;   // what the core's epoll set knows of the socket
  bool waits_for_place_ = false;  // in the queue of workers; the core holds it. The core's thread only
  // What has proceeded here, and whose coroutine is not resumed yet; `drop_` if that may hold something.
  operation* answered_ = nullptr;
  void (*drop_)(operation&) noexcept = nullptr;
  handoff_operation handoff_;
  way_home way_home_{*this};
  std::atomic<holder> holder_{holder::worker};  // as long as it is not armed, no other thread looks
  std::atomic<worker*> at_{nullptr};
  worker_migration* next_ = nullptr;  // the worker's list
  worker_migration** link_ = nullptr;
  worker_migration* next_waiting_ = nullptr;  // in waiting_connections
  std::uint64_t ready_since_ = 0;             // 0: nobody asks
};

// Connections that wait for a worker, in order. Intrusive: waiting takes no memory. Thread: one at a time.
class waiting_connections {
 public:
  void push(connection_state& c) noexcept;
  connection_state& pop() noexcept;  // of a list that is not empty
  void remove(connection_state& c) noexcept;
  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  worker_migration* first_ = nullptr;
  worker_migration** last_ = &first_;
  std::size_t size_ = 0;
};

}  // namespace weir
