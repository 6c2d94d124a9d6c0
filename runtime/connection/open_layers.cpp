#include "weir/connection/detail/open_layers.hpp"

#include <cerrno>
#include <memory>
#include <system_error>
#include <utility>

#include "kinds.hpp"
#include "weir/connection/detail/connection_starter.hpp"
#include "weir/connection/detail/plain_layer.hpp"
#include "weir/connection/detail/proxy_rules.hpp"
#include "weir/core/offload.hpp"

namespace weir {
namespace detail {
namespace {

extern const operation_kind kind_of_open;

// Waits until the layer is open, or until its next step is to be taken apart: 0, or an errno.
struct open_operation : connection_operation {
  explicit open_operation(connection_state& c, bool offloads = false) noexcept
      : connection_operation(kind_of_open, c), may_offload(offloads) {}
  bool await_ready() noexcept { return was_apart && attempt(); }
  template <task_promise P>
  void await_suspend(std::coroutine_handle<P> h) {
    wait_to_read(h);
  }
  int await_resume() const noexcept { return error; }

  // False: more input is awaited, and what there was to send was sent.
  bool attempt() noexcept {
    connection_state& c = *on;
    const bool gone = c.end != ending::none || c.fd < 0;
    is_apart = !gone && may_offload && c.layer()->opens_slowly();
    const long n = gone ? -ECONNRESET : is_apart ? c.layer()->hear() : c.layer()->open();
    c.moved_slowly();
    error = static_cast<int>(-n);
    return n != -EAGAIN;
  }

  bool may_offload;
  bool was_apart = false;  // a step has been taken: no event is awaited
  bool is_apart = false;   // the next one is to be taken by take_step()
  int error = 0;
};

bool proceed_open(operation& op) noexcept {
  auto& self = static_cast<open_operation&>(op);
  if (!self.attempt()) {
    self.park_reading();
    return false;
  }
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

// On a thread of the offload pool, or here where that has none to spare. 0, or an errno. The layer outlives
// the step, the connection need not.
task<int> take_step(connection_state* c) {
  const std::shared_ptr<stream_layer> layer = c->edge()->layer;
  bool has_begun = true;
  try {
    task<> step = offload([layer] { layer->open_apart(); });
    co_await std::move(step);
  } catch (const std::system_error& e) {
    if (e.code() == std::errc::operation_canceled) co_return ECANCELED;
    has_begun = false;
  }
  if (!has_begun) layer->open_apart();
  layer->come_home();
  co_return 0;
}

// Only the loop of a core is held up by a handshake; elsewhere its thread is one of many.
task<int> open(connection_state* c) {
  const bool may_offload = c->mode == io::wait_mode::layered;
  for (bool was_apart = false;; was_apart = true) {
    open_operation opening(*c, may_offload);
    opening.was_apart = was_apart;
    int error = co_await opening;
    if (error != 0 || !opening.is_apart) co_return error;
    error = co_await take_step(c);
    if (error != 0) co_return error;
  }
}

}  // namespace
}  // namespace detail

void set_tapped_layer(connection_state& c) {
  if (c.edge() != nullptr && c.edge()->tap != nullptr && c.layer() == nullptr)
    c.set_layer(std::make_unique<plain_layer>());
}

task<int> open_layer(connection_state* c) {
  detail::open_operation opening(*c);
  const int error = co_await opening;
  co_return error;
}

task<> open_layers_and_serve(connection client, socket_layers layers, connection_starter* at,
                             opening_place place) {
  if (layers.proxy) {
    const bool is_known = co_await read_proxy_header(&client, &at->proxied());
    // With RST: input that is not read would make it linger.
    if (!is_known || !at->admit(client.state())) co_return client.abort();
    layers.proxy = false;
    if (at->has_moved(client, layers)) co_return;
  }
  connection_state& c = client.state();
  if (layers.tls) {
    const std::shared_ptr<layer_source> source = at->tls().get();
    c.set_layer(source->accept());
    const int error = co_await detail::open(&c);
    if (error != 0) {
      const bool late = c.edge()->opening.has_expired();
      c.driver->counted()[late ? observe::figure::tls_timed_out : observe::figure::tls_failed].add(1);
      source->has_failed(late ? layer_source::failure::timeout : layer_source::failure::handshake, *c.layer(),
                         c.peer());
      late ? client.abort() : client.close();  // what was said to the peer is delivered
      co_return;
    }
    const bool resumed = c.edge()->layer->was_resumed();
    c.driver->counted()[resumed ? observe::figure::tls_resumed : observe::figure::tls_full].add(1);
  }
  set_tapped_layer(c);
  c.edge()->opening.end();
  place.give_back();
  task<> serving = at->handler()(std::move(client));
  co_await std::move(serving);
}

}  // namespace weir
