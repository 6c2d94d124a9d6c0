#include "weir/connection/proxy_header.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <utility>

namespace weir {
namespace {

using namespace std::string_view_literals;
using state = parsed_proxy_header::state;

constexpr auto first_word = "PROXY "sv;
constexpr auto signature = "\r\n\r\n\0\r\nQUIT\n"sv;
constexpr std::size_t shortest = "PROXY UNKNOWN\r\n"sv.size();
constexpr std::size_t longest_line = 107;
constexpr std::size_t v2_head = 16;
constexpr std::size_t tlv_head = 3;
constexpr std::uint8_t tlv_crc32c = 0x03;
constexpr std::size_t crc_size = 4;

parsed_proxy_header malformed(std::string_view why) { return {.is = state::malformed, .why = why}; }

parsed_proxy_header incomplete(std::size_t needs) { return {.is = state::incomplete, .needs = needs}; }

std::uint8_t byte(std::string_view bytes, std::size_t at) noexcept {
  return static_cast<std::uint8_t>(bytes[at]);
}

std::size_t two_bytes(std::string_view bytes, std::size_t at) noexcept {
  return std::size_t{byte(bytes, at)} << 8 | byte(bytes, at + 1);
}

// `bytes`: the address in network order. `port`: in host order.
peer_address ip(int family, const char* bytes, std::uint16_t port) noexcept {
  if (family == AF_INET) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    std::memcpy(&v4.sin_addr, bytes, sizeof v4.sin_addr);
    return peer_address::from(reinterpret_cast<const sockaddr*>(&v4), sizeof v4);
  }
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  std::memcpy(&v6.sin6_addr, bytes, sizeof v6.sin6_addr);
  return peer_address::from(reinterpret_cast<const sockaddr*>(&v6), sizeof v6);
}

std::optional<std::uint16_t> port_of(std::string_view text) noexcept {
  if (text.empty() || text.size() > 5 || (text.size() > 1 && text.front() == '0')) return std::nullopt;
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value > 65535) return std::nullopt;
  return static_cast<std::uint16_t>(value);
}

// inet_pton(3) takes no number with a leading zero, which some read as octal.
std::optional<peer_address> address_of(int family, std::string_view text, std::uint16_t port) {
  std::array<char, sizeof(in6_addr)> bytes{};
  if (::inet_pton(family, std::string(text).c_str(), bytes.data()) != 1) return std::nullopt;
  return ip(family, bytes.data(), port);
}

// --- version 1: PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\n

constexpr std::size_t fields = 4;  // two addresses, two ports

// The fewest bytes that make a line of `text`, which has no end yet.
std::size_t missing(std::string_view text, bool is_v4) noexcept {
  const std::array<std::size_t, fields> least{is_v4 ? 7U : 2U, is_v4 ? 7U : 2U, 1U, 1U};
  const bool ends = !text.empty() && text.back() == '\r';
  std::size_t sum = ends ? 1 : 2;
  const auto present = static_cast<std::size_t>(std::count(text.begin(), text.end(), ' '));
  if (ends || present >= fields) return sum;
  if (text.empty() || text.back() == ' ') sum += least[present];
  for (std::size_t i = present + 1; i < fields; ++i) sum += 1 + least[i];
  return sum;
}

parsed_proxy_header parse_addresses(std::string_view text, int family) {
  std::array<std::string_view, fields> each;
  for (std::size_t i = 0; i < fields; ++i) {
    const auto end = i + 1 < fields ? text.find(' ') : text.size();
    if (end == std::string_view::npos) return malformed("a line without two addresses and two ports");
    each[i] = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  const auto from_port = port_of(each[2]);
  const auto to_port = port_of(each[3]);
  if (!from_port || !to_port) return malformed("a port that is no number up to 65535");
  const auto from = address_of(family, each[0], *from_port);
  const auto to = address_of(family, each[1], *to_port);
  if (!from || !to) return malformed("an address that is not of the family that it is said to be");
  return {.is = state::complete, .header = {.has_client = true, .client = *from, .server = *to}};
}

parsed_proxy_header parse_line(std::string_view bytes) {
  const auto control = std::find_if(bytes.begin(), bytes.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e;
  });
  const auto at = static_cast<std::size_t>(control - bytes.begin());
  const bool ends = bytes.substr(at) == "\r\n";
  if (!ends && at != bytes.size() && bytes.substr(at) != "\r")
    return malformed("a line with control characters");
  if (bytes.size() > longest_line || (!ends && bytes.size() == longest_line))
    return malformed("a line of more than 107 bytes");
  const auto rest = [&](std::string_view word) -> std::optional<std::string_view> {
    if (!bytes.starts_with(word)) return std::nullopt;
    return bytes.substr(word.size(), ends ? at - word.size() : std::string_view::npos);
  };
  for (const bool is_v4 : {true, false})
    if (const auto text = rest(is_v4 ? "PROXY TCP4 " : "PROXY TCP6 ")) {
      if (ends) return parse_addresses(*text, is_v4 ? AF_INET : AF_INET6);
      return incomplete(
          std::max(missing(*text, is_v4), bytes.size() < shortest ? shortest - bytes.size() : 1));
    }
  constexpr auto unknown = "PROXY UNKNOWN"sv;
  if (ends) {
    const auto text = rest(unknown);
    if (text && (text->empty() || text->front() == ' ')) return {.is = state::complete};
    return malformed("a protocol that is none of TCP4, TCP6 and UNKNOWN");
  }
  for (const auto word : {"PROXY TCP4 "sv, "PROXY TCP6 "sv, unknown})
    if (word.starts_with(bytes.substr(0, word.size())))
      return incomplete(bytes.size() < shortest ? shortest - bytes.size() : bytes.back() == '\r' ? 1 : 2);
  return malformed("a protocol that is none of TCP4, TCP6 and UNKNOWN");
}

