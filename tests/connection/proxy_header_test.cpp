#include "weir/connection/proxy_header.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

using namespace weir;
using namespace std::string_literals;
using namespace std::string_view_literals;
using state = parsed_proxy_header::state;

namespace {

struct good {
  std::string bytes;
  std::string client;  // empty: there is none
  std::string server = {};
};

struct bad {
  std::string bytes;
  std::string why;
};

std::string v2(char command, char family, std::string_view body, int size = -1) {
  const auto said = static_cast<std::size_t>(size < 0 ? static_cast<int>(body.size()) : size);
  std::string out = "\r\n\r\n\0\r\nQUIT\n"s;
  out += {command, family, static_cast<char>(said >> 8), static_cast<char>(said & 0xff)};
  return out.append(body);
}

const std::string four = "\xc0\x00\x02\x01\xc0\x00\x02\x02\x12\x67\x00\x50"s;  // 192.0.2.1:4711 192.0.2.2:80
const std::string one_v6 = "\x20\x01\x0d\xb8"s + std::string(11, '\0') + "\x01"s;
const std::string six = one_v6 + one_v6 + "\x12\x67\x01\xbb"s;
const std::string mapped = std::string(10, '\0') + "\xff\xff\xc0\x00\x02\x01"s;
const std::string unix_paths = std::string("/run/client") + std::string(205, '\0');
const std::string from = "192.0.2.1:4711";
const std::string to = "192.0.2.2:80";

// Of "\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x13", `four` and the TLV 03 00 04: a CRC32C that another program has
// made.
const std::string checked = v2('\x21', '\x11', four + "\x03\x00\x04\xa6\xcb\x74\x88"s);

const std::vector<good> right = {
    {"PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\n", from, to},
    {"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", "0.0.0.0:0", "0.0.0.0:0"},
    {"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255:65535",
     "255.255.255.255:65535"},
    {"PROXY TCP6 2001:db8::1 2001:db8::2 4711 443\r\n", "[2001:db8::1]:4711", "[2001:db8::2]:443"},
    {"PROXY TCP6 :: :: 1 1\r\n", "[::]:1", "[::]:1"},
    {"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 4711 80\r\n", from, to},
    {"PROXY TCP6 ffff:f00f:ffff:ffff:ffff:ffff:ffff:ffff ffff:f00f:ffff:ffff:ffff:ffff:ffff:ffff 65535 "
     "65535\r\n",
     "[ffff:f00f:ffff:ffff:ffff:ffff:ffff:ffff]:65535", "[ffff:f00f:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
    {"PROXY UNKNOWN\r\n", ""},
    {"PROXY UNKNOWN ffff:f00f:ffff:ffff:ffff:ffff:ffff:ffff ffff:f00f:ffff:ffff:ffff:ffff:ffff:ffff 65535 "
     "65535\r\n",
     ""},
    {"PROXY UNKNOWN what ever\r\n", ""},
    {v2('\x21', '\x11', four), from, to},
    {v2('\x21', '\x21', six), "[2001:db8::1]:4711", "[2001:db8::1]:443"},
    {v2('\x21', '\x21', mapped + mapped + "\x12\x67\x12\x67"s), from, from},
    {v2('\x21', '\x31', unix_paths), "unix", "unix"},
    {v2('\x21', '\x11', four + "\x01\x00\x02h2"s), from, to},
    {v2('\x21', '\x11', four + "\x04\x00\x00\x01\x00\x01x\xee\x00\x00"s), from, to},
    {v2('\x21', '\x11', four + "\x05\x04\x00"s + std::string(1024, 'i')), from, to},
    {v2('\x21', '\x11', four + "\x05\x0f\xe1"s + std::string(4065, 'i')), from, to},  // 4096 bytes
    {checked, from, to},
    {v2('\x20', '\x00', ""), ""},
    {v2('\x20', '\x11', four), ""},
    {v2('\x20', '\x77', "what ever"), ""},
    {v2('\x21', '\x00', ""), ""},
    {v2('\x21', '\x00', "\x01\x02\x03"s), ""},
};

const std::vector<bad> wrong = {
    {"GET / HTTP/1.1\r\n", "no header"},
    {"\x16\x03\x01", "no header"},
    {"\n", "no header"},
    {"proxy TCP4 1.2.3.4 1.2.3.4 1 1\r\n", "no header"},
    {" PROXY TCP4 1.2.3.4 1.2.3.4 1 1\r\n", "no header"},
    {"PROXYTCP4", "no header"},
    {"PROXY\r\n", "no header"},
    {"PROXY \r\n       ", "control characters"},
    {"PROXY TCP5 1.2.3.4 1.2.3.4 1 1\r\n", "none of TCP4"},
    {"PROXY tcp4 1.2.3.4 1.2.3.4 1 1\r\n", "none of TCP4"},
    {"PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n", "none of TCP4"},
    {"PROXY  TCP4 1.2.3.4 1.2.3.4 1 1\r\n", "none of TCP4"},
    {"PROXY UNKNOWNX\r\n", "none of TCP4"},
    {"PROXY TCP4\r\n    ", "control characters"},
    {"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", "without two addresses"},
    {"PROXY TCP4 1.2.3.4  1.2.3.4 1 1\r\n", "a port"},
    {"PROXY TCP4 1.2.3.4 1.2.3.4 1 1 \r\n", "a port"},
    {"PROXY TCP4 1.2.3.4 1.2.3.4 1 1 1\r\n", "a port"},
    {"PROXY TCP4 1.2.3.4 1.2.3.4 65536 1\r\n", "a port"},
    {"PROXY TCP4 1.2.3.4 1.2.3.4 -1 1\r\n", "a port"},
    {"PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n", "a port"},
    {"PROXY TCP4 1.2.3.4 1.2.3.4 0x1 1\r\n", "a port"},
    {"PROXY TCP4 1.2.3.256 1.2.3.4 1 1\r\n", "an address"},
    {"PROXY TCP4 1.2.3.04 1.2.3.4 1 1\r\n", "an address"},
    {"PROXY TCP4 1.2.3 1.2.3.4.5 1 1\r\n", "an address"},
    {"PROXY TCP4 localhost 1.2.3.4 1 1\r\n", "an address"},
    {"PROXY TCP4 ::1 ::1 1 111111\r\n", "a port"},
    {"PROXY TCP4 2001:db8::1 2001:db8::1 1 1\r\n", "an address"},
    {"PROXY TCP6 192.0.2.1 192.0.2.2 1 1\r\n", "an address"},
    {"PROXY TCP6 fe80::1%lo fe80::1 1 1\r\n", "an address"},
    {"PROXY TCP4 1.2.3.4 1.2.3.4 1 1\n\n", "control characters"},
    {"PROXY TCP4 1.2.3.4\t1.2.3.4 1 1\r\n", "control characters"},
    {"PROXY TCP4 1.2.3.4 1.2.3.4 1\0 1\r\n"s, "control characters"},
    {"PROXY TCP4 1.2.3.4 1.2.3.4 1 1\rX", "control characters"},
    {"PROXY UNKNOWN " + std::string(92, 'x') + "\r\n", "more than 107"},
    {"PROXY TCP4 " + std::string(96, '1'), "more than 107"},
    {"\r\n\r\n\0\r\nQUIT\r"s, "no header"},
    {v2('\x11', '\x11', four), "version"},
    {v2('\x22', '\x11', four), "version"},
    {v2('\x01', '\x11', four), "version"},
    {v2('\x21', '\x12', four), "family"},
    {v2('\x21', '\x22', six), "family"},
    {v2('\x21', '\x41', four), "family"},
    {v2('\x21', '\x10', four), "family"},
    {v2('\x21', '\x01', four), "family"},
    {v2('\x21', '\x11', "", 0), "too short"},
    {v2('\x21', '\x11', four, 11), "too short"},
    {v2('\x21', '\x21', six, 35), "too short"},
    {v2('\x21', '\x31', unix_paths, 215), "too short"},
    {v2('\x21', '\x11', "", 65535), "more than 4096"},
    {v2('\x20', '\x00', "", 4081), "more than 4096"},
    {v2('\x21', '\x11', four + "\x01"s), "cut off"},
    {v2('\x21', '\x11', four + "\x01\x00"s), "cut off"},
    {v2('\x21', '\x11', four + "\x01\x00\x03h2"s), "longer than"},
    {v2('\x21', '\x11', four + "\x01\xff\xffh2"s), "longer than"},
    {v2('\x21', '\x11', four + "\x03\x00\x04\x53\x7d\x25\x8d"s), "wrong CRC32C"},
    {v2('\x21', '\x11', four + "\x03\x00\x03\x00\x00\x00"s), "CRC32C of a wrong form"},
    {v2('\x21', '\x11', four + "\x03\x00\x00"s), "CRC32C of a wrong form"},
};

// As a connection is read: as many bytes as are sure to belong to the header. The rest stays in `bytes`.
parsed_proxy_header read(std::string_view& bytes, std::size_t at_a_time = SIZE_MAX) {
  std::string have;
  parsed_proxy_header found = parse_proxy_header(have);
  while (found.is == state::incomplete && !bytes.empty()) {
    REQUIRE(found.needs > 0);
    const std::size_t take = std::min({found.needs, bytes.size(), at_a_time});
    have += bytes.substr(0, take);
    bytes.remove_prefix(take);
    found = parse_proxy_header(have);
  }
  return found;
}

}  // namespace

TEST_CASE("headers of the PROXY protocol that are right tell the client, and no byte behind them is taken") {
  CHECK(right.size() + wrong.size() >= 60);
  for (const good& each : right)
    for (const std::size_t at_a_time : {SIZE_MAX, std::size_t{7}, std::size_t{1}}) {
      const std::string sent = each.bytes + "PROXY the client's own bytes\r\n";
      CAPTURE(each.bytes, at_a_time);
      std::string_view left = sent;
      const auto found = read(left, at_a_time);
      CHECK(found.why == "");
      REQUIRE(found.is == state::complete);
      CHECK(left == "PROXY the client's own bytes\r\n");
      CHECK(found.header.has_client == !each.client.empty());
      if (each.client.empty()) continue;
      CHECK(found.header.client.to_string() == each.client);
      CHECK(found.header.server.to_string() == each.server);
    }
}

TEST_CASE("a header of the PROXY protocol is incomplete at each of its bytes but the last") {
  for (const good& each : right)
    for (std::size_t i = 0; i < each.bytes.size(); ++i) {
      CAPTURE(each.bytes, i);
      const auto found = parse_proxy_header(std::string_view(each.bytes).substr(0, i));
      REQUIRE(found.is == state::incomplete);
      CHECK(found.needs <= each.bytes.size() - i);
    }
}

TEST_CASE("headers of the PROXY protocol that are wrong are refused, however they come") {
  for (const bad& each : wrong)
    for (const std::size_t at_a_time : {SIZE_MAX, std::size_t{7}, std::size_t{1}}) {
      CAPTURE(each.bytes, at_a_time);
      std::string_view left = each.bytes;
      const auto found = read(left, at_a_time);
      CHECK(found.is == state::malformed);
      if (at_a_time == SIZE_MAX) CHECK_THAT(std::string(found.why), Catch::Matchers::Contains(each.why));
    }
}

TEST_CASE("each bit of a header with a checksum counts") {
  std::size_t accepted = 0;
  for (std::size_t i = 0; i < checked.size() * 8; ++i) {
    std::string flipped = checked;
    flipped[i / 8] = static_cast<char>(static_cast<unsigned char>(flipped[i / 8]) ^ 1U << i % 8);
    if (parse_proxy_header(flipped).is == state::complete) ++accepted;
  }
  CHECK(accepted == 9);  // LOCAL, which has no client; the type of the TLV, which then is none of checksums
}

TEST_CASE("the TLVs of a header are found by their type") {
  const std::string tlvs =
      "\x01\x00\x02h2\x02\x00\x0b"
      "example.org\x01\x00\x01x\x30\x00\x00"s;
  const auto found = parse_proxy_header(v2('\x21', '\x11', four + tlvs));
  REQUIRE(found.is == state::complete);
  CHECK(found.header.tlvs == tlvs);
  CHECK(proxy_tlv(tlvs, 0x01) == "h2"sv);
  CHECK(proxy_tlv(tlvs, 0x02) == "example.org"sv);
  CHECK(proxy_tlv(tlvs, 0x30) == ""sv);
  CHECK(proxy_tlv(tlvs, 0x20) == std::nullopt);
  CHECK(proxy_tlv("", 0x01) == std::nullopt);
  CHECK(proxy_tlv("\x01\x00\x05x"s, 0x01) == "x"sv);  // cut off
}

TEST_CASE("what is written as a header of the PROXY protocol is read as the same") {
  std::vector<peer_address> all;
  for (const good& each : right)
    if (const auto h = parse_proxy_header(each.bytes).header; h.has_client) {
      all.push_back(h.client);
      all.push_back(h.server);
    }
  all.emplace_back();
  for (const auto version : {proxy_version::v1, proxy_version::v2})
    for (const auto& client : all)
      for (const auto& server : all) {
        const std::string header = write_proxy_header(version, client, server);
        CAPTURE(header);
        const auto found = parse_proxy_header(header);
        REQUIRE(found.is == state::complete);
        const bool known = client.is_ip() && server.is_ip();
        CHECK(found.header.has_client == known);
        if (!known) continue;
        CHECK(found.header.client == client);
        CHECK(found.header.server == server);
      }
}
