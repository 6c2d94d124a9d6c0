#pragma once
// io: what a completion_driver keeps of its ring and of each descriptor.

#include <sys/eventfd.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "ring.hpp"

namespace weir::io {

// Completions of no descriptor.
inline constexpr std::uint64_t to_nobody = 0;
inline constexpr std::uint64_t to_asio = 1;
inline constexpr std::uint64_t to_bell = 2;
inline constexpr std::uint64_t to_room = 3;

inline constexpr std::uint64_t flight_bits = 15;
inline constexpr unsigned everything = 31;

constexpr unsigned bit(unsigned flight) noexcept { return 1U << flight; }

// While buffers could not be lent for want of memory.
inline constexpr long starved_microseconds = 10'000;

// What the ring does for one descriptor. Its address, with a flight in the low bits, is the cookie of
// completions.
struct alignas(16) completion_driver::entry {
  void begins(unsigned what) noexcept { in_flight = static_cast<std::uint8_t>(in_flight | what); }
  void has_ended(unsigned what) noexcept { in_flight = static_cast<std::uint8_t>(in_flight & ~what); }
  [[nodiscard]] bool is_in_flight(unsigned what) const noexcept { return (in_flight & what) != 0; }

  descriptor* on;
  chunk_block* first = nullptr;  // bytes that no operation has taken
  chunk_block** last = &first;
  entry* next_starved = nullptr;
  std::uint32_t turn_in = 0;  // the batch in which bytes have last been handed over, low bits
  std::uint32_t taken_of_first = 0;
  int answer = 0;              // of a send
  std::uint16_t error = 0;     // an errno
  std::uint16_t held = 0;      // blocks
  std::uint8_t in_flight = 0;  // a bit for each flight
  bool ahead = false;          // the receive in flight goes on by itself
  bool cancelling = false;     // that one is being ended
  bool on_demand = false;      // because the operations do not keep up
  bool hung_up = false;        // the peer sends no more
  bool sent = false;           // there is an answer of a send
  bool ended = false;          // there is no more to receive: `error`, and then 0
  bool starved = false;
  bool in_room_set = false;
  bool awaits_room = false;  // in that set

  void keep(chunk_block* block) noexcept {
    block->next = nullptr;
    *last = block;
    last = &block->next;
    ++held;
  }
  // Bytes will have a completion, and none wait.
  [[nodiscard]] bool is_receiving() const noexcept {
    return is_in_flight(bit(completion_driver::receiving)) && first == nullptr && !ended;
  }
  // A send is in flight, or has an answer.
  [[nodiscard]] bool sends() const noexcept { return is_in_flight(bit(completion_driver::sending)) || sent; }
  [[nodiscard]] bool holds_or_demands() const noexcept { return first != nullptr || on_demand; }
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
