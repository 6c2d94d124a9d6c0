#include "weir/admin/detail/socket_bytes.hpp"

// Of the kernel, not of glibc, whose tcp_info ends before these figures. The two exclude each other.
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstddef>

namespace weir::admin {

std::optional<std::uint64_t> bytes_moved_on(int fd) noexcept {
  ::tcp_info info{};
  ::socklen_t size = sizeof info;
  constexpr auto needed = offsetof(::tcp_info, tcpi_bytes_received) + sizeof info.tcpi_bytes_received;
  if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 || size < needed) return std::nullopt;
  return info.tcpi_bytes_acked + info.tcpi_bytes_received;
}

}  // namespace weir::admin
