#pragma once
// connection: what a handle without a connection refers to.

#include "weir/connection/detail/connection_state.hpp"

namespace weir::detail {

// Closed, and an operation on it ends the program with a message.
union never_destroyed {
  never_destroyed() noexcept : state(connection_state::no_core) {}
  never_destroyed(const never_destroyed&) = delete;
  never_destroyed& operator=(const never_destroyed&) = delete;
  ~never_destroyed() {}
  connection_state state;
};
extern never_destroyed no_connection;

}  // namespace weir::detail
