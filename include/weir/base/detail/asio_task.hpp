#pragma once
// base: the one door to Asio's private parts: what an io_context waits in.

#include "weir/base/asio.hpp"

namespace weir {

// What an io_context calls where it would wait, and the handlers that are to run after the wait. Both are a
// seam of Asio's own; only their place in the io_context is private.
using asio_task = asio::detail::scheduler_task;
using asio_handlers = asio::detail::op_queue<asio::detail::scheduler_operation>;

// An io_context that waits in a task of ours. Asio's reactor, for timers, signals and foreign sockets,
// becomes one descriptor that this task watches. Counts as work of the io_context. Thread: the one that runs
// the io_context. Lifetime: within the io_context's; no thread may post to it in the destructor.
class asio_wait {
 public:
  // Errors: std::system_error if there is no descriptor for Asio's reactor; the io_context waits as before.
  asio_wait(asio::io_context& context, asio_task& ours);
  asio_wait(const asio_wait&) = delete;
  asio_wait& operator=(const asio_wait&) = delete;
  ~asio_wait();

  // Readable, level-triggered, when the reactor has something to do.
  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }

  // HAZARD: `handlers` must have run before this is called again.
  void run_reactor(asio_handlers& handlers) { reactor_.run(0, handlers); }

 private:
  asio::detail::scheduler& scheduler_;
  asio::detail::epoll_reactor& reactor_;
  int descriptor_;
};

// Puts one handler into the queue of an io_context without taking memory, so it cannot fail. Requests that
// come before the handler has begun to run are one. Thread: any for request(); `run` is called by the thread
// that runs the io_context. Lifetime: it goes before the io_context.
class asio_turn {
 public:
  using function = void (*)(void* argument);
  // Errors: std::bad_alloc.
  asio_turn(asio::io_context& context, function run, void* argument);
  asio_turn(const asio_turn&) = delete;
  asio_turn& operator=(const asio_turn&) = delete;
  ~asio_turn();

  void request() noexcept;

 private:
  struct operation;

  asio::detail::scheduler& scheduler_;
  operation* operation_;
};

}  // namespace weir
