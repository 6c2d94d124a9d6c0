#pragma once
// io: what a completion_driver keeps of its ring and of each descriptor.

#include <sys/eventfd.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "ring.hpp"

namespace weir::io {

// The cookie of a completion is the address of a descriptor, with a flight in the low bits. These are of
// none.
inline constexpr std::uint64_t flight_bits = alignof(descriptor) - 1;
inline constexpr std::uint64_t to_nobody = completion_driver::of_no_descriptor;
inline constexpr std::uint64_t to_asio = to_nobody | 1 << 3;
inline constexpr std::uint64_t to_bell = to_nobody | 2 << 3;
inline constexpr std::uint64_t to_room = to_nobody | 3 << 3;

inline std::uint64_t cookie_of(const descriptor& on, unsigned flight) noexcept {
  return reinterpret_cast<std::uintptr_t>(&on) | flight;
}
inline descriptor& descriptor_of(std::uint64_t cookie) noexcept {
  return *reinterpret_cast<descriptor*>(cookie & ~flight_bits);
}

inline constexpr unsigned everything = 15;

constexpr unsigned bit(unsigned flight) noexcept { return 1U << flight; }

// While buffers could not be lent for want of memory.
inline constexpr long starved_microseconds = 10'000;

// What the ring does for one descriptor. Many for each core: small.
struct completion_driver::entry {
  void begins(unsigned what) noexcept { in_flight = static_cast<std::uint8_t>(in_flight | what); }
  void has_ended(unsigned what) noexcept { in_flight = static_cast<std::uint8_t>(in_flight & ~what); }
  [[nodiscard]] bool is_in_flight(unsigned what) const noexcept { return (in_flight & what) != 0; }

  descriptor* on = nullptr;
  chunk_block* last = nullptr;  // of those with bytes that no operation has taken; its `next` is the first
  std::uint32_t turn_in = 0;    // the batch in which bytes have last been handed over, low bits
  std::uint32_t taken_of_first = 0;
  std::uint16_t error = 0;      // an errno
  std::uint16_t held = 0;       // blocks
  std::uint8_t in_flight = 0;   // a bit for each flight
  bool on_demand : 1 = false;   // because the operations do not keep up
  bool ahead : 1 = false;       // the receive in flight goes on by itself
  bool cancelling : 1 = false;  // that one is being ended
  bool hung_up : 1 = false;     // the peer sends no more
  bool ended : 1 = false;       // there is no more to receive: `error`, and then 0
  bool starved : 1 = false;     // waits for buffers
  bool in_room_set : 1 = false;
  bool awaits_room : 1 = false;  // in that set

  [[nodiscard]] chunk_block* first() const noexcept { return last == nullptr ? nullptr : last->next; }
  [[nodiscard]] bool holds_input() const noexcept { return last != nullptr; }
  void keep_first(chunk_block* block) noexcept {
    block->next = last == nullptr ? block : last->next;
    (last == nullptr ? last : last->next) = block;
    ++held;
  }
  void keep(chunk_block* block) noexcept {
    keep_first(block);
    last = block;
  }
  [[nodiscard]] chunk_block* take_first() noexcept {
    chunk_block* const block = last->next;
    block == last ? last = nullptr : last->next = block->next;
    --held;
    return block;
  }
};

struct completion_driver::opened {
  explicit opened(completion_driver& d)
      : bell(made(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")), driver(d) {
    spilled.reserve(ring::completions);
  }

  // True if the kernel has buffers then. Memory for them is taken when something is first received.
  bool lend_more() noexcept {
    try {
      if (!buffers) buffers.emplace(all, driver.ring_.buffers, driver.chunks());
    } catch (...) {
      return false;
    }
    buffers->refill();
    return !buffers->all_taken();
  }

  ring all;
  unique_fd bell;
  completion_driver& driver;
  std::optional<lent_buffers> buffers;
  std::vector<io_uring_cqe> spilled;  // of other descriptors, while one was waited for
  unique_fd room_set;                 // see await_room
  bool room_armed = false;
  bool asio_armed = false;
  bool bell_armed = false;
};

}  // namespace weir::io
