#include "keyspace.hpp"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace kv {

item** keyspace::place_of(std::uint64_t hash, std::string_view key) noexcept {
  item** const place = table_.find(hash, key);
  if (place == nullptr || !is_over(**place)) return place;
  ++counted_.expired;
  erase(hash, place);
  return nullptr;
}

item* keyspace::peek(std::string_view key) noexcept {
  item** const place = place_of(hash_of(key), key);
  return place == nullptr ? nullptr : *place;
}

item* keyspace::find(std::string_view key) noexcept {
  item* const found = peek(key);
  ++(found != nullptr ? counted_.hits : counted_.misses);
  return found;
}

void keyspace::set(std::string_view key, std::string_view value, expiry when) {
  store(key, value, when, false);
}
void keyspace::set_keeping(std::string_view key, std::string_view value) {
  store(key, value, std::nullopt, true);
}

void keyspace::store(std::string_view key, std::string_view value, expiry when, bool keeps_expiry) {
  const std::uint64_t hash = hash_of(key);
  item** const place = place_of(hash, key);
  if (place != nullptr && keeps_expiry && (*place)->expires()) when = (*place)->due().at;

  if (place != nullptr && (*place)->expires() == when.has_value() && (*place)->suits(value.size())) {
    item& it = **place;
    std::memmove(it.value_data(), value.data(), value.size());
    it.set_value_size(value.size());
    changed(key);
    if (!when || it.due().at == *when) return;
    it.due().at = *when;
    deadlines_.moved(it);
    return;
  }

  item_owner fresh(item::make(key, value.size(), when.has_value()));
  if (!value.empty()) std::memcpy(fresh->value_data(), value.data(), value.size());
  if (place != nullptr)
    replace(place, std::move(fresh), when);
  else
    insert(hash, std::move(fresh), when);
  changed(key);
}

void keyspace::insert(std::uint64_t hash, item_owner fresh, expiry when) {
  if (when) {
    fresh->due().at = *when;
    deadlines_.add(*fresh);
  }
  try {
    table_.insert(hash, fresh.get());
  } catch (...) {
    if (when) deadlines_.remove(*fresh);
    throw;
  }
  item_memory_ += fresh.release()->memory();
}

void keyspace::replace(item** place, item_owner fresh, expiry when) {
  if (when) {
    fresh->due().at = *when;
    deadlines_.add(*fresh);
  }
  item_memory_ += fresh->memory();
  item_owner old(std::exchange(*place, fresh.release()));
  item_memory_ -= old->memory();
  if (old->expires()) deadlines_.remove(*old);
  discard(std::move(old));
}

item& keyspace::resize(std::string_view key, std::size_t size) {
  const std::uint64_t hash = hash_of(key);
  item** const place = place_of(hash, key);
  if (place == nullptr) {
    item_owner fresh(item::make(key, size, false));
    std::memset(fresh->value_data(), 0, size);
    item& made = *fresh;
    insert(hash, std::move(fresh), std::nullopt);
    changed(key);
    return made;
  }
  const std::size_t before = (*place)->value().size();
  const std::size_t memory_before = (*place)->memory();
  // What has grown once will grow again.
  *place = item::resized(*place, size, size > before ? size / 4 : 0);
  item& it = **place;
  item_memory_ += it.memory() - memory_before;
  if (it.expires()) deadlines_.relocated(it);
  if (size > before) std::memset(it.value_data() + before, 0, size - before);
  changed(key);
  return it;
}

void keyspace::set_expiry(std::string_view key, expiry when) {
  item** const place = place_of(hash_of(key), key);
  if (place == nullptr) return;
  item& it = **place;
  if (it.expires() && when) {
    it.due().at = *when;
    deadlines_.moved(it);
  } else if (it.expires() != when.has_value()) {
    item_owner fresh(item::make_for(it, it.key(), when.has_value()));
    if (when) {
      fresh->due().at = *when;
      deadlines_.add(*fresh);
    }
    if (it.expires()) deadlines_.remove(it);
    item_memory_ -= it.memory();
    fresh->take_value(it);
    item_memory_ += fresh->memory();
    const item_owner old(std::exchange(*place, fresh.release()));
  }
  changed(key);
}

