#pragma once
// kv: items by their key: a hash table that grows and shrinks by a bucket at a time.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "item.hpp"
#include "key_hash.hpp"

namespace kv {

// Problem: a table that doubles stops serving while it moves a million items, or keeps two tables for a
// while. This one is a linear hash: each time that it holds too much for its buckets, one bucket is split in
// two, in turn, so that an insertion moves a handful of items at most and nothing is left to finish later.
// A bucket is one cache line: six items, and eight bits of each item's hash, so that a probe rarely reads an
// item with another key. Source: W. Litwin, "Linear Hashing", VLDB 1980; the cursor of scan() counts from the
// high bit down, as in Redis. The table owns its items.
class key_table {
 public:
  explicit key_table(const key_hash& hash);
  key_table(const key_table&) = delete;
  key_table& operator=(const key_table&) = delete;
  ~key_table();

  [[nodiscard]] std::uint64_t hash_of(std::string_view key) const noexcept { return hash_(key); }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  // Where the table keeps the item, to replace it by another of the same key; null if there is none. Until
  // the next insertion or removal.
  [[nodiscard]] item** find(std::uint64_t hash, std::string_view key) noexcept;

  // Ask for memory that find() and the user of what it finds will look at.
  void fetch_bucket(std::uint64_t hash) const noexcept { __builtin_prefetch(&at(index_of(hash))); }
  void fetch_item(std::uint64_t hash) const noexcept;

  // Of a key that is not there. Errors: std::bad_alloc, and the item is the caller's.
  void insert(std::uint64_t hash, item* it);

  // Takes what find() found out of the table; it is the caller's then.
  item* remove(std::uint64_t hash, item** place) noexcept;

  void clear();

  // Shows `see` some items and returns where to go on; starts with 0, and is over when it returns 0. An item
  // that is in the table all the time is seen at least once, whatever comes and goes meanwhile. `see` must
  // not change the table.
  template <class See>
  std::uint64_t scan(std::uint64_t cursor, See see) const {
    const std::uint64_t low = std::bit_floor(buckets_) - 1;
    const std::uint64_t first = cursor & low;
    each_in(first, see);
    if (first + low + 1 < buckets_) each_in(first + low + 1, see);
    return next_in_scan(cursor, low);
  }

  template <class See>
  void for_each(See see) const {
    for (std::uint64_t i = 0; i < buckets_; ++i) each_in(i, see);
  }

  // Any item, each about as likely; `draw` gives random numbers. The table is not empty.
  template <class Draw>
  [[nodiscard]] item* random(Draw draw) const {
    for (;;) {
      std::size_t count = 0;
      const std::uint64_t i = draw() % buckets_;
      each_in(i, [&](item&) { ++count; });
      if (count == 0) continue;
      std::size_t chosen = draw() % count;
      item* found = nullptr;
      each_in(i, [&](item& it) {
        if (chosen-- == 0) found = &it;
      });
      return found;
    }
  }

  // Bytes, without the items.
  [[nodiscard]] std::size_t memory() const noexcept;

 private:
  static constexpr std::size_t slots = 6;
  static constexpr std::size_t buckets_in_segment = 1024;

  struct alignas(64) bucket {
    std::array<std::uint8_t, 8> tags{};  // 0: the slot is free; the last two are never used
    std::array<item*, slots> items{};
    bucket* more = nullptr;  // what did not fit
  };
  using segment = std::array<bucket, buckets_in_segment>;

  [[nodiscard]] static std::uint8_t tag_of(std::uint64_t hash) noexcept {
    const auto tag = static_cast<std::uint8_t>(hash >> 56);
    return tag == 0 ? 1 : tag;
  }
  [[nodiscard]] std::uint64_t index_of(std::uint64_t hash) const noexcept {
    const std::uint64_t i = hash & (2 * low_ - 1);
    return i < buckets_ ? i : i - low_;
  }
  [[nodiscard]] bucket& at(std::uint64_t i) const noexcept {
    return (*segments_[i / buckets_in_segment])[i % buckets_in_segment];
  }

  template <class See>
  void each_in(std::uint64_t i, See& see) const {
    for (const bucket* b = &at(i); b != nullptr; b = b->more)
      for (std::size_t s = 0; s < slots; ++s)
        if (b->tags[s] != 0) see(*b->items[s]);
  }
  template <class See>
  void each_in(std::uint64_t i, See&& see) const {
    each_in(i, see);
  }

  // A byte whose high bit is set for each slot whose tag is the hash's.
  [[nodiscard]] static std::uint64_t equal_tags(const bucket& b, std::uint64_t hash) noexcept {
    constexpr std::uint64_t each = 0x0101010101010101;
    constexpr std::uint64_t low_bits = 0x7f * each;
    const std::uint64_t differs = std::bit_cast<std::uint64_t>(b.tags) ^ each * tag_of(hash);
    return ~(((differs & low_bits) + low_bits) | differs | low_bits);
  }
  [[nodiscard]] static std::size_t slot_of(std::uint64_t equal) noexcept {
    return static_cast<std::size_t>(std::countr_zero(equal)) / 8;
  }

  static std::uint64_t next_in_scan(std::uint64_t cursor, std::uint64_t mask) noexcept;
  static void put(bucket& into, std::uint8_t tag, item* it) noexcept;
  void make_room(bucket& in, std::size_t count);
  void move_items(bucket& from, bucket& to, std::uint64_t bit) noexcept;
  void drop_empty(bucket& in) noexcept;
  void set_buckets(std::uint64_t count) noexcept;
  void split();
  void merge() noexcept;

  [[nodiscard]] bucket* take_spilled();
  void give_back(bucket* spilled) noexcept;
  void free_items() noexcept;

  const key_hash& hash_;
  std::vector<std::unique_ptr<segment>> segments_;
  std::vector<std::unique_ptr<segment>> spilled_segments_;
  bucket* free_spilled_ = nullptr;
  std::uint64_t buckets_ = 0;
  std::uint64_t low_ = 0;  // the greatest power of two not beyond buckets_
  std::size_t size_ = 0;
};

}  // namespace kv
