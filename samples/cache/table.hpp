#pragma once
// cache: a hash table that grows by one bucket at a time, so that no request pays for all of it.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string_view>

#include "item.hpp"
#include "key_hash.hpp"

namespace cache {

// Linear hashing: with each item beyond one per bucket the next bucket in turn is split in two. The buckets
// lie in a deque, which grows without moving what it holds. Items are linked, not owned.
class table {
 public:
  // `hash` outlives the table.
  explicit table(const key_hash& hash) : hash_(hash), buckets_(first_size, nullptr) {}

  // Null if there is none.
  [[nodiscard]] item* find(std::string_view key, std::uint64_t hash) const noexcept {
    for (item* each = buckets_[place(hash)]; each != nullptr; each = each->next)
      if (each->key() == key) return each;
    return nullptr;
  }

  // Its key is not in the table. Errors: std::bad_alloc, and nothing has changed.
  void insert(item& fresh, std::uint64_t hash);
  void remove(item& old) noexcept;
  // `fresh` has the key of `old`.
  void replace(item& old, item& fresh) noexcept;

  [[nodiscard]] std::size_t size() const noexcept { return count_; }
  [[nodiscard]] std::size_t buckets() const noexcept { return buckets_.size(); }
  // The first item of a bucket.
  [[nodiscard]] item* bucket(std::size_t i) const noexcept { return buckets_[i]; }

 private:
  static constexpr std::size_t first_size = 16;

  [[nodiscard]] std::size_t place(std::uint64_t hash) const noexcept {
    const std::size_t at = hash & mask_;
    return at < buckets_.size() ? at : at & (mask_ >> 1);
  }
  [[nodiscard]] item** link_to(const item& i) noexcept;
  void split_next();

  const key_hash& hash_;
  std::deque<item*> buckets_;
  std::size_t mask_ = first_size - 1;  // covers the buckets: the smallest of its kind that does
  std::size_t count_ = 0;
};

}  // namespace cache
