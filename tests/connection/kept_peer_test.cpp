#include "weir/connection/detail/kept_peer.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <catch2/catch.hpp>
#include <string>
#include <utility>

#include "weir/listen/endpoint.hpp"

using namespace weir;

namespace {

peer_address peer(std::string_view text) {
  const auto address = endpoint::parse(text).to_sockaddr();
  return peer_address::from(address.get(), address.size);
}

}  // namespace

TEST_CASE("a kept peer is the peer that was kept, of any kind") {
  for (const char* const text : {"192.0.2.1:4711", "255.255.255.255:65535", "0.0.0.0:1", "[2001:db8::1]:4711",
                                 "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"}) {
    const kept_peer kept(peer(text));
    CHECK(kept.get() == peer(text));
    CHECK(kept.get().to_string() == text);
  }
  sockaddr_un local{};
  local.sun_family = AF_UNIX;
  const auto unix_peer = peer_address::from(reinterpret_cast<const sockaddr*>(&local), sizeof local);
  CHECK(kept_peer(unix_peer).get() == unix_peer);
  CHECK(kept_peer(peer_address{}).get() == peer_address{});
  CHECK(kept_peer().get() == peer_address{});
}

TEST_CASE("a kept peer that was moved from is none, and the address is freed once") {
  kept_peer first(peer("[2001:db8::1]:4711"));
  const kept_peer second(std::move(first));
  CHECK(second.get() == peer("[2001:db8::1]:4711"));
  CHECK(first.get() == peer_address{});  // NOLINT(bugprone-use-after-move): what it says
}
