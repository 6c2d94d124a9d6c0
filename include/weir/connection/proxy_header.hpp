#pragma once
// connection: the header of the PROXY protocol, by which a balancer tells for which client it has connected.
// The protocol: https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "weir/listen/peer_address.hpp"

namespace weir {

enum class proxy_version : std::uint8_t { v1, v2 };  // one line of text; binary, and it may hold TLVs

// What a header says.
struct proxy_header {
  bool has_client =
      false;  // false: the balancer speaks for itself (LOCAL), or does not know (UNKNOWN, UNSPEC)
  peer_address client = {};
  peer_address server = {};  // where the client has connected to
  std::string tlvs = {};     // of v2, as they came: see proxy_tlv()
  bool operator==(const proxy_header&) const = default;
};

// For a server that you connect to, before the first byte of your own. An address that is no IP address, or
// none, makes the client unknown. Thread: any.
[[nodiscard]] std::string write_proxy_header(proxy_version version, const peer_address& client,
                                             const peer_address& server);

// The value of the first TLV of that type: 0x01 is the ALPN, 0x02 the server name that the client has asked
// for, 0x05 an identifier, 0x20 the TLS of the client (TLVs within). Lifetime: that of `tlvs`.
[[nodiscard]] std::optional<std::string_view> proxy_tlv(std::string_view tlvs, std::uint8_t type) noexcept;

// How far the bytes that have come make a header. They must not be more than the header: an incomplete one
// says how many bytes of it follow at least, and as many may be read.
struct parsed_proxy_header {
  enum class state : std::uint8_t { incomplete, complete, malformed };

  state is = state::incomplete;
  std::size_t needs = 0;      // of an incomplete one, at least 1
  std::string_view why = {};  // of a malformed one
  proxy_header header = {};   // of a complete one
};

// Nothing is guessed: what is not exactly as the protocol says, or longer than `longest_proxy_header`, is
// malformed. A CRC32C is verified. Errors: std::bad_alloc. Thread: any.
[[nodiscard]] parsed_proxy_header parse_proxy_header(std::string_view bytes);

inline constexpr std::size_t longest_proxy_header = 4096;

}  // namespace weir
