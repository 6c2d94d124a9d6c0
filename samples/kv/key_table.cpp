#include "key_table.hpp"

#include <algorithm>
#include <new>
#include <utility>

namespace kv {
namespace {

constexpr std::uint64_t fewest_buckets = 16;

// In halves of an item for each bucket: beyond the first the table grows, below the second it shrinks.
constexpr std::uint64_t most_halves = 8;
constexpr std::uint64_t fewest_halves = 3;

std::uint64_t reversed(std::uint64_t v) noexcept {
  v = __builtin_bswap64(v);
  v = (v >> 4 & 0x0f0f0f0f0f0f0f0f) | (v & 0x0f0f0f0f0f0f0f0f) << 4;
  v = (v >> 2 & 0x3333333333333333) | (v & 0x3333333333333333) << 2;
  return (v >> 1 & 0x5555555555555555) | (v & 0x5555555555555555) << 1;
}

}  // namespace

key_table::key_table(const key_hash& hash) : hash_(hash) { clear(); }

key_table::~key_table() { free_items(); }

void key_table::free_items() noexcept {
  for_each([](item& it) { item::free(&it); });
}

void key_table::clear() {
  auto first = std::make_unique<segment>();
  free_items();
  segments_.clear();
  segments_.shrink_to_fit();
  segments_.push_back(std::move(first));
  spilled_segments_.clear();
  free_spilled_ = nullptr;
  size_ = 0;
  set_buckets(fewest_buckets);
}

// Buckets behind buckets come from segments too: one by one their alignment would cost as much as they hold.
key_table::bucket* key_table::take_spilled() {
  if (free_spilled_ == nullptr) {
    spilled_segments_.push_back(std::make_unique<segment>());
    for (bucket& each : *spilled_segments_.back()) give_back(&each);
  }
  bucket* const taken = std::exchange(free_spilled_, free_spilled_->more);
  taken->more = nullptr;
  return taken;
}

void key_table::give_back(bucket* spilled) noexcept { spilled->more = std::exchange(free_spilled_, spilled); }

void key_table::set_buckets(std::uint64_t count) noexcept {
  buckets_ = count;
  low_ = std::bit_floor(count);
}

item** key_table::find(std::uint64_t hash, std::string_view key) noexcept {
  for (bucket* b = &at(index_of(hash)); b != nullptr; b = b->more)
    for (std::uint64_t equal = equal_tags(*b, hash); equal != 0; equal &= equal - 1) {
      item*& it = b->items[slot_of(equal)];
      if (it->key() == key) return &it;
    }
  return nullptr;
}

// The first that has the tag: nearly always it is the one, and if not, nothing is lost.
void key_table::fetch_item(std::uint64_t hash) const noexcept {
  constexpr std::size_t cache_line = 64;
  constexpr std::size_t lines = 3;
  const bucket& b = at(index_of(hash));
  const std::uint64_t equal = equal_tags(b, hash);
  if (equal == 0) return;
  const char* const it = reinterpret_cast<const char*>(b.items[slot_of(equal)]);
  for (std::size_t i = 0; i < lines; ++i) __builtin_prefetch(it + i * cache_line);
}

void key_table::insert(std::uint64_t hash, item* it) {
  if (2 * (size_ + 1) > most_halves * buckets_) split();
  bucket& b = at(index_of(hash));
  make_room(b, 1);
  put(b, tag_of(hash), it);
  ++size_;
}

item* key_table::remove(std::uint64_t hash, item** place) noexcept {
  item* const it = *place;
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
void key_table::put(bucket& into, std::uint8_t tag, item* it) noexcept {
  for (bucket* b = &into;; b = b->more)
    for (std::size_t s = 0; s < slots; ++s)
      if (b->tags[s] == 0) {
        b->tags[s] = tag;
        b->items[s] = it;
        return;
      }
}

// Free slots for `count` items. Errors: std::bad_alloc, and nothing has changed that counts.
void key_table::make_room(bucket& in, std::size_t count) {
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

void key_table::drop_empty(bucket& in) noexcept {
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
void key_table::move_items(bucket& from, bucket& to, std::uint64_t bit) noexcept {
  for (bucket* b = &from; b != nullptr; b = b->more)
    for (std::size_t s = 0; s < slots; ++s)
      if (b->tags[s] != 0 && (hash_of(b->items[s]->key()) & bit) != 0) {
        put(to, b->tags[s], b->items[s]);
        b->tags[s] = 0;
      }
  drop_empty(from);
  drop_empty(to);
}

void key_table::split() {
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
void key_table::merge() noexcept try {
  bucket& half = at(buckets_ - 1);
  const std::uint64_t bit = std::bit_floor(buckets_ - 1);
  bucket& whole = at(buckets_ - 1 - bit);
  std::size_t count = 0;
  each_in(buckets_ - 1, [&](item&) { ++count; });
  make_room(whole, count);
  set_buckets(buckets_ - 1);
  move_items(half, whole, bit);
  if (segments_.size() * buckets_in_segment >= buckets_ + 2 * buckets_in_segment) segments_.pop_back();
} catch (const std::bad_alloc&) {
  // It stays larger than it need be.
}

std::uint64_t key_table::next_in_scan(std::uint64_t cursor, std::uint64_t mask) noexcept {
  return reversed(reversed(cursor | ~mask) + 1);
}

std::size_t key_table::memory() const noexcept {
  return (segments_.size() + spilled_segments_.size()) * sizeof(segment);
}

}  // namespace kv
