#include "weir/connection/detail/open_layers.hpp"

#include <cerrno>
#include <memory>
#include <system_error>
#include <utility>

#include "kinds.hpp"
#include "weir/connection/detail/connection_starter.hpp"
#include "weir/connection/detail/plain_layer.hpp"
#include "weir/connection/detail/proxy_rules.hpp"

namespace weir {
namespace detail {
namespace {

extern const operation_kind kind_of_open;

// Waits until the layer is open: 0, or an errno.
struct open_operation : connection_operation {
  explicit open_operation(connection_state& c) noexcept : connection_operation(kind_of_open, c) {}
  bool await_ready() const noexcept { return false; }
  template <task_promise P>
  void await_suspend(std::coroutine_handle<P> h) {
    wait_to_read(h);
  }
  int await_resume() const noexcept { return error; }

  int error = 0;
};

bool proceed_open(operation& op) noexcept {
  auto& self = static_cast<open_operation&>(op);
  connection_state& c = *self.on;
  const long n = c.end != ending::none || c.fd < 0 ? -ECONNRESET : c.layer()->open();
  c.moved_slowly();
  if (n == -EAGAIN) {
    self.park_reading();
    return false;
  }
  self.error = static_cast<int>(-n);
  self.leave_reading();
  return true;
}

bool cancel_open(operation& op, int error) noexcept {
  auto& self = static_cast<open_operation&>(op);
  self.leave_reading();
  self.error = error;
  return true;
}

const operation_kind kind_of_layered_open{
    .proceed = proceed_open, .cancel = cancel_open, .layered = &kind_of_layered_open};
const operation_kind kind_of_open{
    .proceed = proceed_open, .cancel = cancel_open, .layered = &kind_of_layered_open};

}  // namespace
}  // namespace detail

void set_tapped_layer(connection_state& c) {
  if (c.edge() != nullptr && c.edge()->tap != nullptr && c.layer() == nullptr)
    c.set_layer(std::make_unique<plain_layer>());
}

task<int> open_layer(connection_state& c) {
  detail::open_operation opening(c);
  const int error = co_await opening;
  co_return error;
}

task<> open_layers_and_serve(connection client, socket_layers layers, connection_starter* at,
                             opening_place place) {
  if (layers.proxy) {
    const bool is_known = co_await read_proxy_header(&client, &at->proxied());
    // With RST: input that nobody reads would make it linger.
    if (!is_known || !at->admit(client.state())) co_return client.abort();
    layers.proxy = false;
    if (at->has_moved(client, layers)) co_return;
  }
  connection_state& c = client.state();
  if (layers.tls) {
    const std::shared_ptr<layer_source> source = at->tls().get();
    c.set_layer(source->accept());
    detail::open_operation opening(c);
    const int error = co_await opening;
    if (error != 0) {
      const bool late = c.edge()->opening.has_expired();
      c.driver->counted()[late ? observe::figure::tls_timed_out : observe::figure::tls_failed].add(1);
      source->has_failed(late ? layer_source::failure::timeout : layer_source::failure::handshake, *c.layer(),
                         c.peer());
      late ? client.abort() : client.close();  // what was said to the peer is delivered
      co_return;
    }
    const bool resumed = c.layer()->was_resumed();
    c.driver->counted()[resumed ? observe::figure::tls_resumed : observe::figure::tls_full].add(1);
  }
  set_tapped_layer(c);
  c.edge()->opening.end();
  place.give_back();
  task<> serving = at->handler()(std::move(client));
  co_await std::move(serving);
}

}  // namespace weir
