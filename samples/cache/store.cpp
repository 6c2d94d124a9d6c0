#include "store.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <limits>

namespace cache {
namespace {

[[nodiscard]] bool is_space(char c) noexcept { return c == ' ' || (c >= '\t' && c <= '\r'); }

// A number with spaces around it, as clients have left them; what follows a space, or a zero byte, is not
// looked at.
[[nodiscard]] std::optional<std::uint64_t> number_in(std::string_view text) noexcept {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || (end != text.data() + text.size() && *end != '\0' && !is_space(*end)))
    return std::nullopt;
  return number;
}

}  // namespace

std::uint32_t expiry(std::int64_t exptime, instant now) noexcept {
  constexpr std::int64_t longest_delay = std::int64_t{60} * 60 * 24 * 30;
  if (exptime < 0) return 1;
  if (exptime == 0) return 0;
  const std::int64_t date = exptime > longest_delay ? exptime : exptime + now.seconds;
  return static_cast<std::uint32_t>(std::min<std::int64_t>(date, std::numeric_limits<std::uint32_t>::max()));
}

store::upload::upload(store& in, item_ptr i) noexcept : in_(&in), item_(std::move(i)) {
  in_->memory_.fetch_add(item_->footprint(), std::memory_order_relaxed);
}

item_ptr store::upload::take() noexcept {
  if (item_) in_->memory_.fetch_sub(item_->footprint(), std::memory_order_relaxed);
  return std::move(item_);
}

store::store(const store_settings& s) : settings_(s) {
  for (unsigned i = 0; i < s.shards; ++i) shards_.emplace_back(memory_, hash_);
}

bool store::make_room(std::size_t size, instant now) {
  const auto what = settings_.evicts ? shard::living::evicted : shard::living::spared;
  unsigned in_vain = 0;
  while (memory_.load(std::memory_order_relaxed) + size > settings_.memory) {
    if (in_vain == settings_.shards) return false;
    shard& s = shards_[next_to_evict_.fetch_add(1, std::memory_order_relaxed) % settings_.shards];
    const std::lock_guard lock(s.mutex);
    in_vain = s.evict(what, now) ? 0 : in_vain + 1;
  }
  return true;
}

void store::unpin(const pinned& p) {
  shard& s = shard_of(p.hash);
  const std::lock_guard lock(s.mutex);
  s.unpin(*p.of);
}

store::upload store::begin(const change& c, std::uint32_t size, std::uint32_t more, instant now) {
  if (!make_room(item::most_footprint(c.key.text.size() + size + more), now)) return {};
  item_ptr made = item::make(c.key.text, size, more);
  return made ? upload(*this, std::move(made)) : upload();
}

outcome store::put(const change& c, std::string_view value, instant now) {
  return put(c, value, nullptr, now);
}

outcome store::put(const change& c, upload value, instant now) {
  item_ptr ready = value.take();
  const std::string_view bytes = ready->value();
  return put(c, bytes, std::move(ready), now);
}

outcome store::put(const change& c, std::string_view value, item_ptr ready, instant now) {
  // Before the lock is taken, because what is evicted may be in any shard.
  const bool has_room = ready || make_room(item::most_footprint(c.key.text.size() + value.size()), now);
  shard& s = shard_of(c.key);
  const std::lock_guard lock(s.mutex);
  s.count.count(counted::cmd_set);
  item* const old = s.find(c.key, now);

  const bool extends = c.how == update::append || c.how == update::prepend;
  if (c.how == update::cas) {
    const bool same = old != nullptr && old->version == c.expected;
    s.count.count(old == nullptr ? counted::cas_misses : same ? counted::cas_hits : counted::cas_badval);
    if (!same) return old == nullptr ? outcome::not_found : outcome::exists;
  } else if (c.how == update::add && old != nullptr) {
    shard::use(*old, now);
    return outcome::not_stored;
  } else if ((extends || c.how == update::replace) && old == nullptr) {
    return outcome::not_stored;
  }

  if (!extends && !ready && old != nullptr && old->size == value.size() && old->pins == 0) {
    value.copy(old->value_bytes(), value.size());
    old->flags = c.flags;
    old->expires = c.expires;
    s.renew(*old, now);
    s.count.count(counted::total_items);
    return outcome::stored;
  }

  if (extends && is_too_large(c, std::uint64_t{old->size} + value.size())) {
    s.count.count(counted::store_too_large);
    return outcome::too_large;
  }
  if (!ready || extends) {
    const std::size_t size = extends ? old->size + value.size() : value.size();
    item_ptr fresh = has_room ? item::make(c.key.text, static_cast<std::uint32_t>(size)) : nullptr;
    if (!fresh) {
      s.count.count(counted::store_no_memory);
      return outcome::no_memory;
    }
    const std::string_view before = c.how == update::append ? old->value() : value;
    const std::string_view after = c.how == update::append ? value
                                   : extends               ? old->value()
                                                           : std::string_view();
    before.copy(fresh->value_bytes(), before.size());
    after.copy(fresh->value_bytes() + before.size(), after.size());
    ready = std::move(fresh);
  }
  ready->flags = extends ? old->flags : c.flags;
  ready->expires = extends ? old->expires : c.expires;
  s.put(std::move(ready), c.key.hash, old, now);
  return outcome::stored;
}

