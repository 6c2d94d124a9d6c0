#pragma once
// connection: what is told of the bytes of a connection, on their way to and from its handler.

#include <cstddef>
#include <memory>

#include "weir/listen/peer_address.hpp"

namespace weir {

// Of one connection. The bytes are those that the handler sees: over TLS the plaintext. Only a connection
// with a stream_layer can be listened to, so that others pay nothing.
// Thread: the one that holds the connection. Lifetime: its connection's; its destruction is the end.
class stream_tap {
 public:
  stream_tap(const stream_tap&) = delete;
  stream_tap& operator=(const stream_tap&) = delete;
  virtual ~stream_tap() = default;

  virtual void has_received(const void* bytes, std::size_t size) noexcept = 0;
  // The layer has taken them.
  virtual void has_sent(const void* bytes, std::size_t size) noexcept = 0;
  // The peer has ended its output. May be told more than once.
  virtual void input_has_ended(bool by_reset) noexcept = 0;

 protected:
  stream_tap() = default;
};

// Of a server. Thread: any.
class tap_source {
 public:
  tap_source(const tap_source&) = delete;
  tap_source& operator=(const tap_source&) = delete;
  virtual ~tap_source() = default;

  // Null: this connection is not listened to. `is_secret`: it comes over TLS.
  [[nodiscard]] virtual std::unique_ptr<stream_tap> tap(const peer_address& peer,
                                                        bool is_secret) noexcept = 0;

 protected:
  tap_source() = default;
};

}  // namespace weir
