#pragma once
// kv and cache: items by their key: a hash table that grows and shrinks by a bucket at a time.

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

#include "key_hash.hpp"

namespace hashing {
namespace detail {

// The bits of a word in the other order.
[[nodiscard]] inline std::uint64_t reversed(std::uint64_t v) noexcept {
  v = __builtin_bswap64(v);
  v = (v >> 4 & 0x0f0f0f0f0f0f0f0f) | (v & 0x0f0f0f0f0f0f0f0f) << 4;
  v = (v >> 2 & 0x3333333333333333) | (v & 0x3333333333333333) << 2;
  return (v >> 1 & 0x5555555555555555) | (v & 0x5555555555555555) << 1;
}

}  // namespace detail

// Problem: a table that doubles stops serving while it moves a million items, or keeps two tables for a
// while. This one is a linear hash: each time that it holds too much for its buckets, one bucket is split in
// two, in turn, so that an insertion moves a handful of items at most and nothing is left to finish later.
// A bucket is one cache line: six items, and eight bits of each item's hash, so that a probe rarely reads an
// item with another key. Source: W. Litwin, "Linear Hashing", VLDB 1980; the cursor of scan() counts from the
// high bit down, as in Redis.
// `Item` has a key(). The table does not own its items.
template <class Item>
class key_table {
 public:
  // `hash` outlives the table.
  explicit key_table(const key_hash& hash) : hash_(&hash) {
    segments_.push_back(std::make_unique<segment>());
    set_buckets(fewest_buckets);
  }
  // What was moved from is only assigned to, or destroyed.
  key_table(key_table&&) noexcept = default;
  key_table& operator=(key_table&&) noexcept = default;

  [[nodiscard]] std::uint64_t hash_of(std::string_view key) const noexcept { return (*hash_)(key); }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  // Where the table keeps the item, to replace it by another of the same key; null if there is none. Until
  // the next insertion or removal.
  [[nodiscard]] Item** find(std::uint64_t hash, std::string_view key) noexcept;

  // Ask for memory that find() and the user of what it finds will look at.
  void fetch_bucket(std::uint64_t hash) const noexcept { __builtin_prefetch(&at(index_of(hash))); }
  void fetch_item(std::uint64_t hash) const noexcept;

  // Of a key that is not there. Errors: std::bad_alloc, and the item is the caller's.
  void insert(std::uint64_t hash, Item* it);

  // Takes what find() found out of the table.
  Item* remove(std::uint64_t hash, Item** place) noexcept;

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
  [[nodiscard]] Item* random(Draw draw) const {
    for (;;) {
      std::size_t count = 0;
      const std::uint64_t i = draw() % buckets_;
      each_in(i, [&](Item&) { ++count; });
      if (count == 0) continue;
      std::size_t chosen = draw() % count;
      Item* found = nullptr;
      each_in(i, [&](Item& it) {
        if (chosen-- == 0) found = &it;
      });
      return found;
    }
  }

  // Bucket by bucket, up to buckets(): an insertion or a removal may change their number by one.
  [[nodiscard]] std::uint64_t buckets() const noexcept { return buckets_; }
  template <class See>
  void in_bucket(std::uint64_t i, See see) const {
    each_in(i, see);
  }

  // Bytes, without the items.
  [[nodiscard]] std::size_t memory() const noexcept {
    return (segments_.size() + spilled_segments_.size()) * sizeof(segment);
  }

 private:
  static constexpr std::size_t slots = 6;
  static constexpr std::size_t buckets_in_segment = 1024;
  static constexpr std::uint64_t fewest_buckets = 16;
  // In halves of an item for each bucket: beyond the first the table grows, below the second it shrinks.
  static constexpr std::uint64_t most_halves = 8;
  static constexpr std::uint64_t fewest_halves = 3;

  struct alignas(64) bucket {
    std::array<std::uint8_t, 8> tags{};  // 0: the slot is free; the last two are never used
    std::array<Item*, slots> items{};
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
  static void put(bucket& into, std::uint8_t tag, Item* it) noexcept;
  void make_room(bucket& in, std::size_t count);
  void move_items(bucket& from, bucket& to, std::uint64_t bit) noexcept;
  void drop_empty(bucket& in) noexcept;
  void set_buckets(std::uint64_t count) noexcept;
  void split();
  void merge() noexcept;

  [[nodiscard]] bucket* take_spilled();
  void give_back(bucket* spilled) noexcept;

