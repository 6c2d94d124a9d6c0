#pragma once
// connection: what a connection asks of the threads on which its handler runs, if these are not its core's.

#include <cstdint>

#include "weir/task/detail/chain.hpp"

namespace weir {

class connection_state;
class unattended_wait;

// One connection whose handler runs on worker threads. Implemented by workers/; a connection whose handler
// runs on its core has none.
class migration {
 public:
  migration(const migration&) = delete;
  migration& operator=(const migration&) = delete;
  virtual ~migration() = default;

  // Thread: the one that holds the connection. Each may give it to another thread: the caller does not touch
  // the connection afterwards. The operation waits for its direction.
  virtual void park(operation& op, bool for_reading) noexcept = 0;
  // The handler begins.
  virtual void hand_over() noexcept = 0;
  // The handler has ended: the connection goes to its core, from where it is.
  virtual void leave() noexcept = 0;

  // The socket is given up, or the handler has ended and the connection is on its core.
  virtual void end() noexcept = 0;

  // Thread: the core's, which holds the connection: the handler's operation, or the handler, goes on. The
  // second form where a place in the queue of workers is reserved for it.
  virtual void go_on() noexcept = 0;
  virtual void go_on_in_reserved_place() noexcept = 0;

  // Thread: the core's. There is an event for the handler, a stop or a cut, which the thread that holds the
  // connection takes.
  virtual void notify() noexcept = 0;

  // The handler is destroyed where it waits: frees what its operation has for it.
  virtual void drop_answer() noexcept = 0;

  // Thread: the core's. Ends the handler's wait if the core holds the connection and it is idle.
  virtual void check_idle(std::uint64_t now) noexcept = 0;

  unattended_wait* lingers = nullptr;  // the connection's, which has no room for both

 protected:
  migration() = default;
};

// Connections whose handlers can go on wait here for a worker thread.
class worker_queue {
 public:
  // `core_does_io`: the connection's core reads before a handler goes on and writes after it (a simulated
  // proactor); otherwise the worker that runs the handler does.
  explicit worker_queue(bool core_does_io) noexcept : core_does_io_(core_does_io) {}
  worker_queue(const worker_queue&) = delete;
  worker_queue& operator=(const worker_queue&) = delete;

  // The core's thread. Errors: std::bad_alloc.
  [[nodiscard]] virtual migration* migrate(connection_state& c) = 0;

  // Any thread that holds `c`. A worker takes it in sooner or later.
  virtual void push(connection_state& c) noexcept = 0;

  // The core's thread, which holds `c`. True: a place is reserved, until give_back(), which the caller calls
  // after it has pushed `c` or has not. False: too many wait for workers. Then nothing is read of `c`, and
  // connection_state::go_on_in_reserved_place() is called on the core's thread when there is room, unless it
  // is withdrawn before.
  [[nodiscard]] virtual bool reserve(connection_state& c) noexcept = 0;
  virtual void give_back() noexcept = 0;
  virtual void withdraw(connection_state& c) noexcept = 0;

  [[nodiscard]] bool core_does_io() const noexcept { return core_does_io_; }

 protected:
  ~worker_queue() = default;

 private:
  bool core_does_io_;
};

}  // namespace weir