// --- version 2: a signature, version and command, family, length; addresses; TLVs

constexpr std::array<std::uint32_t, 256> make_crc_table() {
  std::array<std::uint32_t, 256> out{};
  for (std::uint32_t i = 0; i < out.size(); ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value & 1) != 0 ? value >> 1 ^ 0x82f63b78U : value >> 1;
    out[i] = value;
  }
  return out;
}

// Of the header, in which the checksum itself counts as zeros.
std::uint32_t crc32c(std::string_view header, std::size_t checksum_at) noexcept {
  static constexpr auto table = make_crc_table();
  std::uint32_t crc = ~0U;
  for (std::size_t i = 0; i < header.size(); ++i) {
    const bool is_checksum = i >= checksum_at && i < checksum_at + crc_size;
    crc = table[(crc ^ (is_checksum ? 0 : byte(header, i))) & 0xff] ^ crc >> 8;
  }
  return ~crc;
}

// What is wrong with the TLVs, which begin at `at`; empty if nothing is.
std::string_view mistake_in_tlvs(std::string_view header, std::size_t at) noexcept {
  bool has_crc = false;
  while (at < header.size()) {
    if (header.size() - at < tlv_head) return "a TLV that is cut off";
    const std::size_t size = two_bytes(header, at + 1);
    const std::size_t value = at + tlv_head;
    if (size > header.size() - value) return "a TLV that is longer than the header";
    if (byte(header, at) == tlv_crc32c) {
      if (std::exchange(has_crc, true) || size != crc_size) return "a CRC32C of a wrong form";
      const std::size_t said = two_bytes(header, value) << 16 | two_bytes(header, value + 2);
      if (said != crc32c(header, value)) return "a wrong CRC32C";
    }
    at = value + size;
  }
  return {};
}

struct family_row {
  std::uint8_t code;
  int family;
  std::size_t address;  // bytes of one
  std::size_t block;    // bytes of both, with ports
};

constexpr std::array families{family_row{0x11, AF_INET, 4, 12}, family_row{0x21, AF_INET6, 16, 36},
                              family_row{0x31, AF_UNIX, 108, 216}};

peer_address unix_peer() noexcept {
  constexpr sockaddr path{.sa_family = AF_UNIX, .sa_data = {}};
  return peer_address::from(&path, sizeof path);
}

parsed_proxy_header parse_binary(std::string_view bytes) {
  constexpr std::uint8_t local = 0x20;
  constexpr std::uint8_t proxied = 0x21;
  const std::uint8_t command = bytes.size() > 12 ? byte(bytes, 12) : local;
  if (command != local && command != proxied) return malformed("a version or a command that does not exist");
  if (bytes.size() < v2_head) return incomplete(v2_head - bytes.size());
  const std::size_t size = v2_head + two_bytes(bytes, 14);
  if (size > longest_proxy_header) return malformed("a header of more than 4096 bytes");
  const std::uint8_t code = byte(bytes, 13);
  const auto row =
      std::find_if(families.begin(), families.end(), [&](const family_row& f) { return f.code == code; });
  const bool has_client = command == proxied && code != 0;
  if (has_client && row == families.end()) return malformed("a family that is no kind of stream");
  if (has_client && size < v2_head + row->block) return malformed("a header too short for its addresses");
  if (bytes.size() < size) return incomplete(size - bytes.size());
  if (bytes.size() > size) return malformed("more bytes than the header says");
  if (!has_client) return {.is = state::complete};
  const std::size_t tlvs = v2_head + row->block;
  if (const auto why = mistake_in_tlvs(bytes, tlvs); !why.empty()) return malformed(why);
  parsed_proxy_header out{.is = state::complete, .header = {.has_client = true}};
  out.header.tlvs = bytes.substr(tlvs);
  if (row->family == AF_UNIX) {
    out.header.client = out.header.server = unix_peer();
    return out;
  }
  const char* const at = bytes.data() + v2_head;
  const std::size_t ports = v2_head + 2 * row->address;
  const auto port = [&](std::size_t where) { return static_cast<std::uint16_t>(two_bytes(bytes, where)); };
  out.header.client = ip(row->family, at, port(ports));
  out.header.server = ip(row->family, at + row->address, port(ports + 2));
  return out;
}

}  // namespace

parsed_proxy_header parse_proxy_header(std::string_view bytes) {
  if (bytes.substr(0, signature.size()) == signature.substr(0, bytes.size()) && !bytes.empty())
    return parse_binary(bytes);
  if (bytes.substr(0, first_word.size()) == first_word.substr(0, bytes.size()))
    return bytes.empty() ? incomplete(shortest) : parse_line(bytes);
  return malformed("no header of the PROXY protocol");
}

std::optional<std::string_view> proxy_tlv(std::string_view tlvs, std::uint8_t type) noexcept {
  while (tlvs.size() >= tlv_head) {
    const std::size_t size = std::min(two_bytes(tlvs, 1), tlvs.size() - tlv_head);
    if (byte(tlvs, 0) == type) return tlvs.substr(tlv_head, size);
    tlvs.remove_prefix(tlv_head + size);
  }
  return std::nullopt;
}

}  // namespace weir
