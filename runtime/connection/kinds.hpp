#pragma once
// connection: what the kinds of operation on a connection have in common.

#include <sys/types.h>

#include "weir/connection/detail/operations.hpp"

namespace weir::detail {

// What recv said, as far as it does not differ between operations. True if the operation is over.
// `between_messages`: nothing of a message has come, so that a server that stops may end the input here.
bool ended(connection_state& c, long n, bool between_messages) noexcept;

// For a write_operation.
bool cancel_write(operation& op, int error) noexcept;

template <class Op>
bool proceed_writing(operation& op) noexcept {
  auto& self = static_cast<Op&>(op);
  self.on->writing = nullptr;
  if (self.attempt()) return true;
  self.park_writing();
  return false;
}

}  // namespace weir::detail