void keyspace::rename(std::string_view from, std::string_view to) {
  const std::uint64_t hash = hash_of(from);
  const std::uint64_t new_hash = hash_of(to);
  const item& named = **place_of(hash, from);
  const expiry when = named.expires() ? expiry(named.due().at) : std::nullopt;
  item_owner fresh(item::make_for(named, to, when.has_value()));
  item& made = *fresh;
  if (item** const place = place_of(new_hash, to))
    replace(place, std::move(fresh), when);
  else
    insert(new_hash, std::move(fresh), when);
  // What was inserted has no value yet: the count is right with the old item's.
  item** const place = table_.find(hash, from);
  item_memory_ -= made.memory() + (*place)->memory();
  made.take_value(**place);
  item_memory_ += made.memory() + (*place)->memory();
  erase(hash, place);
  changed(to);
}

bool keyspace::erase(std::string_view key) noexcept {
  const std::uint64_t hash = hash_of(key);
  item** const place = place_of(hash, key);
  if (place == nullptr) return false;
  erase(hash, place);
  return true;
}

void keyspace::erase(std::uint64_t hash, item** place) noexcept {
  item_owner it(table_.remove(hash, place));
  item_memory_ -= it->memory();
  if (it->expires()) deadlines_.remove(*it);
  changed(it->key());
  discard(std::move(it));
}

garbage& keyspace::put_aside() {
  if (garbage_ == nullptr) garbage_ = std::make_unique<garbage>();
  return *garbage_;
}

void keyspace::discard(item_owner it) noexcept {
  if (it->value().size() < garbage::least) return;
  try {
    put_aside().add(it.get());
    static_cast<void>(it.release());
  } catch (const std::bad_alloc&) {  // then it takes its time here
  }
}

void keyspace::free_items() noexcept {
  table_.for_each([](item& it) { item::free(&it); });
}

void keyspace::clear() {
  hashing::key_table<item> fresh(hash_);
  deadline_queue no_deadlines;
  for (const auto& [key, watching] : watchers_)
    if (table_.find(table_.hash_of(key), key) != nullptr) tell_watchers(key);
  put_aside().add(table_, deadlines_);
  table_ = std::move(fresh);
  deadlines_ = std::move(no_deadlines);
  item_memory_ = 0;
}

void keyspace::watch(watcher& w, std::string_view key) {
  if (std::ranges::find(w.keys, key) != w.keys.end()) return;
  w.keys.reserve(w.keys.size() + 1);
  std::string name(key);
  watchers_[name].push_back(&w);
  w.keys.push_back(std::move(name));
}

void keyspace::unwatch(watcher& w) noexcept {
  for (const std::string& key : w.keys) {
    const auto found = watchers_.find(key);
    std::erase(found->second, &w);
    if (found->second.empty()) watchers_.erase(found);
  }
  w = {};
}

void keyspace::tell_watchers(std::string_view key) noexcept {
  const auto found = watchers_.find(key);
  if (found == watchers_.end()) return;
  for (watcher* const each : found->second) each->is_changed = true;
}

bool keyspace::expire(std::size_t most) noexcept {
  for (; most != 0 && !deadlines_.empty() && is_over(deadlines_.next()); --most) {
    const std::uint64_t hash = table_.hash_of(deadlines_.next().key());
    ++counted_.expired;
    erase(hash, table_.find(hash, deadlines_.next().key()));
  }
  return !deadlines_.empty() && is_over(deadlines_.next());
}

const item* keyspace::random() noexcept {
  while (table_.size() != 0) {
    const item* const drawn = table_.random([this] { return draw_(); });
    if (peek(drawn->key()) != nullptr) return drawn;
  }
  return nullptr;
}

}  // namespace kv
