#pragma once
// cache: what is counted, under the names that the stats command prints.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace cache {

enum class counted : std::uint8_t {
  cmd_get,
  cmd_set,
  cmd_flush,
  cmd_touch,
  get_hits,
  get_misses,
  get_expired,
  get_flushed,
  delete_misses,
  delete_hits,
  incr_misses,
  incr_hits,
  decr_misses,
  decr_hits,
  cas_misses,
  cas_hits,
  cas_badval,
  touch_hits,
  touch_misses,
  store_too_large,
  store_no_memory,
  total_items,
  evictions,
  reclaimed,
  cmd_meta,
  expired_unfetched,
  evicted_unfetched,
  evicted_nonzero,
};

inline constexpr std::array<std::string_view, 28> counted_names{
    "cmd_get",      "cmd_set",           "cmd_flush",         "cmd_touch",      "get_hits",    "get_misses",
    "get_expired",  "get_flushed",       "delete_misses",     "delete_hits",    "incr_misses", "incr_hits",
    "decr_misses",  "decr_hits",         "cas_misses",        "cas_hits",       "cas_badval",  "touch_hits",
    "touch_misses", "store_too_large",   "store_no_memory",   "total_items",    "evictions",   "reclaimed",
    "cmd_meta",     "expired_unfetched", "evicted_unfetched", "evicted_nonzero"};

struct counters {
  std::array<std::uint64_t, counted_names.size()> of{};

  void count(counted what) noexcept { ++of[static_cast<std::size_t>(what)]; }
  [[nodiscard]] std::uint64_t operator[](counted what) const noexcept {
    return of[static_cast<std::size_t>(what)];
  }
  counters& operator+=(const counters& more) noexcept {
    for (std::size_t i = 0; i < of.size(); ++i) of[i] += more.of[i];
    return *this;
  }
};

}  // namespace cache
