// The headers of the PROXY protocol that are sent.
#include <arpa/inet.h>
#include <fmt/format.h>

#include <array>
#include <cstring>

#include "weir/connection/proxy_header.hpp"

namespace weir {
namespace {

// An address as 16 bytes: a v4 address is mapped, ::ffff:192.0.2.1.
std::array<std::uint8_t, 16> wide(const peer_address& a) noexcept {
  std::array<std::uint8_t, 16> out{};
  const auto bytes = a.bytes();
  if (bytes.size() == 4) out[10] = out[11] = 0xff;
  std::memcpy(out.data() + out.size() - bytes.size(), bytes.data(), bytes.size());
  return out;
}

std::string text_of(int family, const void* bytes) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  return ::inet_ntop(family, bytes, text.data(), text.size());
}

void add(std::string& to, const void* bytes, std::size_t size) {
  to.append(static_cast<const char*>(bytes), size);
}

void add_port(std::string& to, std::uint16_t port) {
  to += static_cast<char>(port >> 8);
  to += static_cast<char>(port & 0xff);
}

}  // namespace

std::string write_proxy_header(proxy_version version, const peer_address& client,
                               const peer_address& server) {
  const bool known = client.is_ip() && server.is_ip();
  const bool is_v4 = known && client.bytes().size() == 4 && server.bytes().size() == 4;
  const auto from = wide(client);
  const auto to = wide(server);
  const std::size_t skipped = is_v4 ? 12 : 0;
  if (version == proxy_version::v1) {
    if (!known) return "PROXY UNKNOWN\r\n";
    const int family = is_v4 ? AF_INET : AF_INET6;
    return fmt::format("PROXY {} {} {} {} {}\r\n", is_v4 ? "TCP4" : "TCP6", text_of(family, &from[skipped]),
                       text_of(family, &to[skipped]), client.port(), server.port());
  }
  constexpr char signature[] = "\r\n\r\n\0\r\nQUIT\n\x21";
  std::string out(signature, sizeof signature - 1);
  const std::size_t address = known ? from.size() - skipped : 0;
  out += known ? (is_v4 ? '\x11' : '\x21') : '\0';
  add_port(out, static_cast<std::uint16_t>(known ? 2 * address + 4 : 0));
  if (!known) return out;
  add(out, &from[skipped], address);
  add(out, &to[skipped], address);
  add_port(out, client.port());
  add_port(out, server.port());
  return out;
}

}  // namespace weir
