#pragma once
// cache: all items, in shards by the hash of their keys. It does no I/O and reads no clock.

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>

#include "shard.hpp"

namespace cache {

struct store_settings {
  std::size_t memory = std::size_t{64} << 20;  // bytes of all items
  std::uint32_t item_limit = 1U << 20;         // bytes of one
  bool evicts = true;                          // when memory is used up; or refuses
  unsigned shards = 8;                         // a power of two
};

enum class update : std::uint8_t { set, add, replace, append, prepend, cas };

// What is to be stored.
struct change {
  update how;
  cache::key key;
  std::uint32_t flags;
  std::uint32_t expires;   // as in item
  std::uint64_t expected;  // the version that a cas replaces; of other changes, if it is not 0, likewise
  bool has_binary_key = false;
  // A cas with a version that is too old stores the value all the same, and it is stale.
  bool may_be_stale = false;
};

enum class direction : std::uint8_t { up, down };

// What is to be added to a number.
struct increment {
  cache::direction to;
  std::uint64_t delta;
  std::uint64_t expected = 0;            // the version; 0: any
  std::optional<std::uint64_t> initial;  // what is stored where there is none; nothing: nothing
};

enum class outcome : std::uint8_t {
  stored,
  not_stored,
  exists,
  not_found,
  too_large,
  no_memory,
  not_a_number
};

struct store_figures {
  counters count;
  std::size_t items = 0;
  std::size_t buckets = 0;
  std::size_t table = 0;  // bytes
  std::size_t memory = 0;
  std::uint32_t age = 0;  // as in shard
  std::uint32_t evicted_age = 0;
};

// Problem: every core must find every key. Either each key belongs to a core and requests go there, or all
// cores share the keys and take locks. A hop to another core costs more than a whole request here, an
// uncontended lock a hundredth of one, so the store is shared: each shard has a lock, held for one item.
// Thread: any.
class store {
 public:
  explicit store(const store_settings& s);

  [[nodiscard]] cache::key key_of(std::string_view text) const noexcept { return {text, hash_(text)}; }

  // Calls `use` with the item, under its lock, and gives it a new time of expiry if there is one.
  template <class Use>
  bool get(const key& k, instant now, std::optional<std::uint32_t> expires, Use use) {
    shard& s = shard_of(k);
    const std::lock_guard lock(s.mutex);
    item* const found = s.find(k, now, !expires);
    const bool hit = found != nullptr;
    s.count.count(expires ? counted::cmd_touch : counted::cmd_get);
    s.count.count(expires ? (hit ? counted::touch_hits : counted::touch_misses)
                          : (hit ? counted::get_hits : counted::get_misses));
    if (found == nullptr) return false;
    shard::fetch(*found, now);
    if (expires) found->expires = *expires;
    use(*found);
    return true;
  }

  // Calls `use` with the shard of the key, under its lock.
  template <class Use>
  auto locked(const key& k, Use use) {
    shard& s = shard_of(k);
    const std::lock_guard lock(s.mutex);
    return use(s);
  }
  // An item to be stored, for which there is room then. Null without memory. Not under a lock.
  [[nodiscard]] item_ptr spare(const key& k, std::uint32_t size, instant now);

  // A value that is read without the lock. Hazard: do not read its item meanwhile; other threads write to it.
  struct pinned {
    item* of = nullptr;
    std::string_view value = {};
    std::uint64_t hash = 0;
  };
  void unpin(const pinned& p);

  // not_stored, exists, not_found as the protocol means them.
  // `version`: of what is stored then.
  [[nodiscard]] outcome put(const change& c, std::string_view value, instant now,
                            std::uint64_t* version = nullptr);

  // For a value that comes in parts: an item with room for it and `more` bytes behind it, to be given to
  // put(). Empty if there is no memory.
  class upload {
   public:
    upload() = default;
    upload(store& in, item_ptr i) noexcept;
    upload(upload&& other) noexcept : in_(std::exchange(other.in_, nullptr)), item_(std::move(other.item_)) {}
    upload& operator=(upload&& other) noexcept {
      std::swap(in_, other.in_);
      std::swap(item_, other.item_);
      return *this;
    }
    ~upload() { static_cast<void>(take()); }

    [[nodiscard]] item* operator->() const noexcept { return item_.get(); }
    explicit operator bool() const noexcept { return item_ != nullptr; }
    // Ends the upload; from here on the item's memory is not counted.
    [[nodiscard]] item_ptr take() noexcept;

   private:
    store* in_ = nullptr;
    item_ptr item_;
  };
  [[nodiscard]] upload begin(const change& c, std::uint32_t size, std::uint32_t more, instant now);
  [[nodiscard]] outcome put(const change& c, upload value, instant now, std::uint64_t* version = nullptr);

  // Whether a value is beyond the limit; and what becomes of such a change.
  [[nodiscard]] bool is_too_large(const change& c, std::uint64_t size) const noexcept {
    return sizeof(item) + c.key.text.size() + size > settings_.item_limit;
  }
  void refuse_too_large(const change& c, instant now);

  [[nodiscard]] bool remove(const key& k, instant now);
  [[nodiscard]] bool touch(const key& k, std::uint32_t expires, instant now);
  // `result`: the number that it has become. stored, not_found, not_a_number or no_memory.
  [[nodiscard]] outcome add(const key& k, direction d, std::uint64_t delta, instant now,
                            std::uint64_t& result);
  // The same in the key's shard, whose lock is held. `changed`: the item, if it is stored; or exists.
  [[nodiscard]] static outcome add(shard& s, const key& k, const increment& i, instant now,
                                   std::uint64_t& result, item*& changed);

  // From `at`, in seconds, everything stored before is expired.
  void flush(std::uint32_t at, instant now);

  // Frees some of the expired items of each shard: sixty calls visit every item.
  void reap(instant now);

  [[nodiscard]] store_figures figures();
  void reset_counters();
  [[nodiscard]] const store_settings& settings() const noexcept { return settings_; }

 private:
  [[nodiscard]] shard& shard_of(std::uint64_t hash) noexcept {
    return shards_[(hash >> 32) & (settings_.shards - 1)];
  }
  [[nodiscard]] shard& shard_of(const key& k) noexcept { return shard_of(k.hash); }
  [[nodiscard]] outcome put(const change& c, std::string_view value, item_ptr ready, instant now,
                            std::uint64_t* version);
  [[nodiscard]] bool make_room(std::size_t size, instant now);

  store_settings settings_;
  hashing::key_hash hash_;
  std::atomic<std::size_t> memory_{0};
  std::atomic<unsigned> next_to_evict_{0};
  std::deque<shard> shards_;
};

// The seconds that a client's exptime means: 0 never, negative at once, up to 30 days from now, more is a
// date.
[[nodiscard]] std::uint32_t expiry(std::int64_t exptime, instant now) noexcept;

}  // namespace cache
