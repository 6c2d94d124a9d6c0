#include "weir/connection/connection.hpp"

#include <sys/socket.h>

namespace weir {

void connection::shutdown_send() noexcept { ::shutdown(state_->fd, SHUT_WR); }

peer_address connection::local() const noexcept {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(state_->fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
  return peer_address::from(reinterpret_cast<const sockaddr*>(&address), size);
}

}  // namespace weir
