#pragma once
// connection: the address of its peer in 8 bytes.

#include <cstdint>
#include <utility>

#include "weir/listen/peer_address.hpp"

namespace weir {

namespace dump {
class inspection;
}

// A v4 address and its port lie in place; a v6 address lies in a block of its own.
// Thread: may be read by several at a time.
class kept_peer {
 public:
  kept_peer() = default;
  // Errors: std::bad_alloc, for a v6 address.
  explicit kept_peer(const peer_address& a);
  kept_peer(kept_peer&& other) noexcept : bits_(std::exchange(other.bits_, 0)) {}
  kept_peer& operator=(kept_peer&&) = delete;
  ~kept_peer() {
    if (what() == peer_address::kind::tcp6) [[unlikely]]
      free_block();
  }

  // May be called in a signal handler.
  [[nodiscard]] peer_address get() const noexcept;

 private:
  friend class dump::inspection;

  // The kind lies in the two lowest bits. Above it: the address and the port, or the block's address.
  [[nodiscard]] peer_address::kind what() const noexcept {
    return static_cast<peer_address::kind>(bits_ & 3);
  }
  void free_block() noexcept;

  std::uint64_t bits_ = 0;
};

static_assert(sizeof(kept_peer) == 8);

}  // namespace weir
