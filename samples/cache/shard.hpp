#pragma once
// cache: the part of the store that one lock guards.

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string_view>

#include "counters.hpp"
#include "hashing/key_table.hpp"
#include "item.hpp"

namespace cache {

// Times are parameters: nothing here reads a clock.
struct instant {
  std::uint32_t seconds;       // of the calendar
  std::uint32_t milliseconds;  // of any clock, and they wrap

  // What an item remembers of its last use: 4 ms each. They wrap after 18 hours: an item that was
  // idle for so long counts as new.
  [[nodiscard]] std::uint32_t ticks() const noexcept { return (milliseconds >> 2) & most_ticks; }
  static constexpr std::uint32_t most_ticks = 0xffffff;
  // Since a moment in ticks.
  [[nodiscard]] std::uint32_t seconds_since(std::uint32_t used_at) const noexcept {
    return ((ticks() - used_at) & most_ticks) / 250;
  }
};

struct key {
  std::string_view text;
  std::uint64_t hash;
};

// Thread: one at a time; the caller locks the mutex.
class alignas(64) shard {
 public:
  // `memory`: the bytes of all items of all shards.
  shard(std::atomic<std::size_t>& memory, const hashing::key_hash& hash) : items_(hash), memory_(memory) {}
  shard(const shard&) = delete;
  shard& operator=(const shard&) = delete;
  ~shard();

  std::mutex mutex;
  counters count;

  // Null if there is no item or it has expired. `asked_to_read`: a miss is counted under its cause.
  [[nodiscard]] item* find(const key& k, instant now, bool asked_to_read = false) noexcept;

  // Inserts `fresh`, in place of `old` if there is one. Errors: std::bad_alloc; then nothing has changed.
  void put(item_ptr fresh, std::uint64_t hash, item* old, instant now);
  void remove(item& old) noexcept;
  static void use(item& i, instant now) noexcept { i.used_at = now.ticks() & instant::most_ticks; }
  // What a client that reads it does to it.
  static void fetch(item& i, instant now) noexcept {
    use(i, now);
    i.was_fetched = 1;
  }
  // A change in place.
  void renew(item& i, instant now) noexcept {
    renew_version(i);
    use(i, now);
  }
  void renew_version(item& i) noexcept { i.version = ++last_version_ & versions; }
  void unpin(item& i) noexcept;

  // From `at` on, everything stored before is expired.
  void flush(std::uint32_t at, instant now) noexcept;

  // Frees the expired ones of the next few items, or else the least recently used of them, unless it is
  // spared. False: none could be freed.
  enum class living : std::uint8_t { evicted, spared };
  bool evict(living what, instant now) noexcept;

  // Frees the dead of the next `buckets` buckets.
  void reap(std::size_t buckets, instant now) noexcept;

  // Seconds since the last use: of the item that was idle for longest when all were last looked at, and of
  // the last one that was evicted.
  [[nodiscard]] std::uint32_t age() const noexcept { return age_; }
  [[nodiscard]] std::uint32_t evicted_age() const noexcept { return evicted_age_; }

  [[nodiscard]] const hashing::key_table<item>& items() const noexcept { return items_; }

 private:
  static constexpr std::uint64_t versions =
      (std::uint64_t{1} << 48) - 1;  // does not wrap in the life of a server

  [[nodiscard]] bool is_dead(const item& i, instant now) const noexcept {
    return i.version <= flushed_ || (i.expires != 0 && i.expires <= now.seconds);
  }
  void apply_flush(instant now) noexcept;
  void free_if_unused(item& i) noexcept;

  hashing::key_table<item> items_;
  std::atomic<std::size_t>& memory_;
  std::uint64_t last_version_ = 0;
  std::uint64_t flushed_ = 0;   // items with a version up to this are expired
  std::uint32_t flush_at_ = 0;  // a flush that is still to come; 0: none
  std::size_t evict_hand_ = 0;
  std::size_t reap_hand_ = 0;
  std::uint32_t age_ = 0;
  std::uint32_t age_so_far_ = 0;  // in this round of the reaper
  std::uint32_t evicted_age_ = 0;
};

}  // namespace cache
