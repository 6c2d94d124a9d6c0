#include "weir/listen/peer_address.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <cstring>

namespace weir {
namespace {

// The finalizer of MurmurHash3: every bit of the address reaches every bit of the hash.
std::uint64_t mixed(std::uint64_t x) noexcept {
  x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdU;
  x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53U;
  return x ^ (x >> 33);
}

}  // namespace

peer_address peer_address::from(const sockaddr* address, socklen_t size) noexcept {
  peer_address out;
  if (address == nullptr || size < sizeof address->sa_family) return out;
  if (address->sa_family == AF_INET && size >= sizeof(sockaddr_in)) {
    sockaddr_in v4;
    std::memcpy(&v4, address, sizeof v4);
    out.kind_ = kind::tcp4;
    out.port_ = ntohs(v4.sin_port);
    std::memcpy(out.bytes_.data(), &v4.sin_addr, sizeof v4.sin_addr);
  } else if (address->sa_family == AF_INET6 && size >= sizeof(sockaddr_in6)) {
    sockaddr_in6 v6;
    std::memcpy(&v6, address, sizeof v6);
    out.port_ = ntohs(v6.sin6_port);
    if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
      out.kind_ = kind::tcp4;
      std::memcpy(out.bytes_.data(), v6.sin6_addr.s6_addr + 12, 4);
    } else {
      out.kind_ = kind::tcp6;
      out.scope_ = v6.sin6_scope_id;
      std::memcpy(out.bytes_.data(), &v6.sin6_addr, sizeof v6.sin6_addr);
    }
  } else if (address->sa_family == AF_UNIX) {
    out.kind_ = kind::unix_socket;
  }
  return out;
}

std::uint64_t peer_address::hash() const noexcept {
  if (!is_ip()) return 0;
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  std::memcpy(&high, bytes_.data(), sizeof high);
  std::memcpy(&low, bytes_.data() + sizeof high, sizeof low);
  return mixed(mixed(high + static_cast<std::uint64_t>(kind_)) ^ low);
}

std::string peer_address::to_string() const {
  char text[INET6_ADDRSTRLEN + 32];
  write_to(text, sizeof text);
  return text;
}

// NOLINTNEXTLINE(bugprone-exception-escape): the forms are checked by the compiler, and nothing is allocated
void peer_address::write_to(char* text, std::size_t size) const noexcept {
  if (size == 0) return;
  char host[INET6_ADDRSTRLEN] = "";
  const std::size_t room = size - 1;
  char* end = text;
  switch (kind_) {
    case kind::tcp4:
      ::inet_ntop(AF_INET, bytes_.data(), host, sizeof host);
      end = fmt::format_to_n(text, room, "{}:{}", host, port_).out;
      break;
    case kind::tcp6:
      ::inet_ntop(AF_INET6, bytes_.data(), host, sizeof host);
      end = scope_ == 0 ? fmt::format_to_n(text, room, "[{}]:{}", host, port_).out
                        : fmt::format_to_n(text, room, "[{}%{}]:{}", host, scope_, port_).out;
      break;
    case kind::unix_socket: end = fmt::format_to_n(text, room, "unix").out; break;
    case kind::none: end = fmt::format_to_n(text, room, "unknown").out; break;
  }
  *end = '\0';
}

}  // namespace weir
