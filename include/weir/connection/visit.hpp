#pragma once
// connection: a handler that runs on other threads than its connection's core.

#include <atomic>
#include <cstddef>

#include "weir/connection/connection_state.hpp"

namespace weir {

class visit;

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
  void look_for_news() noexcept;

  [[nodiscard]] core& home() const noexcept { return core_; }

  // Any thread. Handlers that are here: they run, or wait for something else than their connection's core.
  [[nodiscard]] std::size_t residents() const noexcept { return count_.load(std::memory_order_relaxed); }

 private:
  friend visit;
  void look_later();

  core& core_;
  connection_table& connected_;  // the connections that handlers have made here: what holds one stays
  visit* first_ = nullptr;
  std::atomic<std::size_t> count_{0};
  bool will_look_ = false;
};

// Who runs the handlers.
class workplace {
 public:
  // `core_does_io`: the connection's core reads before a handler goes on and writes after it (a simulated
  // proactor); otherwise whoever runs the handler does.
  explicit workplace(bool core_does_io) noexcept : core_does_io_(core_does_io) {}
  workplace(const workplace&) = delete;
  workplace& operator=(const workplace&) = delete;

  // Any thread that holds `c`. A worker takes it in sooner or later.
  virtual void take_up(connection_state& c) noexcept = 0;

  // The core's thread, which holds `c`. False: too much waits for workers. Then nothing is read, and
  // connection_state::go_on() is called on the core's thread when there is room.
  [[nodiscard]] virtual bool has_room(connection_state& c) noexcept = 0;

  [[nodiscard]] bool core_does_io() const noexcept { return core_does_io_; }

 protected:
  ~workplace() = default;

 private:
  bool core_does_io_;
};

// Problem: a connection whose handler may run on any of several threads must be in one of them at a time.
// While it waits for its socket the connection's core holds it, and one event is armed; the event gives it to
// a worker, which holds it until the handler waits for the socket again. News in between (a stop, a cut) is
// left for the holder to find. A handler that has children, or whose worker has connections of its own
// making, waits on its worker.
class visit {
 public:
  visit(connection_state& c, workplace& at) noexcept;
  visit(const visit&) = delete;
  visit& operator=(const visit&) = delete;

  // Thread: who holds the connection.
  void park(operation& op, bool for_reading) noexcept;
  void hand_over() noexcept;
  // A handler has ended: the connection goes to its core, from where it is.
  void leave() noexcept;
  void end() noexcept;

  // Thread: the core's. It holds the connection: the handler's operation, or the handler, goes on.
  void go_on() noexcept;

  // Thread: the core's. There is news for the handler.
  void news() noexcept;

  // Thread: the core's. Takes hold of the connection if it is here.
  [[nodiscard]] bool hold_if_here() noexcept;
  void hold_no_more() noexcept { holder_.store(holder::core, std::memory_order_release); }

 private:
  friend worker;
  enum class holder : std::uint8_t { core, worker, worker_with_news };

  struct knock_operation : operation {
    explicit knock_operation(visit& v) noexcept;
    static bool proceed(operation& op) noexcept;
    static bool cancel(operation&, int) noexcept { return true; }
    static constexpr operation_kind kind_of_knock{&proceed, &cancel};
    visit* of;
  };

  [[nodiscard]] bool claim() noexcept;
  void do_io() noexcept;
  void wait_at_worker(operation& op, bool for_reading) noexcept;
  void wait_at_core(operation& op, bool for_reading) noexcept;
  void settle_at(worker& w) noexcept;
  void depart() noexcept;
  [[nodiscard]] core& home() const noexcept;

  connection_state& of_;
  workplace& work_;
  io::descriptor door_;  // what the core's epoll set knows of the socket
  knock_operation knock_;
  std::atomic<holder> holder_{holder::worker};  // as long as it is not armed, nobody else looks
  std::atomic<worker*> at_{nullptr};
  visit* next_ = nullptr;  // the worker's list
  visit** link_ = nullptr;
};

}  // namespace weir
