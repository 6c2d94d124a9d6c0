// A connection with something between its socket and its handler.
#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <string>
#include <utility>

#include "kinds.hpp"
#include "weir/connection/detail/connection_table.hpp"

namespace weir {

void connection_state::set_edge(kept_edge e) {
  const bool has_layer = e != nullptr && e->layer != nullptr;
  peer_.set_edge(std::move(e));
  if (has_layer) begin_layer();
}

kept_edge connection_state::take_edge() noexcept {
  layered_ = false;
  if (connection_edge* const e = edge())
    e->opening.leave(*this);  // another core would destroy an armed timer
  return peer_.take_edge();
}

void connection_state::set_layer(std::unique_ptr<stream_layer> l) {
  if (edge() == nullptr) set_edge(std::make_unique<connection_edge>());
  // A ring may have read beyond the header of the PROXY protocol.
  std::string early;
  detail::take_read_ahead(*this, early);
  l->begin_with(std::move(early));
  edge()->layer = std::move(l);
  begin_layer();
}

void connection_state::begin_layer() noexcept {
  driver->forget(*this);
  edge()->layer->attach(*this);
  layered_ = true;
  // From here on its own descriptor is never ready, so that operations wait, and never registered.
  readable = writable = false;
  if (mode == io::wait_mode::loop) mode = io::wait_mode::layered;
}

void connection_state::expect(bool ready) noexcept {
  if (layered_)
    layer()->expect(ready);
  else
    readable = writable = ready;
}

void connection_state::leave_driver() noexcept {
  driver->forget(*this);
  if (layered_) layer()->leave_driver();
}

void connection_state::shut_output() noexcept {
  if (layered_ && fd >= 0) {
    layer()->expect(true);  // where the socket is shut, and on whatever thread, it may be written to
    layer()->end_output();
    if (layer()->flush() == -EAGAIN) return layer()->shut_when_flushed();
  }
  ::shutdown(fd, SHUT_WR);
}

void opening_deadline::begin(connection_state& c, std::chrono::milliseconds limit) {
  of_ = &c;
  fire = [](io::timer& t) noexcept {
    auto& self = static_cast<opening_deadline&>(t);
    if (self.ended_.load(std::memory_order_relaxed)) return;
    self.expired_.store(true, std::memory_order_relaxed);
    self.of_->cut();
  };
  c.home_core().timers().arm(*this, limit);
}

void opening_deadline::leave(connection_state& c) noexcept {
  if (of_ != nullptr) c.home_core().timers().disarm(*this);
  of_ = nullptr;
}

}  // namespace weir
