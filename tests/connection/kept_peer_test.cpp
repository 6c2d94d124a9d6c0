#include "weir/connection/detail/kept_peer.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <catch2/catch.hpp>
#include <memory>
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

TEST_CASE("a kept peer may have an edge, and become another peer") {
  for (const char* const text : {"192.0.2.1:4711", "[2001:db8::1]:4711"}) {
    kept_peer kept(peer(text));
    CHECK(kept.edge() == nullptr);
    CHECK(kept.take_edge() == nullptr);
    kept.set_edge(nullptr);
    CHECK(kept.get() == peer(text));

    auto edge = std::make_unique<connection_edge>();
    edge->via = peer(text);
    kept.set_edge(std::move(edge));
    CHECK(kept.get() == peer(text));
    kept.set(peer("[2001:db8::2]:1"));
    CHECK(kept.get() == peer("[2001:db8::2]:1"));
    kept.set(peer("192.0.2.2:2"));
    CHECK(kept.get() == peer("192.0.2.2:2"));
    REQUIRE(kept.edge() != nullptr);
    CHECK(kept.edge()->via == peer(text));

    const kept_edge taken = kept.take_edge();
    CHECK(taken->via == peer(text));
    CHECK(kept.edge() == nullptr);
    CHECK(kept.get() == peer("192.0.2.2:2"));
  }
}

TEST_CASE("a kept peer that was moved from is none, and the address is freed once") {
  kept_peer first(peer("[2001:db8::1]:4711"));
  const kept_peer second(std::move(first));
  CHECK(second.get() == peer("[2001:db8::1]:4711"));
  CHECK(first.get() == peer_address{});  // NOLINT(bugprone-use-after-move): what it says
}
