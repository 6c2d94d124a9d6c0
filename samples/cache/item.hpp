#pragma once
// cache: one stored value: header, key and value in one block of memory.

#include <cstdint>
#include <memory>
#include <string_view>

namespace cache {

// A header of 24 bytes, then the key, then the value. The hash is not stored: it is computed again when an
// item moves to another bucket.
struct item {
  static constexpr unsigned most_pins = 0xfff;

  std::uint64_t version : 48;  // what a client calls cas
  std::uint64_t pins : 12;     // readers of the value without the shard's lock
  // What the meta commands know of it.
  std::uint64_t was_fetched : 1;
  std::uint64_t is_stale : 1;
  std::uint64_t token_sent : 1;      // a client was told to make it anew
  std::uint64_t has_binary_key : 1;  // which is shown in base64
  std::uint32_t flags;
  std::uint32_t expires;        // in seconds, 0: never
  std::uint32_t size : 31;      // bytes of the value
  std::uint32_t is_linked : 1;  // in a table
  std::uint32_t used_at : 24;   // in ticks, and they wrap
  std::uint32_t key_size : 8;

  [[nodiscard]] char* key_bytes() noexcept { return reinterpret_cast<char*>(this + 1); }
  [[nodiscard]] char* value_bytes() noexcept { return key_bytes() + key_size; }
  [[nodiscard]] std::string_view key() const noexcept {
    return {reinterpret_cast<const char*>(this + 1), key_size};
  }
  [[nodiscard]] std::string_view value() const noexcept {
    return {reinterpret_cast<const char*>(this + 1) + key_size, size};
  }

  // While it is pinned it is neither changed nor freed. False if too many pin it already.
  [[nodiscard]] bool pin() noexcept {
    if (pins == most_pins) return false;
    ++pins;
    return true;
  }

  struct deleter {
    void operator()(item* i) const noexcept;
  };
  // An item of no table, with room for `size` bytes of value and `more` behind them. Null without memory.
  [[nodiscard]] static std::unique_ptr<item, deleter> make(std::string_view key, std::uint32_t size,
                                                           std::uint32_t more = 0) noexcept;

  // What it takes of the table on average.
  static constexpr std::size_t share_of_table = 18;

  // At most what one will cost with `bytes` of key and value. The allocator rounds up: to 16 bytes, or to a
  // page what it maps.
  [[nodiscard]] static constexpr std::size_t most_footprint(std::size_t bytes) noexcept {
    return sizeof(item) + share_of_table + bytes + (bytes < 131'072 ? 23 : 4119);
  }

  // All the memory that it costs, the allocator's and its share of the table included.
  [[nodiscard]] std::size_t footprint() const noexcept;
};

static_assert(sizeof(item) == 24);
using item_ptr = std::unique_ptr<item, item::deleter>;

}  // namespace cache
