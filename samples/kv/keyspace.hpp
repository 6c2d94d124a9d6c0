#pragma once
// kv: the keys, their values and deadlines; the time is a parameter.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "deadline_queue.hpp"
#include "garbage.hpp"
#include "hashing/key_table.hpp"
#include "item.hpp"

namespace kv {

// When a key expires: never, or at a time, or as before.
using expiry = std::optional<milliseconds_since_1970>;

// Learns that a key which it watches has changed: WATCH.
struct watcher {
  bool is_changed = false;
  std::vector<std::string> keys = {};
};

// Views and item pointers that it gives live until the next call that is not const.
class keyspace {
 public:
  keyspace() : table_(hash_) {}
  keyspace(const keyspace&) = delete;
  keyspace& operator=(const keyspace&) = delete;
  ~keyspace() { free_items(); }

  void set_time(milliseconds_since_1970 now) noexcept { now_ = now; }
  [[nodiscard]] milliseconds_since_1970 now() const noexcept { return now_; }

  // Several keys are found sooner if the memory of all is asked for before the first is wanted: fetch() for
  // each, then fetch_item() for each, then, before each is used, expect(), which saves hashing it again.
  [[nodiscard]] std::uint64_t fetch(std::string_view key) const noexcept {
    const std::uint64_t hash = table_.hash_of(key);
    table_.fetch_bucket(hash);
    return hash;
  }
  void fetch_item(std::uint64_t hash) const noexcept { table_.fetch_item(hash); }
  // Until the next call of it. An empty key: none.
  void expect(std::string_view key, std::uint64_t hash) noexcept {
    expected_ = key;
    expected_hash_ = hash;
  }

  // Null if the key is not there, or not any more. Counts as a hit or a miss.
  [[nodiscard]] item* find(std::string_view key) noexcept;
  // The same without counting.
  [[nodiscard]] item* peek(std::string_view key) noexcept;

  // Stores a value; `value` may be part of another item. Errors: std::bad_alloc, and nothing has changed.
  void set(std::string_view key, std::string_view value, expiry when);
  // Stores a value; when the key expires stays as it is.
  void set_keeping(std::string_view key, std::string_view value);

  // Makes the value that long, with zeros behind what it has; makes the key if it is not there.
  item& resize(std::string_view key, std::size_t size);

  // Nothing: it stays. Of a key that is there.
  void set_expiry(std::string_view key, expiry when);

  // False if it was not there.
  bool erase(std::string_view key) noexcept;
  // The value and the deadline of a key that is there are those of another key then. Errors: std::bad_alloc,
  // and nothing has changed.
  void rename(std::string_view from, std::string_view to);
  void clear();

  // Large values, and all that was cleared, are not freed: they wait for a thread that has the time.
  [[nodiscard]] bool has_garbage() const noexcept { return garbage_ != nullptr; }
  [[nodiscard]] std::unique_ptr<garbage> take_garbage() noexcept { return std::move(garbage_); }

  // From here on the watcher learns of changes of the key. It unwatches before it dies.
  void watch(watcher& w, std::string_view key);
  void unwatch(watcher& w) noexcept;

  // Removes at most so many expired keys; true if more may be left.
  bool expire(std::size_t most) noexcept;

  [[nodiscard]] std::size_t size() const noexcept { return table_.size(); }
  [[nodiscard]] std::size_t expiring() const noexcept { return deadlines_.size(); }
  [[nodiscard]] bool is_over(const item& it) const noexcept { return it.expires() && it.due().at < now_; }

  template <class See>
  std::uint64_t scan(std::uint64_t cursor, See see) const {
    return table_.scan(cursor, [&](item& it) {
      if (!is_over(it)) see(static_cast<const item&>(it));
    });
  }
  template <class See>
  void for_each(See see) const {
    table_.for_each([&](item& it) {
      if (!is_over(it)) see(static_cast<const item&>(it));
    });
  }
  // Null if there is none.
  [[nodiscard]] const item* random() noexcept;

  struct counters {
    std::uint64_t hits = 0;
    std::uint64_t misses = 0;
    std::uint64_t expired = 0;
  };
  [[nodiscard]] const counters& counted() const noexcept { return counted_; }
  void reset_counters() noexcept { counted_ = {}; }
  // Bytes of all items and of the table.
  [[nodiscard]] std::size_t memory() const noexcept { return item_memory_ + table_.memory(); }

 private:
  struct item_free {
    void operator()(item* it) const noexcept { item::free(it); }
  };
  using item_owner = std::unique_ptr<item, item_free>;

  // The expected key is known by its place, not by its text.
  [[nodiscard]] std::uint64_t hash_of(std::string_view key) const noexcept {
    return key.data() == expected_.data() && key.size() == expected_.size() && !key.empty()
               ? expected_hash_
               : table_.hash_of(key);
  }
  [[nodiscard]] item** place_of(std::uint64_t hash, std::string_view key) noexcept;
  void store(std::string_view key, std::string_view value, expiry when, bool keeps_expiry);
  void insert(std::uint64_t hash, item_owner fresh, expiry when);
  void replace(item** place, item_owner fresh, expiry when);
  void erase(std::uint64_t hash, item** place) noexcept;
  void free_items() noexcept;
  [[nodiscard]] garbage& put_aside();
  void discard(item_owner it) noexcept;
  void changed(std::string_view key) noexcept {
    if (!watchers_.empty()) [[unlikely]]
      tell_watchers(key);
  }
  void tell_watchers(std::string_view key) noexcept;

  hashing::key_hash hash_;
  hashing::key_table<item> table_;
  deadline_queue deadlines_;
  std::unique_ptr<garbage> garbage_;
  std::map<std::string, std::vector<watcher*>, std::less<>> watchers_;
  std::string_view expected_;
  std::uint64_t expected_hash_ = 0;
  milliseconds_since_1970 now_ = 0;
  std::size_t item_memory_ = 0;
  counters counted_;
  std::minstd_rand draw_{std::random_device()()};
};

}  // namespace kv
