#pragma once
// [listen] > accept > distribute > core > connection
// listen: what lies between the sockets of a listener and the handlers of its connections.

namespace weir {

// Of a connection, from the outside in: a header of the PROXY protocol, then TLS. Part of an address
// (endpoint), and of the messages between the processes of a pool.
struct socket_layers {
  bool proxy = false;
  bool tls = false;

  [[nodiscard]] constexpr bool any() const noexcept { return proxy || tls; }
  bool operator==(const socket_layers&) const = default;
};

}  // namespace weir