  const key_hash* hash_;
  std::vector<std::unique_ptr<segment>> segments_;
  std::vector<std::unique_ptr<segment>> spilled_segments_;
  bucket* free_spilled_ = nullptr;
  std::uint64_t buckets_ = 0;
  std::uint64_t low_ = 0;  // the greatest power of two not beyond buckets_
  std::size_t size_ = 0;
};

// Buckets behind buckets come from segments too: one by one their alignment would cost as much as they hold.
template <class Item>
typename key_table<Item>::bucket* key_table<Item>::take_spilled() {
  if (free_spilled_ == nullptr) {
    spilled_segments_.push_back(std::make_unique<segment>());
    for (bucket& each : *spilled_segments_.back()) give_back(&each);
  }
  bucket* const taken = std::exchange(free_spilled_, free_spilled_->more);
  taken->more = nullptr;
  return taken;
}

template <class Item>
void key_table<Item>::give_back(bucket* spilled) noexcept {
  spilled->more = std::exchange(free_spilled_, spilled);
}

template <class Item>
void key_table<Item>::set_buckets(std::uint64_t count) noexcept {
  buckets_ = count;
  low_ = std::bit_floor(count);
}

template <class Item>
Item** key_table<Item>::find(std::uint64_t hash, std::string_view key) noexcept {
  for (bucket* b = &at(index_of(hash)); b != nullptr; b = b->more)
    for (std::uint64_t equal = equal_tags(*b, hash); equal != 0; equal &= equal - 1) {
      Item*& it = b->items[slot_of(equal)];
      if (it->key() == key) return &it;
    }
  return nullptr;
}

// The first that has the tag: nearly always it is the one, and if not, nothing is lost.
template <class Item>
void key_table<Item>::fetch_item(std::uint64_t hash) const noexcept {
  constexpr std::size_t cache_line = 64;
  constexpr std::size_t lines = 3;
  const bucket& b = at(index_of(hash));
  const std::uint64_t equal = equal_tags(b, hash);
  if (equal == 0) return;
  const char* const it = reinterpret_cast<const char*>(b.items[slot_of(equal)]);
  for (std::size_t i = 0; i < lines; ++i) __builtin_prefetch(it + i * cache_line);
}

template <class Item>
void key_table<Item>::insert(std::uint64_t hash, Item* it) {
  if (2 * (size_ + 1) > most_halves * buckets_) split();
  bucket& b = at(index_of(hash));
  make_room(b, 1);
  put(b, tag_of(hash), it);
  ++size_;
}

template <class Item>
Item* key_table<Item>::remove(std::uint64_t hash, Item** place) noexcept {
  Item* const it = *place;
  bucket& first = at(index_of(hash));
  for (bucket* b = &first; b != nullptr; b = b->more)
    for (std::size_t s = 0; s < slots; ++s)
      if (&b->items[s] == place) b->tags[s] = 0;
  --size_;
  if (first.more != nullptr) drop_empty(first);
  if (2 * size_ < fewest_halves * buckets_ && buckets_ > fewest_buckets) merge();
  return it;
}

// The bucket has room.
template <class Item>
void key_table<Item>::put(bucket& into, std::uint8_t tag, Item* it) noexcept {
  for (bucket* b = &into;; b = b->more)
    for (std::size_t s = 0; s < slots; ++s)
      if (b->tags[s] == 0) {
        b->tags[s] = tag;
        b->items[s] = it;
        return;
      }
}

// Free slots for `count` items. Errors: std::bad_alloc, and nothing has changed that counts.
template <class Item>
void key_table<Item>::make_room(bucket& in, std::size_t count) {
  std::size_t room = 0;
  bucket* last = nullptr;
  for (bucket* b = &in; b != nullptr; last = b, b = b->more) {
    room += static_cast<std::size_t>(std::count(b->tags.begin(), b->tags.begin() + slots, 0));
    if (room >= count) return;
  }
  for (; room < count; room += slots) {
    last->more = take_spilled();
    last = last->more;
  }
}

template <class Item>
void key_table<Item>::drop_empty(bucket& in) noexcept {
  for (bucket* b = &in; b->more != nullptr;) {
    bucket* const next = b->more;
    if (std::bit_cast<std::uint64_t>(next->tags) != 0) {
      b = next;
      continue;
    }
    b->more = next->more;
    give_back(next);
  }
}

// Those whose hash has one of the bits; `to` has room.
template <class Item>
void key_table<Item>::move_items(bucket& from, bucket& to, std::uint64_t bit) noexcept {
  for (bucket* b = &from; b != nullptr; b = b->more)
    for (std::size_t s = 0; s < slots; ++s)
      if (b->tags[s] != 0 && (hash_of(b->items[s]->key()) & bit) != 0) {
        put(to, b->tags[s], b->items[s]);
        b->tags[s] = 0;
      }
  drop_empty(from);
  drop_empty(to);
}

template <class Item>
void key_table<Item>::split() {
  if (buckets_ == segments_.size() * buckets_in_segment) segments_.push_back(std::make_unique<segment>());
  bucket& whole = at(buckets_ - low_);
  bucket& half = at(buckets_);
  std::size_t count = 0;
  for (const bucket* b = &whole; b != nullptr; b = b->more) count += slots;
  make_room(half, count);
  const std::uint64_t bit = low_;
  set_buckets(buckets_ + 1);
  move_items(whole, half, bit);
}

// The last bucket goes back to the one that it was split from.
template <class Item>
void key_table<Item>::merge() noexcept try {
  bucket& half = at(buckets_ - 1);
  const std::uint64_t bit = std::bit_floor(buckets_ - 1);
  bucket& whole = at(buckets_ - 1 - bit);
  std::size_t count = 0;
  each_in(buckets_ - 1, [&](Item&) { ++count; });
  make_room(whole, count);
  set_buckets(buckets_ - 1);
  move_items(half, whole, bit);
  if (segments_.size() * buckets_in_segment >= buckets_ + 2 * buckets_in_segment) segments_.pop_back();
} catch (const std::bad_alloc&) {
  // It stays larger than it need be.
}

template <class Item>
std::uint64_t key_table<Item>::next_in_scan(std::uint64_t cursor, std::uint64_t mask) noexcept {
  return detail::reversed(detail::reversed(cursor | ~mask) + 1);
}

}  // namespace hashing
