#pragma once
// [listen] > accept > distribute > core > connection
// listen: the address of a peer. A connection keeps it in 8 bytes: connection/detail/kept_peer.hpp.

#include <fmt/format.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>

namespace weir {

class kept_peer;

// A remote or local address in 24 bytes, where sockaddr_storage takes 128. A v4 address that arrived at a
// dual socket (::ffff:1.2.3.4) is a v4 address. Of a unix socket only the kind is kept: clients have no path.
class peer_address {
 public:
  enum class kind : std::uint8_t { none, tcp4, tcp6, unix_socket };

  peer_address() = default;

  // What accept4(2), getpeername(2) or getsockname(2) gave. Another family, or too short a size: none.
  [[nodiscard]] static peer_address from(const sockaddr* address, socklen_t size) noexcept;

  [[nodiscard]] kind what() const noexcept { return kind_; }
  [[nodiscard]] bool is_unix() const noexcept { return kind_ == kind::unix_socket; }
  [[nodiscard]] bool is_ip() const noexcept { return kind_ == kind::tcp4 || kind_ == kind::tcp6; }
  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }

  // The same client whatever its port.
  [[nodiscard]] peer_address host() const noexcept {
    peer_address h = *this;
    h.port_ = 0;
    return h;
  }

  // In network order: 4 or 16; none of what is no IP address.
  [[nodiscard]] std::span<const std::uint8_t> bytes() const noexcept {
    return {bytes_.data(), kind_ == kind::tcp4 ? 4U : kind_ == kind::tcp6 ? 16U : 0U};
  }

  // Of the address without the port, so that one client has one hash. 0 if there is no address. The same in
  // every process. Not keyed: a client can choose addresses that collide, so use it for placement only.
  [[nodiscard]] std::uint64_t hash() const noexcept;

  // "192.0.2.1:4711", "[2001:db8::1]:4711", "unix", "unknown".
  [[nodiscard]] std::string to_string() const;

  // The same without allocating, cut to `size` bytes with the final zero. May be called in a signal handler.
  void write_to(char* text, std::size_t size) const noexcept;

  bool operator==(const peer_address&) const = default;

 private:
  friend kept_peer;

  std::array<std::uint8_t, 16> bytes_{};  // network order; v4 uses the first four
  std::uint32_t scope_ = 0;
  std::uint16_t port_ = 0;
  kind kind_ = kind::none;
};

static_assert(sizeof(peer_address) <= 24 && std::is_trivially_copyable_v<peer_address> &&
              std::is_trivially_destructible_v<peer_address>);

}  // namespace weir

// As to_string(), for log lines.
template <>
struct fmt::formatter<weir::peer_address> : fmt::formatter<fmt::string_view> {
  template <class Context>
  auto format(const weir::peer_address& a, Context& to) const {
    char text[80];
    a.write_to(text, sizeof text);
    return fmt::formatter<fmt::string_view>::format(text, to);
  }
};
