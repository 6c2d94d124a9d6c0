#include "weir/config/detail/address_prefix.hpp"

#include <arpa/inet.h>

#include <catch2/catch.hpp>

#include <string>
#include <vector>

using namespace weir;

namespace {

std::vector<std::uint8_t> bytes(const std::string& text) {
  std::vector<std::uint8_t> out(text.find(':') == std::string::npos ? 4 : 16);
  REQUIRE(::inet_pton(out.size() == 4 ? AF_INET : AF_INET6, text.c_str(), out.data()) == 1);
  return out;
}

bool contains(const std::string& prefix, const std::string& address) {
  const auto parsed = address_prefix::parse(prefix);
  REQUIRE(parsed);
  return parsed->contains(bytes(address));
}

}  // namespace

TEST_CASE("a prefix contains the addresses that begin with its bits") {
  CHECK(contains("10.0.0.0/8", "10.255.0.1"));
  CHECK_FALSE(contains("10.0.0.0/8", "11.0.0.1"));
  CHECK(contains("192.0.2.128/25", "192.0.2.128"));
  CHECK(contains("192.0.2.128/25", "192.0.2.255"));
  CHECK_FALSE(contains("192.0.2.128/25", "192.0.2.127"));
  CHECK(contains("192.0.2.7", "192.0.2.7"));
  CHECK_FALSE(contains("192.0.2.7", "192.0.2.6"));
  CHECK(contains("0.0.0.0/0", "203.0.113.9"));
  CHECK(contains("2001:db8::/33", "2001:db8:7fff::1"));
  CHECK_FALSE(contains("2001:db8::/33", "2001:db8:8000::1"));
  CHECK(contains("::1", "::1"));
  CHECK_FALSE(contains("::1", "::2"));
}

TEST_CASE("a prefix of one family contains no address of the other, nor what is no address") {
  CHECK_FALSE(contains("0.0.0.0/0", "::1"));
  CHECK_FALSE(contains("::/0", "127.0.0.1"));
  CHECK_FALSE(address_prefix::parse("0.0.0.0/0")->contains({}));
}

TEST_CASE("what is no address or has bits behind its prefix is no prefix") {
  for (const char* const text :
       {"", "/", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8x", "10.0.0.0/8/8", "10.0.0.1/8",
        "10/8", "::1/129", "2001:db8::1/32", "localhost", "unix", "10.0.0.0 /8", "fe80::1%lo"}) {
    CAPTURE(text);
    CHECK_FALSE(address_prefix::parse(text));
  }
}
