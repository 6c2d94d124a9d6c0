#pragma once
// accept > [connection]
// connection: a socket that was accepted and has no core yet.

#include "weir/admission/detail/permit_pool.hpp"
#include "weir/base/unique_fd.hpp"
#include "weir/connection/detail/connection_edge.hpp"
#include "weir/listen/peer_address.hpp"
#include "weir/listen/socket_layers.hpp"

namespace weir {

// A connection on its way from the listener to its core, with the permit that it holds.
struct accepted_socket {
  unique_fd fd;
  peer_address peer;
  permit_pool::permit permit;
  socket_layers layers = {};  // of a new one: they are still to be opened
  kept_edge edge = {};        // of one that was parked: they are open
};

}  // namespace weir
