#pragma once
// connection: what happens between accept and the handler where something lies on the socket.

#include <utility>

#include "weir/connection/connection.hpp"
#include "weir/listen/socket_layers.hpp"
#include "weir/task/task.hpp"

namespace weir {

class connection_starter;

// The right to one of the handshakes that a core may have at a time. Thread: any.
class opening_place {
 public:
  opening_place() = default;  // none
  explicit opening_place(connection_starter& of) noexcept : of_(&of) {}
  opening_place(opening_place&& other) noexcept : of_(std::exchange(other.of_, nullptr)) {}
  opening_place& operator=(opening_place&&) = delete;
  ~opening_place() { give_back(); }
  void give_back() noexcept;

 private:
  connection_starter* of_ = nullptr;
};

// Opens the layers of a new connection, from the outside in, and then runs the handler of `at`, or, where the
// policy goes by the address of the client, sends it to another starter. A connection whose layers cannot be
// opened, or not in time, is closed, and no handler begins. The connection has an edge; with TLS its
// opening_deadline has begun.
[[nodiscard]] task<> open_layers_and_serve(connection client, socket_layers layers, connection_starter* at,
                                           opening_place place);

// A connection that is listened to gets a layer that changes nothing, if it has none.
void set_tapped_layer(connection_state& c);

// Until the layer of `c` is open: 0, or an errno.
[[nodiscard]] task<int> open_layer(connection_state* c);

}  // namespace weir
