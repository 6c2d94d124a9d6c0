#include "weir/connection/detail/kept_peer.hpp"

#include <cstring>
#include <new>

#include "weir/task/detail/block_pool.hpp"

namespace weir {
namespace {

constexpr unsigned port_at = 16;
constexpr unsigned address_at = 32;

}  // namespace

struct kept_peer::block {
  peer_address address;
  kept_edge edge;
};

kept_peer::kept_peer(const peer_address& a) { set(a); }

kept_peer::block& kept_peer::at() const noexcept { return *reinterpret_cast<block*>(bits_ & ~kind_bits); }

void kept_peer::set(const peer_address& a) {
  if (a.kind_ == peer_address::kind::tcp6 && !in_block()) move_to_block();
  if (in_block()) {
    at().address = a;
    return;
  }
  auto bits = static_cast<std::uint64_t>(a.kind_);
  if (a.kind_ == peer_address::kind::tcp4) {
    std::uint32_t v4 = 0;
    std::memcpy(&v4, a.bytes_.data(), sizeof v4);
    bits |= std::uint64_t{v4} << address_at | std::uint64_t{a.port_} << port_at;
  }
  bits_ = bits;
}

void kept_peer::move_to_block() {
  block* const made = new (block_pool::allocate(sizeof(block))) block{get(), nullptr};
  bits_ = reinterpret_cast<std::uintptr_t>(made) | static_cast<std::uint64_t>(peer_address::kind::tcp6);
}

void kept_peer::free_block() noexcept {
  block& old = at();
  old.~block();
  block_pool::deallocate(&old, sizeof(block));
}

void kept_peer::set_edge(kept_edge e) {
  if (!e && !in_block()) return;
  if (!in_block()) move_to_block();
  at().edge = std::move(e);
}

connection_edge* kept_peer::edge() const noexcept { return in_block() ? at().edge.get() : nullptr; }

kept_edge kept_peer::take_edge() noexcept { return in_block() ? std::move(at().edge) : nullptr; }

peer_address kept_peer::get() const noexcept {
  if (in_block()) return at().address;
  peer_address out;
  out.kind_ = static_cast<peer_address::kind>(bits_ & kind_bits);
  if (out.kind_ != peer_address::kind::tcp4) return out;
  const auto v4 = static_cast<std::uint32_t>(bits_ >> address_at);
  std::memcpy(out.bytes_.data(), &v4, sizeof v4);
  out.port_ = static_cast<std::uint16_t>(bits_ >> port_at);
  return out;
}

}  // namespace weir
