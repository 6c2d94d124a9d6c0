#pragma once
// accept: one accept4 as an awaitable: a permit first, then the connection.

#include <coroutine>
#include <cstdint>

#include "weir/admission/detail/permit_pool.hpp"
#include "weir/connection/detail/accepted_socket.hpp"
#include "weir/io/detail/driver.hpp"
#include "weir/listen/peer_address.hpp"
#include "weir/task/task.hpp"

namespace weir {

// A listening socket in the event loop. Level-triggered: after a lone connection there is no second accept4
// that could only say EAGAIN; under a burst the accepts go on until it is said.
struct listening_descriptor : io::descriptor {
  listening_descriptor(io::driver& d, int socket) noexcept {
    fd = socket;
    level = true;
    readable = false;
    driver = &d;
  }
  bool blocks_clients = false;  // the accepted sockets block
  bool burst = false;           // more than one connection came with the last wake-up
  std::uint64_t parked_in = 0;  // the batch in which the accept was parked
};

namespace detail {

// A connection that holds a permit, or why there is none. A plain value: what is awaited owns nothing.
struct accept_outcome {
  int error = 0;  // EUSERS if no permit is free, an errno of accept4(2) or epoll_ctl(2), ECANCELED
  int fd = -1;
  peer_address peer;
  bool has_permit = true;  // false: to be refused
};

// Cancel: ends with ECANCELED as a value; no connection is lost.
struct accept_operation : operation {
  // `refuse`: with no permit free the connection is accepted all the same, to be closed.
  accept_operation(listening_descriptor& l, permit_pool& permits, bool refuse = false) noexcept;

  bool await_ready() noexcept { return on->readable && on->driver->spend() && attempt(); }
  template <task_promise P>
  void await_suspend(std::coroutine_handle<P> h) noexcept {
    h.promise().root->suspend(*this, h);
    if (on->readable) return root->schedule();
    park();
  }
  accept_outcome await_resume() const noexcept { return outcome; }

  bool attempt() noexcept;
  void park() noexcept;

  listening_descriptor* on;
  permit_pool* permits;
  bool refuse;
  accept_outcome outcome;
};

// Waits until a client waits, and accepts nothing.
// Cancel: ends; the next accept_operation is told.
struct client_operation : operation {
  explicit client_operation(listening_descriptor& l) noexcept;

  bool await_ready() const noexcept { return false; }
  template <task_promise P>
  void await_suspend(std::coroutine_handle<P> h) noexcept {
    h.promise().root->suspend(*this, h);
    on->driver->park_reading(*on, *this);
  }
  void await_resume() const noexcept {}

  listening_descriptor* on;
};

}  // namespace detail
}  // namespace weir
