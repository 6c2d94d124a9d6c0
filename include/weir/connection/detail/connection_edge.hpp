#pragma once
// connection: what lies between the socket and the handler of a few connections.

#include <memory>
#include <string>

#include "weir/connection/detail/opening_deadline.hpp"
#include "weir/connection/detail/stream_layer.hpp"
#include "weir/connection/detail/stream_tap.hpp"
#include "weir/listen/peer_address.hpp"

namespace weir {

// It goes with the connection from core to core, and never to another process.
struct connection_edge {
  peer_address via;           // the balancer that has passed the connection on; none if there is none
  std::string tlvs;           // what the balancer has told beside the addresses, as it came
  bool counts_later = false;  // for its address: when the balancer has told it
  std::shared_ptr<stream_layer> layer;  // shared with a step of its opening on another thread
  std::unique_ptr<stream_tap> tap;      // only with a layer
  opening_deadline opening;
};

using kept_edge = std::unique_ptr<connection_edge>;

}  // namespace weir
