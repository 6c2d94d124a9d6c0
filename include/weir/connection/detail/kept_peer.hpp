#pragma once
// connection: the address of its peer, and what few connections have, in 8 bytes.

#include <cstdint>
#include <utility>

#include "weir/connection/detail/connection_edge.hpp"
#include "weir/listen/peer_address.hpp"

namespace weir {

namespace dump {
class inspection;
}
namespace admin {
class survey;
}

// A v4 address and its port lie in place; a v6 address, and that of a connection with an edge, lies in a
// block of its own.
// Thread: may be read by several at a time; changed by the one that holds the connection.
class kept_peer {
 public:
  kept_peer() = default;
  // Errors: std::bad_alloc, for a v6 address.
  explicit kept_peer(const peer_address& a);
  kept_peer(kept_peer&& other) noexcept : bits_(std::exchange(other.bits_, 0)) {}
  kept_peer& operator=(kept_peer&&) = delete;
  ~kept_peer() {
    if (in_block()) [[unlikely]]
      free_block();
  }

  // May be called in a signal handler.
  [[nodiscard]] peer_address get() const noexcept;

  // Errors: std::bad_alloc, and nothing has changed.
  void set(const peer_address& a);
  void set_edge(kept_edge e);

  // Null for most.
  [[nodiscard]] connection_edge* edge() const noexcept;
  [[nodiscard]] kept_edge take_edge() noexcept;

 private:
  friend class dump::inspection;
  friend class admin::survey;
  struct block;

  // The kind lies in the two lowest bits. Above it: the address and the port, or the block's address.
  static constexpr std::uint64_t kind_bits = 3;
  [[nodiscard]] bool in_block() const noexcept {
    return (bits_ & kind_bits) == static_cast<std::uint64_t>(peer_address::kind::tcp6);
  }
  [[nodiscard]] block& at() const noexcept;
  void move_to_block();
  void free_block() noexcept;

  std::uint64_t bits_ = 0;
};

static_assert(sizeof(kept_peer) == 8);

}  // namespace weir
