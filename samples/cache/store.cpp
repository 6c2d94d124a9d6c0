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

item_ptr store::spare(const key& k, std::uint32_t size, instant now) {
  if (!make_room(item::most_footprint(k.text.size() + size), now)) return nullptr;
  return item::make(k.text, size);
}

outcome store::put(const change& c, std::string_view value, instant now, std::uint64_t* version) {
  return put(c, value, nullptr, now, version);
}

outcome store::put(const change& c, upload value, instant now, std::uint64_t* version) {
  item_ptr ready = value.take();
  const std::string_view bytes = ready->value();
  return put(c, bytes, std::move(ready), now, version);
}

outcome store::put(const change& c, std::string_view value, item_ptr ready, instant now,
                   std::uint64_t* version) {
  // Before the lock is taken, because what is evicted may be in any shard.
  const bool has_room = ready || make_room(item::most_footprint(c.key.text.size() + value.size()), now);
  shard& s = shard_of(c.key);
  const std::lock_guard lock(s.mutex);
  s.count.count(counted::cmd_set);
  item* const old = s.find(c.key, now);

  const bool extends = c.how == update::append || c.how == update::prepend;
  bool is_stale = false;
  if (c.how == update::cas) {
    const bool same = old != nullptr && old->version == c.expected;
    is_stale = old != nullptr && c.may_be_stale && c.expected < old->version;
    s.count.count(old == nullptr     ? counted::cas_misses
                  : same || is_stale ? counted::cas_hits
                                     : counted::cas_badval);
    if (!same && !is_stale) return old == nullptr ? outcome::not_found : outcome::exists;
  } else if (c.how == update::add && old != nullptr) {
    shard::use(*old, now);
    return outcome::not_stored;
  } else if ((extends || c.how == update::replace) && old == nullptr) {
    return outcome::not_stored;
  } else if (extends && c.expected != 0 && c.expected != old->version) {
    return outcome::exists;
  }

  if (!extends && !ready && !is_stale && old != nullptr && old->size == value.size() && old->pins == 0) {
    value.copy(old->value_bytes(), value.size());
    old->flags = c.flags;
    old->expires = c.expires;
    old->was_fetched = old->is_stale = old->token_sent = 0;
    old->has_binary_key = c.has_binary_key;
    s.renew(*old, now);
    s.count.count(counted::total_items);
    if (version != nullptr) *version = old->version;
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
  ready->expires = extends || is_stale ? old->expires : c.expires;
  ready->has_binary_key = c.has_binary_key;
  ready->is_stale = is_stale;
  ready->token_sent = is_stale && old->token_sent;
  item& stored = *ready;
  s.put(std::move(ready), c.key.hash, old, now);
  if (version != nullptr) *version = stored.version;
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
  shard::fetch(*found, now);
  return true;
}

outcome store::add(const key& k, direction d, std::uint64_t delta, instant now, std::uint64_t& result) {
  item* changed = nullptr;
  return locked(k, [&](shard& s) {
    return add(s, k, {.to = d, .delta = delta, .initial = std::nullopt}, now, result, changed);
  });
}

outcome store::add(shard& s, const key& k, const increment& i, instant now, std::uint64_t& result,
                   item*& changed) {
  const bool up = i.to == direction::up;
  item* const old = s.find(k, now);
  if (old != nullptr) {
    if (i.expected != 0 && i.expected != old->version) return outcome::exists;
    const auto number = number_in(old->value());
    if (!number) return outcome::not_a_number;
    s.count.count(up ? counted::incr_hits : counted::decr_hits);
    result = up ? *number + i.delta : *number - std::min(i.delta, *number);
  } else if (i.initial) {
    result = *i.initial;
  } else {
    s.count.count(up ? counted::incr_misses : counted::decr_misses);
    return outcome::not_found;
  }
  std::array<char, 20> digits;
  const auto size = static_cast<std::uint32_t>(
      std::to_chars(digits.data(), digits.data() + digits.size(), result).ptr - digits.data());
  if (old != nullptr && size <= old->size && old->pins == 0) {
    std::memcpy(old->value_bytes(), digits.data(), size);
    std::memset(old->value_bytes() + size, ' ', old->size - size);
    s.renew(*old, now);
    changed = old;
    return outcome::stored;
  }
  item_ptr fresh = item::make(k.text, size);
  if (!fresh) return outcome::no_memory;
  std::memcpy(fresh->value_bytes(), digits.data(), size);
  if (old != nullptr) {
    fresh->flags = old->flags;
    fresh->expires = old->expires;
  }
  changed = fresh.get();
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
    out.buckets += s.items().buckets();
    out.table += s.items().memory();
    out.age = std::max(out.age, s.age());
    out.evicted_age = std::max(out.evicted_age, s.evicted_age());
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
