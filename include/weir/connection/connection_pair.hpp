#pragma once
// connection: two connections with nothing between them.

#include "weir/connection/connection.hpp"

namespace weir {

// Two connections of one core that are each other's peer, over a socket pair: what one sends has come when
// send() returns. For tests of handlers (core/test_core.hpp), and for two tasks that want to talk in a
// stream. Neither has an idle timeout. Thread: the core's. Errors: std::system_error without descriptors,
// errc::not_on_a_core.
struct connection_pair {
  explicit connection_pair(core& on = core::here());
  connection client;
  connection server;
};

}  // namespace weir
