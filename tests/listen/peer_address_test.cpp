#include "weir/listen/peer_address.hpp"

#include <sys/un.h>

#include <catch2/catch.hpp>
#include <set>

#include "weir/listen/endpoint.hpp"

using namespace weir;

namespace {

peer_address peer(std::string_view text) {
  const auto address = endpoint::parse(text).to_sockaddr();
  return peer_address::from(address.get(), address.size);
}

// What a dual socket reports for a v4 client.
peer_address mapped(std::string_view v4) {
  auto address = endpoint::parse("[::1]:1").to_sockaddr();
  const auto plain = endpoint::parse(v4).to_sockaddr();
  auto* six = reinterpret_cast<unsigned char*>(&address.storage);
  const auto* four = reinterpret_cast<const unsigned char*>(&plain.storage);
  std::fill_n(six + 8, 16, static_cast<unsigned char>(0));
  six[18] = six[19] = 0xff;
  std::copy_n(four + 4, 4, six + 20);
  std::copy_n(four + 2, 2, six + 2);
  return peer_address::from(address.get(), address.size);
}

}  // namespace

TEST_CASE("a peer prints as address and port") {
  CHECK(peer("192.0.2.1:4711").to_string() == "192.0.2.1:4711");
  CHECK(peer("[2001:db8::1]:4711").to_string() == "[2001:db8::1]:4711");
  CHECK(peer("192.0.2.1:4711").port() == 4711);
}

TEST_CASE("a v4 client of a dual socket is a v4 client") {
  CHECK(mapped("192.0.2.1:4711").to_string() == "192.0.2.1:4711");
  CHECK(mapped("192.0.2.1:4711") == peer("192.0.2.1:4711"));
  CHECK(mapped("192.0.2.1:4711").hash() == peer("192.0.2.1:99").hash());
}

TEST_CASE("the hash is of the address, not of the port") {
  CHECK(peer("192.0.2.1:1").hash() == peer("192.0.2.1:2").hash());
  CHECK(peer("[2001:db8::1]:1").hash() == peer("[2001:db8::1]:2").hash());
}

TEST_CASE("a thousand neighbours have a thousand hashes, even in every 16 of them") {
  std::set<std::uint64_t> hashes;
  int buckets[16] = {};
  for (int i = 0; i < 1000; ++i) {
    const auto hash = peer("10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250) + ":1").hash();
    hashes.insert(hash);
    ++buckets[hash % 16];
  }
  CHECK(hashes.size() == 1000);
  for (const int n : buckets) CHECK((n > 30 && n < 100));  // 62 each on average
}

TEST_CASE("a unix client has no address") {
  sockaddr_un unnamed{};
  unnamed.sun_family = AF_UNIX;
  const auto got = peer_address::from(reinterpret_cast<const sockaddr*>(&unnamed), sizeof unnamed.sun_family);
  CHECK(got.is_unix());
  CHECK_FALSE(got.is_ip());
  CHECK(got.hash() == 0);
  CHECK(got.to_string() == "unix");
}

TEST_CASE("a null or truncated address has no kind") {
  const auto address = endpoint::parse("127.0.0.1:80").to_sockaddr();
  CHECK(peer_address::from(address.get(), 8) == peer_address());
  CHECK(peer_address::from(nullptr, 0) == peer_address());
  CHECK(peer_address().to_string() == "unknown");
}
