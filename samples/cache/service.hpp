#pragma once
// cache: what all connections share.

#include <functional>
#include <string>

#include "clock.hpp"
#include "store.hpp"
#include "traffic.hpp"

namespace cache {

struct service_settings {
  store_settings store;
  std::uint32_t connections = 10000;    // for the stats command
  unsigned threads = 1;                 // likewise
  bool allows_flush = true;             // the command flush_all
  bool has_versions = true;             // cas; without them gets shows 0, and cas always finds another
  std::function<void()> shutdown = {};  // what the command shutdown does; empty: it is refused
};

struct service {
  explicit service(service_settings s) : settings(std::move(s)), items(settings.store) {}

  service_settings settings;
  store items;
  cache::clock clock;
  traffic clients;
};

// The reply to `stats WHAT`, of which `what` may be empty.
[[nodiscard]] std::string statistics(service& s, std::string_view what);

inline constexpr std::string_view protocol_version = "1.6.18-weir";

}  // namespace cache
