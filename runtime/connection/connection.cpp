#include "weir/connection/connection.hpp"

#include <sys/socket.h>

#include "weir/connection/proxy_header.hpp"

namespace weir {

void connection::shutdown_send() noexcept { state_->shut_output(); }

std::optional<tls_info> connection::tls() const {
  const stream_layer* const layer = state_->layer();
  if (layer == nullptr || !layer->is_secret()) return std::nullopt;
  return layer->info();
}

peer_address connection::local() const noexcept {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(state_->fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
  return peer_address::from(reinterpret_cast<const sockaddr*>(&address), size);
}

std::optional<std::string_view> connection::via_tlv(std::uint8_t type) const noexcept {
  const connection_edge* const e = state_->edge();
  return e == nullptr ? std::nullopt : proxy_tlv(e->tlvs, type);
}

}  // namespace weir
