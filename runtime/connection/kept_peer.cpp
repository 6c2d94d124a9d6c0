#include "weir/connection/detail/kept_peer.hpp"

#include <cstring>
#include <new>

#include "weir/task/detail/block_pool.hpp"

namespace weir {
namespace {

constexpr unsigned port_at = 16;
constexpr unsigned address_at = 32;

}  // namespace

kept_peer::kept_peer(const peer_address& a) {
  auto bits = static_cast<std::uint64_t>(a.kind_);
  if (a.kind_ == peer_address::kind::tcp4) {
    std::uint32_t v4 = 0;
    std::memcpy(&v4, a.bytes_.data(), sizeof v4);
    bits |= std::uint64_t{v4} << address_at | std::uint64_t{a.port_} << port_at;
  } else if (a.kind_ == peer_address::kind::tcp6) {
    bits |= reinterpret_cast<std::uintptr_t>(new (block_pool::allocate(sizeof a)) peer_address(a));
  }
  bits_ = bits;
}

void kept_peer::free_block() noexcept {
  block_pool::deallocate(reinterpret_cast<void*>(bits_ & ~std::uint64_t{3}), sizeof(peer_address));
}

peer_address kept_peer::get() const noexcept {
  if (what() == peer_address::kind::tcp6)
    return *reinterpret_cast<const peer_address*>(bits_ & ~std::uint64_t{3});
  peer_address out;
  out.kind_ = what();
  if (out.kind_ != peer_address::kind::tcp4) return out;
  const auto v4 = static_cast<std::uint32_t>(bits_ >> address_at);
  std::memcpy(out.bytes_.data(), &v4, sizeof v4);
  out.port_ = static_cast<std::uint16_t>(bits_ >> port_at);
  return out;
}

}  // namespace weir
