#pragma once
// connection: why a connection gives no more bytes.

#include <cstdint>

namespace weir {

enum class ending : std::uint8_t {
  none,         // it is open
  peer_closed,  // the peer sent FIN
  peer_reset,   // the peer, or the network, broke it
  idle,         // no byte moved for the idle timeout
  stopping,     // the server stops
  closed,       // this side closed it
};

}  // namespace weir
