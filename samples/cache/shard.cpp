#include "shard.hpp"

#include <utility>

namespace cache {

shard::~shard() {
  for (std::size_t i = 0; i < items_.buckets(); ++i)
    for (item* each = items_.bucket(i); each != nullptr;) item::deleter()(std::exchange(each, each->next));
}

item* shard::find(const key& k, instant now, bool asked_to_read) noexcept {
  apply_flush(now);
  item* const found = items_.find(k.text, k.hash);
  if (found == nullptr || !is_dead(*found, now)) return found;
  if (asked_to_read) count.count(found->version <= flushed_ ? counted::get_flushed : counted::get_expired);
  remove(*found);
  return nullptr;
}

void shard::put(item_ptr fresh, const key& k, item* old, instant now) {
  if (old == nullptr)
    items_.insert(*fresh, k.hash);
  else
    items_.replace(*old, *fresh);
  memory_.fetch_add(fresh->footprint(), std::memory_order_relaxed);
  if (old != nullptr) free_if_unused(*old);
  renew(*fresh.release(), now);
  count.count(counted::total_items);
}

void shard::remove(item& old) noexcept {
  items_.remove(old);
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
    for (item* each = items_.bucket(evict_hand_); each != nullptr;) {
      item& candidate = *std::exchange(each, each->next);
      if (candidate.pins != 0) continue;
      ++seen;
      if (is_dead(candidate, now)) {
        any_dead = true;
        count.count(counted::reclaimed);
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
  remove(*oldest);
  return true;
}

void shard::reap(std::size_t buckets, instant now) noexcept {
  apply_flush(now);
  for (; buckets != 0; --buckets) {
    if (++reap_hand_ >= items_.buckets()) reap_hand_ = 0;
    for (item* each = items_.bucket(reap_hand_); each != nullptr;) {
      item& candidate = *std::exchange(each, each->next);
      if (!is_dead(candidate, now)) continue;
      count.count(counted::reclaimed);
      remove(candidate);
    }
  }
}

}  // namespace cache
