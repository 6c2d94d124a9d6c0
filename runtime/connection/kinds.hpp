#pragma once
// connection: what the kinds of operation on a connection have in common.

#include <sys/types.h>

#include <string>

#include <cerrno>
#include <cstddef>

#include "weir/connection/detail/operations.hpp"
#include "weir/connection/detail/write_operations.hpp"
#include "weir/io/detail/completion_driver.hpp"

namespace weir::detail {

// What recv said, as far as it does not differ between operations. True if the operation is over.
// `between_messages`: nothing of a message has come, so that a server that stops may end the input here.
bool ended(connection_state& c, long n, bool between_messages) noexcept;

// A signal came before bytes did, in a call that does not wait: it is made again. In one that waits, its
// slice of time is over.
[[nodiscard]] inline bool interrupted(const connection_state& c, long n) noexcept {
  return n == -EINTR && c.mode != io::wait_mode::blocking;
}

// For a write_operation. What was not sent is owed.
bool cancel_write(operation& op, int error) noexcept;

// How an operation moves bytes: by system calls, or with a ring that has received already and answers like
// the call. `sending`: how it sends what goes before the bytes that it waits for.
struct by_call {
  using sending = by_call;
  static constexpr bool asks_ring = false;
  static constexpr bool knows_readiness = true;  // from what the last call has said
  static long flush(connection_state&) noexcept { return 0; }
  [[gnu::always_inline]] static long recv(connection_state& c, void* into, std::size_t size) noexcept {
    return system_call::recv(c.fd, into, size);
  }
  [[gnu::always_inline]] static long send(connection_state& c, const void* from, std::size_t size,
                                          int flags = 0) noexcept {
    return system_call::send(c.fd, from, size, flags);
  }
};
[[nodiscard]] inline io::completion_driver& ring_of(const connection_state& c) noexcept {
  return static_cast<io::completion_driver&>(*c.driver);
}
// Appends what a ring has read of `c` and no operation has taken. Errors: std::bad_alloc, and nothing is
// lost.
inline void take_read_ahead(connection_state& c, std::string& into) {
  if (!c.driver->stop_reading_ahead(c)) return;
  try {
    ring_of(c).take_held(c, into);
  } catch (...) {
    if (c.reading != nullptr) c.reading->root->schedule();  // which reads on
    throw;
  }
}

struct by_ring {
  using sending = by_call;
  static constexpr bool asks_ring = true;  // which counts what it receives
  static constexpr bool knows_readiness = false;
  static long recv(connection_state& c, void* into, std::size_t size) noexcept {
    return ring_of(c).recv(c, into, size);
  }
};

// Through the layer of the connection, which makes the system calls.
struct by_layer {
  using sending = by_layer;
  static constexpr bool asks_ring = false;
  static constexpr bool knows_readiness = false;
  static long recv(connection_state& c, void* into, std::size_t size) noexcept {
    if (c.fd < 0) return -EBADF;
    const long n = c.layer()->recv(into, size);
    if (stream_tap* const tap = c.edge()->tap.get(); tap != nullptr) tell(*tap, into, n);
    return n;
  }
  static long send(connection_state& c, const void* from, std::size_t size, int flags = 0) noexcept {
    std::size_t done = 0;
    while (done < size) {
      const long n =
          c.fd < 0 ? -EBADF : c.layer()->send(static_cast<const char*>(from) + done, size - done, flags);
      if (n <= 0) return done != 0 ? static_cast<long>(done) : n;
      if (stream_tap* const tap = c.edge()->tap.get(); tap != nullptr)
        tap->has_sent(static_cast<const char*>(from) + done, static_cast<std::size_t>(n));
      done += static_cast<std::size_t>(n);
    }
    return static_cast<long>(done);
  }
  static long flush(connection_state& c) noexcept { return c.fd < 0 ? -EBADF : c.layer()->flush(); }

 private:
  static void tell(stream_tap& tap, const void* bytes, long n) noexcept {
    if (n > 0) return tap.has_received(bytes, static_cast<std::size_t>(n));
    if (n == 0 || n == -ECONNRESET) tap.input_has_ended(n != 0);
  }
};

// What receive() answers without bytes: an errno, or 0 for an end.
inline bool receive_nothing(receive_operation& op, int error) noexcept {
  op.answer = static_cast<std::uintptr_t>(error);
  return true;
}
bool receive_end(receive_operation& op) noexcept;
bool cancel_receive(operation& op, int error) noexcept;
void drop_received(operation& op) noexcept;
bool cancel_read(operation& op, int error) noexcept;
extern const operation_kind kind_of_ring_receive;
// A block of bytes has come: its operation takes it, or the driver keeps it until the operation asks.
void finish_receive(operation& op, std::uintptr_t answer);
void finish_with_kept(operation& op, std::uintptr_t answer);

extern const operation_kind kind_of_layered_receive;
extern const operation_kind kind_of_layered_read;
extern const operation_kind kind_of_layered_send;
extern const operation_kind kind_of_layered_gather;
extern const operation_kind kind_of_layered_send_file;

template <class Op, class Way = by_call>
bool proceed_reading(operation& op) noexcept {
  auto& self = static_cast<Op&>(op);
  switch (self.template attempt_by<Way>()) {
    case attempt_result::done: self.leave_reading(); return true;
    case attempt_result::again: self.again(); return false;
    case attempt_result::blocked: self.park_reading(); return false;
  }
  return false;
}

template <class Op, class Way = by_call>
bool proceed_writing(operation& op) noexcept {
  auto& self = static_cast<Op&>(op);
  switch (self.template attempt_by<Way>()) {
    case attempt_result::done: self.leave_writing(); return true;
    case attempt_result::again: self.again(); return false;
    case attempt_result::blocked: self.park_writing(); return false;
  }
  return false;
}

}  // namespace weir::detail
