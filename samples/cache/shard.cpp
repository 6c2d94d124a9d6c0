#include "shard.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace cache {
namespace {

// The items of a bucket, to be looked at while some are removed. More than that in one are left for the next
// time.
class bucket_items {
 public:
  bucket_items(const hashing::key_table<item>& table, std::uint64_t bucket) noexcept {
    table.in_bucket(bucket, [this](item& each) {
      if (count_ < at_.size()) at_[count_++] = &each;
    });
  }
  [[nodiscard]] item** begin() noexcept { return at_.data(); }
  [[nodiscard]] item** end() noexcept { return at_.data() + count_; }

 private:
  std::array<item*, 32> at_;
  std::size_t count_ = 0;
};

}  // namespace

shard::~shard() {
  items_.for_each([](item& each) { item::deleter()(&each); });
}

item* shard::find(const key& k, instant now, bool asked_to_read) noexcept {
  apply_flush(now);
  item** const place = items_.find(k.hash, k.text);
  item* const found = place == nullptr ? nullptr : *place;
  if (found == nullptr || !is_dead(*found, now)) return found;
  if (asked_to_read) count.count(found->version <= flushed_ ? counted::get_flushed : counted::get_expired);
  remove(*found);
  return nullptr;
}

void shard::put(item_ptr fresh, std::uint64_t hash, item* old, instant now) {
  if (old == nullptr) {
    items_.insert(hash, fresh.get());
  } else {
    *items_.find(hash, fresh->key()) = fresh.get();
    old->is_linked = false;
  }
  fresh->is_linked = true;
  memory_.fetch_add(fresh->footprint(), std::memory_order_relaxed);
  if (old != nullptr) free_if_unused(*old);
  renew(*fresh.release(), now);
  count.count(counted::total_items);
}

void shard::remove(item& old) noexcept {
  const std::uint64_t hash = items_.hash_of(old.key());
  items_.remove(hash, items_.find(hash, old.key()));
  old.is_linked = false;
  free_if_unused(old);
}

void shard::unpin(item& i) noexcept {
  --i.pins;
  if (!i.is_linked) free_if_unused(i);
}

void shard::free_if_unused(item& i) noexcept {
  if (i.pins != 0) return;
  memory_.fetch_sub(i.footprint(), std::memory_order_relaxed);
  item::deleter()(&i);
}

void shard::flush(std::uint32_t at, instant now) noexcept {
  flush_at_ = at;
  apply_flush(now);
}

void shard::apply_flush(instant now) noexcept {
  if (flush_at_ == 0 || flush_at_ > now.seconds) return;
  flushed_ = last_version_;
  flush_at_ = 0;
}

bool shard::evict(living what, instant now) noexcept {
  constexpr std::size_t enough = 8;  // the oldest of so many is old enough
  apply_flush(now);
  item* oldest = nullptr;
  std::uint32_t age = 0;
  bool any_dead = false;
  std::size_t seen = 0;
  for (std::size_t i = 0; i < items_.buckets() && seen < enough; ++i) {
    if (++evict_hand_ >= items_.buckets()) evict_hand_ = 0;
    for (item* const each : bucket_items(items_, evict_hand_)) {
      item& candidate = *each;
      if (candidate.pins != 0) continue;
      ++seen;
      if (is_dead(candidate, now)) {
        any_dead = true;
        count.count(counted::reclaimed);
        if (!candidate.was_fetched) count.count(counted::expired_unfetched);
        remove(candidate);
      } else if (const std::uint32_t unused = (now.ticks() - candidate.used_at) & instant::most_ticks;
                 oldest == nullptr || unused > age) {
        oldest = &candidate;
        age = unused;
      }
    }
  }
  if (any_dead) return true;
  if (oldest == nullptr || what == living::spared) return false;
  count.count(counted::evictions);
  if (!oldest->was_fetched) count.count(counted::evicted_unfetched);
  if (oldest->expires != 0) count.count(counted::evicted_nonzero);
  evicted_age_ = now.seconds_since(oldest->used_at);
  remove(*oldest);
  return true;
}

void shard::reap(std::size_t buckets, instant now) noexcept {
  apply_flush(now);
  for (; buckets != 0; --buckets) {
    if (++reap_hand_ >= items_.buckets()) {
      reap_hand_ = 0;
      age_ = std::exchange(age_so_far_, 0);
    }
    for (item* const each : bucket_items(items_, reap_hand_)) {
      item& candidate = *each;
      if (!is_dead(candidate, now)) {
        age_so_far_ = std::max(age_so_far_, now.seconds_since(candidate.used_at));
        continue;
      }
      count.count(counted::reclaimed);
      if (!candidate.was_fetched) count.count(counted::expired_unfetched);
      remove(candidate);
    }
  }
}

}  // namespace cache
