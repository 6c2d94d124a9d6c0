#pragma once
// listen > accept > [distribute] > core > connection
// distribute: which target serves the next connection. The same decision for cores and for worker processes.

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "weir/config/settings.hpp"

namespace weir {

// What ip-hash sticks to. A client without an address (a unix socket) has none.
struct client_key {
  std::uint64_t hash = 0;
  bool has_address = false;
};

// The load of a target that takes nothing now: it drains, died or is full.
inline constexpr std::uint32_t unavailable = std::numeric_limits<std::uint32_t>::max();

// A pure decision: it opens, wakes and allocates nothing. `loads` holds one figure per target, such as its
// open connections; they may be a moment old, so loads that differ by one count as equal. An unavailable
// target is chosen only if all are.
//
//   round_robin        each in turn
//   least_connections  the smallest load; among equals each in turn, so that a burst of short connections,
//                      which leaves every load at zero, does not pile onto the first
//   two_choices        the less loaded of two distinct random targets, among equals in turn: nearly as even
//                      as least_connections, from two figures (Mitzenmacher, "The Power of Two Choices in
//                      Randomized Load Balancing", 2001)
//   random             any
//   ip_hash            the same client always meets the same target. Rendezvous hashing (Thaler and
//                      Ravishankar, 1998): one target more or fewer of n moves 1/n of the clients, and those
//                      of an unavailable target scatter evenly and come back with it. Clients without an
//                      address: round_robin.
//   kernel             is no decision to take here: the kernel has taken it. Must not be asked.
//   compete            all workers of a pool are told and one wins; what there is to decide after that, among
//                      the loops of the winner, is least_connections
//
// Thread: none; one distributor per accepting thread.
class distributor {
 public:
  // `targets` is the number of loads that choose will be given, at least 1. Distributors that run side by
  // side get different seeds, or they march in step.
  distributor(policy_kind policy, std::size_t targets, std::uint64_t seed) noexcept;

  // An index into `loads`.
  [[nodiscard]] std::size_t choose(std::span<const std::uint32_t> loads, client_key key) noexcept;

  [[nodiscard]] policy_kind policy() const noexcept { return policy_; }

 private:
  std::size_t in_turn(std::span<const std::uint32_t> loads) noexcept;
  std::size_t least(std::span<const std::uint32_t> loads) noexcept;
  std::size_t lesser_of_two(std::span<const std::uint32_t> loads) noexcept;
  std::size_t sticky(std::span<const std::uint32_t> loads, std::uint64_t hash) const noexcept;
  std::size_t below(std::size_t bound) noexcept;

  policy_kind policy_;
  std::size_t targets_;
  std::size_t next_;  // the target whose turn it is
  std::uint64_t random_;
};

}  // namespace weir
