#include "weir/connection/detail/open_layers.hpp"

#include <utility>

namespace weir {

task<> open_layers_and_serve(connection client, socket_layers /*layers*/, const connection_handler& handler) {
  task<> serving = handler(std::move(client));
  co_await std::move(serving);
}

}  // namespace weir
