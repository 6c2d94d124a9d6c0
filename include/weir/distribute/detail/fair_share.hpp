#pragma once
// listen > accept > [distribute] > core > connection
// distribute: whether a target that accepts by itself may take the next connection.

#include <chrono>
#include <cstdint>
#include <limits>

namespace weir {

// The most connections that a target may have, the next one included, while the least loaded target has
// `least`. The slack is small enough for balance and large enough that targets in balance seldom wait for
// each other.
[[nodiscard]] constexpr std::uint32_t most_beside(std::uint32_t least) noexcept {
  constexpr auto all = std::numeric_limits<std::uint32_t>::max();
  const std::uint64_t most = std::uint64_t{least} + least / 8 + 2;
  return most < all ? static_cast<std::uint32_t>(most) : all;
}

// What the least loaded target must have, at least, before a target with `own` connections is within its
// share: the smallest `least` for which most_beside() allows `own`. Rounded up: with one less the target
// would be told at once, find that it is above its share, and ask again.
[[nodiscard]] constexpr std::uint32_t least_needed_for(std::uint32_t own) noexcept {
  return own <= 2 ? 0 : static_cast<std::uint32_t>(((std::uint64_t{own} - 2) * 8 + 8) / 9);
}

// Problem: of processes that accept from one socket, the one that has the CPU takes all of a burst. So each
// process counts a connection where its siblings see it before it accepts, and does not accept while it is
// above its share. This is what a process knows of its siblings. Thread: any. Fork: safe.
class sibling_workers {
 public:
  // The connections of this process: those that it serves, has accepted or is about to, and those on their
  // way to it.
  [[nodiscard]] virtual std::uint32_t own_load() const noexcept = 0;

  // The fewest connections of a sibling that can take more; the greatest number if there is none. Not counted
  // is a sibling that is stopped, stuck, draining, full or out of descriptors.
  [[nodiscard]] virtual std::uint32_t least_load() const noexcept = 0;

  // A sibling is stopped or stuck. Connections that the kernel has woken it for may wait for this process.
  [[nodiscard]] virtual bool any_passed_over() const noexcept = 0;

  // The own count has grown: wakes the siblings that wait for that.
  virtual void has_grown() noexcept = 0;

  // The own count has shrunk: wakes what waits for its share in this process, if it is within the share.
  virtual void has_shrunk() noexcept {}

  // One acceptor of this process cannot take connections for now, or can again.
  virtual void hold_up(bool held) noexcept = 0;

  // This process takes the next connection only if this does not hold.
  [[nodiscard]] bool own_is_above_share() const noexcept { return own_load() > most_beside(least_load()); }

  // Returns when least_load() has perhaps reached `least` or the own count is within its share, after a
  // signal, or after `most`.
  virtual void wait_for_least(std::uint32_t least, std::chrono::milliseconds most) noexcept = 0;

 protected:
  ~sibling_workers() = default;
};

}  // namespace weir
