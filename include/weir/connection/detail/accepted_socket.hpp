#pragma once
// accept > [connection]
// connection: a socket that was accepted and has no core yet.

#include "weir/admission/detail/permit_pool.hpp"
#include "weir/base/unique_fd.hpp"
#include "weir/listen/peer_address.hpp"

namespace weir {

// A connection on its way from the listener to its core, with the permit that it holds.
struct accepted_socket {
  unique_fd fd;
  peer_address peer;
  permit_pool::permit permit;
};

}  // namespace weir
