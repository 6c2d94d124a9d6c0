#pragma once
// connection: what the kinds of operation on a connection have in common.

#include <sys/types.h>

#include "weir/connection/detail/operations.hpp"

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

template <class Op>
bool proceed_reading(operation& op) noexcept {
  auto& self = static_cast<Op&>(op);
  switch (self.attempt()) {
    case attempt_result::done: self.leave_reading(); return true;
    case attempt_result::again: self.again(); return false;
    case attempt_result::blocked: self.park_reading(); return false;
  }
  return false;
}

template <class Op>
bool proceed_writing(operation& op) noexcept {
  auto& self = static_cast<Op&>(op);
  switch (self.attempt()) {
    case attempt_result::done: self.leave_writing(); return true;
    case attempt_result::again: self.again(); return false;
    case attempt_result::blocked: self.park_writing(); return false;
  }
  return false;
}

}  // namespace weir::detail
