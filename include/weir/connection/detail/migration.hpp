#pragma once
// connection: what a connection asks of the threads on which its handler runs, if these are not its core's.

#include "weir/task/detail/chain.hpp"

namespace weir {

class connection_state;

// One connection whose handler runs on worker threads. Implemented by workers/; a connection on its own core
// has none.
class migration {
 public:
  migration(const migration&) = delete;
  migration& operator=(const migration&) = delete;
  virtual ~migration() = default;

  // Thread: the one that holds the connection.
  virtual void park(operation& op, bool for_reading) noexcept = 0;
  // Gives the connection to a worker. Resumes nothing here; the caller must not touch the connection
  // afterwards.
  virtual void hand_over() noexcept = 0;
  // The handler has ended: the connection goes to its core, from where it is.
  virtual void leave() noexcept = 0;
  virtual void end() noexcept = 0;

  // Thread: the core's. It holds the connection: the handler's operation, or the handler, goes on.
  virtual void go_on() noexcept = 0;

  // Thread: the core's. There is an event for the handler: a stop or a cut.
  virtual void notify() noexcept = 0;

  // Thread: the core's. Takes hold of the connection if it is here.
  [[nodiscard]] virtual bool hold_if_here() noexcept = 0;
  virtual void hold_no_more() noexcept = 0;

 protected:
  migration() = default;
};

// Ready connections that wait for a worker thread.
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

  // The core's thread, which holds `c`. False: too much waits for workers. Then nothing is read, and
  // connection_state::go_on() is called on the core's thread when there is room.
  [[nodiscard]] virtual bool has_room(connection_state& c) noexcept = 0;

  [[nodiscard]] bool core_does_io() const noexcept { return core_does_io_; }

 protected:
  ~worker_queue() = default;

 private:
  bool core_does_io_;
};

}  // namespace weir