void store::refuse_too_large(const change& c, instant now) {
  shard& s = shard_of(c.key);
  const std::lock_guard lock(s.mutex);
  s.count.count(counted::store_too_large);
  // The client believes the old value to be gone.
  if (item* const old = c.how == update::set ? s.find(c.key, now) : nullptr) s.remove(*old);
}

bool store::remove(const key& k, instant now) {
  shard& s = shard_of(k);
  const std::lock_guard lock(s.mutex);
  item* const found = s.find(k, now);
  s.count.count(found != nullptr ? counted::delete_hits : counted::delete_misses);
  if (found != nullptr) s.remove(*found);
  return found != nullptr;
}

bool store::touch(const key& k, std::uint32_t expires, instant now) {
  shard& s = shard_of(k);
  const std::lock_guard lock(s.mutex);
  item* const found = s.find(k, now);
  s.count.count(counted::cmd_touch);
  s.count.count(found != nullptr ? counted::touch_hits : counted::touch_misses);
  if (found == nullptr) return false;
  found->expires = expires;
  shard::use(*found, now);
  return true;
}

outcome store::add(const key& k, direction d, std::uint64_t delta, instant now, std::uint64_t& result) {
  const bool up = d == direction::up;
  shard& s = shard_of(k);
  const std::lock_guard lock(s.mutex);
  item* const old = s.find(k, now);
  if (old == nullptr) {
    s.count.count(up ? counted::incr_misses : counted::decr_misses);
    return outcome::not_found;
  }
  const auto number = number_in(old->value());
  if (!number) return outcome::not_a_number;
  s.count.count(up ? counted::incr_hits : counted::decr_hits);
  result = up ? *number + delta : *number - std::min(delta, *number);
  std::array<char, 20> digits;
  const auto size = static_cast<std::uint32_t>(
      std::to_chars(digits.data(), digits.data() + digits.size(), result).ptr - digits.data());
  if (size <= old->size && old->pins == 0) {
    std::memcpy(old->value_bytes(), digits.data(), size);
    std::memset(old->value_bytes() + size, ' ', old->size - size);
    s.renew(*old, now);
    return outcome::stored;
  }
  item_ptr fresh = item::make(k.text, size);
  if (!fresh) return outcome::no_memory;
  std::memcpy(fresh->value_bytes(), digits.data(), size);
  fresh->flags = old->flags;
  fresh->expires = old->expires;
  s.put(std::move(fresh), k.hash, old, now);
  return outcome::stored;
}

void store::flush(std::uint32_t at, instant now) {
  for (shard& s : shards_) {
    const std::lock_guard lock(s.mutex);
    s.flush(at, now);
    if (&s == &shards_.front()) s.count.count(counted::cmd_flush);
  }
}

void store::reap(instant now) {
  constexpr std::size_t calls_for_all = 60;
  for (shard& s : shards_) {
    const std::lock_guard lock(s.mutex);
    s.reap(s.items().buckets() / calls_for_all + 1, now);
  }
}

store_figures store::figures() {
  store_figures out;
  for (shard& s : shards_) {
    const std::lock_guard lock(s.mutex);
    out.count += s.count;
    out.items += s.items().size();
    out.table += s.items().memory();
  }
  out.memory = memory_.load(std::memory_order_relaxed);
  return out;
}

void store::reset_counters() {
  for (shard& s : shards_) {
    const std::lock_guard lock(s.mutex);
    s.count = {};
  }
}

}  // namespace cache
