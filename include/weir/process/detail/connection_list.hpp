#pragma once
// process: a few connections of each worker, for others to read.

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <type_traits>

#include "weir/listen/peer_address.hpp"

namespace weir::process {

// Problem: a value of many words that one process writes and others read at the same time. Its words carry a
// version: a reader that saw the writer at it has nothing. A writer that was killed amid one leaves nothing
// to read until the next one is written. Memory of zeroes is a T of zeroes. Thread: store(): one at a time.
// load(): any thread of any process.
template <class T>
class published {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  void store(const T& value) noexcept {
    std::array<std::uint64_t, words> now{};
    std::memcpy(now.data(), &value, sizeof value);
    const std::uint64_t odd = version_.load(std::memory_order_relaxed) | 1U;
    version_.store(odd, std::memory_order_relaxed);
    for (std::size_t i = 0; i < words; ++i) words_[i].store(now[i], std::memory_order_release);
    version_.store(odd + 1, std::memory_order_release);
  }

  [[nodiscard]] std::optional<T> load() const noexcept {
    const std::uint64_t before = version_.load(std::memory_order_acquire);
    if (before % 2 != 0) return std::nullopt;
    std::array<std::uint64_t, words> now{};
    for (std::size_t i = 0; i < words; ++i) now[i] = words_[i].load(std::memory_order_acquire);
    if (version_.load(std::memory_order_relaxed) != before) return std::nullopt;
    T value;
    std::memcpy(static_cast<void*>(&value), now.data(), sizeof value);
    return value;
  }

 private:
  static constexpr std::size_t words = (sizeof(T) + 7) / 8;
  std::atomic<std::uint64_t> version_;
  std::array<std::atomic<std::uint64_t>, words> words_;
};

struct listed_connection {
  peer_address peer;
  std::int32_t fd = -1;
  std::uint16_t core = 0;              // UINT16_MAX: on a thread of its own
  bool runs = false;                   // its handler held the core
  std::uint32_t quiet_ms = 0;          // since when no byte has moved
  std::int64_t age_ms = 0;             // since when its loop has had it
  std::uint64_t bytes_per_second = 0;  // in both directions
};

// The connections of one process that have waited longest, and those that move most bytes.
struct connection_list {
  static constexpr std::size_t most = 10;

  std::int32_t pid = 0;
  std::int64_t at = 0;     // when it was written: milliseconds of the monotonic clock
  std::int64_t began = 0;  // when that look at all connections began
  std::uint64_t seen = 0;  // connections that were looked at
  std::uint32_t longest_count = 0;
  std::uint32_t busiest_count = 0;
  std::array<listed_connection, most> longest{};  // the first waits longest
  std::array<listed_connection, most> busiest{};  // the first moves most

  // Puts `c` where `before` says, and drops the last one if there is no room.
  template <class Before>
  static void insert(std::array<listed_connection, most>& into, std::uint32_t& count,
                     const listed_connection& c, Before before) noexcept {
    const auto end = into.begin() + count;
    const auto at = std::find_if(into.begin(), end, [&](const auto& each) { return before(c, each); });
    if (at == into.end()) return;
    if (count < most) ++count;
    std::copy_backward(at, into.begin() + count - 1, into.begin() + count);
    *at = c;
  }
};

}  // namespace weir::process
