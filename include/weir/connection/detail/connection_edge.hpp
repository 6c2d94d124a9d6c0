#pragma once
// connection: what lies between the socket and the handler of a few connections.

#include <memory>
#include <string>

#include "weir/listen/peer_address.hpp"

namespace weir {

// Changes bytes on their way between the socket and the handler. Implemented by tls/.
class stream_layer {
 public:
  stream_layer(const stream_layer&) = delete;
  stream_layer& operator=(const stream_layer&) = delete;
  virtual ~stream_layer() = default;

 protected:
  stream_layer() = default;
};

// It goes with the connection from core to core, and never to another process.
struct connection_edge {
  peer_address via;           // the balancer that has passed the connection on; none if there is none
  std::string tlvs;           // what the balancer has told beside the addresses, as it came
  bool counts_later = false;  // for its address: when the balancer has told it
  std::unique_ptr<stream_layer> layer;
};

using kept_edge = std::unique_ptr<connection_edge>;

}  // namespace weir
