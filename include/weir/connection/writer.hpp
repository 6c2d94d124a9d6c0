#pragma once
// connection: replies gathered into one send.

#include <coroutine>
#include <cstddef>
#include <string_view>

#include "weir/connection/connection.hpp"
#include "weir/connection/write_buffer.hpp"

namespace weir {

class writer;

namespace detail {

struct fill_operation;

extern const operation_kind kind_of_flush;

struct flush_operation : write_operation {
  flush_operation(connection_state& c, writer& w, bool more) noexcept
      : write_operation(kind_of_flush, c), out(&w), more_follows(more) {}
  bool await_ready() noexcept {
    return on->writable && on->driver->spend() && attempt() == attempt_result::done;
  }
  attempt_result attempt() noexcept;
  template <class Way>
  attempt_result attempt_by() noexcept;

  writer* out;
  bool more_follows;
};

}  // namespace detail

// Problem: a send per reply is a system call per reply, also for a hundred pipelined requests. A writer
// gathers replies; flush() sends them. A reader that was given the writer flushes it when it has no complete
// message left, that is before it waits: then one batch of requests costs one send.
//
// What is not flushed when the writer dies is lost, and the connection ends with RST then: a part of the
// replies must not look like all of them. Thread: the connection's core. Lifetime: the connection outlives
// it.
class writer : public write_buffer {
 public:
  explicit writer(connection& to) noexcept : write_buffer(&to.state()), state_(&to.state()) {}

  ~writer() {
    if (pending() != 0) state_->owe();
  }

  // Sends everything: true. False if the peer is gone; what was not sent is dropped.
  // Cancel: throws operation_canceled; what is not sent yet stays in the writer.
  [[nodiscard]] detail::flush_operation flush() noexcept { return {*state_, *this, false}; }

  // The same, where a send on the connection follows at once, as of a file behind its head: the kernel may
  // wait for it, and both leave in one packet.
  [[nodiscard]] detail::flush_operation flush_ahead() noexcept { return {*state_, *this, true}; }

 private:
  friend detail::flush_operation;
  friend detail::fill_operation;

  // One turn of sending. Without `done` something is left; done with an `error` the rest is dropped.
  template <class Way>
  [[nodiscard]] detail::attempt_result try_flush(int& error, bool more_follows = false) noexcept;

  connection_state* state_;
};

}  // namespace weir
