#pragma once
// connection: from whom a server takes headers of the PROXY protocol, and what becomes of the others.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string_view>
#include <vector>

#include "weir/config/detail/address_prefix.hpp"
#include "weir/config/settings.hpp"
#include "weir/connection/connection.hpp"
#include "weir/task/task.hpp"

namespace weir {

// One for each server. Thread: any. Lifetime: as long as its connections.
class proxy_rules {
 public:
  // `s` has been checked.
  explicit proxy_rules(const proxy_settings& s);
  proxy_rules(const proxy_rules&) = delete;
  proxy_rules& operator=(const proxy_rules&) = delete;

  [[nodiscard]] bool trusts(const peer_address& peer) const noexcept;
  [[nodiscard]] std::chrono::milliseconds timeout() const noexcept { return timeout_; }

  // Counts a connection that is closed for want of a right header, and logs at most one line a second.
  void refuse(const peer_address& peer, std::string_view why) noexcept;
  [[nodiscard]] std::uint64_t refused() const noexcept { return refused_.load(std::memory_order_relaxed); }

 private:
  std::vector<address_prefix> trusted_;
  bool trusts_unix_ = false;
  std::chrono::milliseconds timeout_;
  std::atomic<std::uint64_t> refused_{0};
};

// Reads the header of a new connection, which has an edge, and not a byte more. What it says is the
// connection's from then on. False: there was no right one; that has been counted unless the connection ended
// before its first byte. Cancel: throws operation_canceled.
[[nodiscard]] task<bool> read_proxy_header(connection* client, proxy_rules* rules);

}  // namespace weir
