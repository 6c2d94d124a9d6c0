#include "weir/connection/detail/open_layers.hpp"

#include <utility>

#include "weir/connection/detail/connection_starter.hpp"
#include "weir/connection/detail/proxy_rules.hpp"

namespace weir {

task<> open_layers_and_serve(connection client, socket_layers layers, connection_starter* at) {
  if (layers.proxy) {
    const bool is_known = co_await read_proxy_header(&client, &at->proxied());
    // With RST: input that nobody reads would make it linger.
    if (!is_known || !at->admit(client.state())) co_return client.abort();
    layers.proxy = false;
    if (at->has_moved(client, layers)) co_return;
  }
  task<> serving = at->handler()(std::move(client));
  co_await std::move(serving);
}

}  // namespace weir
