#pragma once
// [listen] > accept > distribute > core > connection
// listen: a written address, parsed but not yet a socket.

#include <fmt/format.h>
#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "weir/listen/socket_layers.hpp"

namespace weir {

// What system calls want: an address of any family and how much of it counts.
struct socket_address {
  sockaddr_storage storage{};
  socklen_t size = 0;

  [[nodiscard]] const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage); }
};

// One address to listen on or to connect to:
//
//   127.0.0.1:7000   [::1]:7000   0.0.0.0:80 (v4 only)   [::]:80 (v6 only)   *:80 (both)
//   localhost:80 (127.0.0.1; names are not resolved)
//   unix:/path   unix:@name (abstract: no file)   fd:3 (a listening socket inherited at start)
//   systemd:NAME (the socket of the unit with FileDescriptorName=NAME)
//
// Port 0 asks the kernel for a free port.
//
// Before an address may stand what lies on its connections, from the outside in:
//
//   tls:127.0.0.1:8443   proxy:10.0.0.1:8080 (a header of the PROXY protocol)   proxy:tls:[::]:443
class endpoint {
 public:
  enum class kind : std::uint8_t { tcp4, tcp6, tcp_dual, unix_path, unix_abstract, inherited, named };

  // Errors: std::invalid_argument that quotes the address and tells how to write it.
  [[nodiscard]] static endpoint parse(std::string_view text);

  // From what getsockname(2) returned. `dual`: a v6 wildcard that accepts v4 too.
  // Errors: std::invalid_argument for another family.
  [[nodiscard]] static endpoint from(const sockaddr* address, socklen_t size, bool dual = false);

  [[nodiscard]] kind what() const noexcept { return kind_; }
  [[nodiscard]] bool is_tcp() const noexcept { return kind_ <= kind::tcp_dual; }
  [[nodiscard]] bool is_unix() const noexcept {
    return kind_ == kind::unix_path || kind_ == kind::unix_abstract;
  }

  // Of tcp; of fd:; of unix, without '@', and of systemd:, the name.
  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] endpoint with_port(std::uint16_t port) const;  // of tcp

  [[nodiscard]] socket_layers layers() const noexcept { return layers_; }
  [[nodiscard]] endpoint with_layers(socket_layers on_it) const;

  // For bind(2) and connect(2). A wildcard is the wildcard; connecting to it reaches this host on Linux.
  // Errors: std::invalid_argument for an inherited descriptor, with or without a name, which has no address
  // of its own.
  [[nodiscard]] socket_address to_sockaddr() const;

  // The text that parse() reads back as the same endpoint.
  [[nodiscard]] std::string to_string() const;

  bool operator==(const endpoint&) const = default;

 private:
  endpoint() = default;
  static endpoint parse_address(std::string_view text);

  kind kind_ = kind::tcp4;
  socket_layers layers_;
  std::uint16_t port_ = 0;
  std::uint32_t scope_ = 0;  // interface of a link-local v6 address
  int descriptor_ = -1;
  unsigned char bytes_[16] = {};  // network order; v4 uses the first four
  std::string path_;
};

}  // namespace weir

// As to_string(), for log lines.
template <>
struct fmt::formatter<weir::endpoint> : fmt::formatter<std::string> {
  template <class Context>
  auto format(const weir::endpoint& e, Context& to) const {
    return fmt::formatter<std::string>::format(e.to_string(), to);
  }
};
