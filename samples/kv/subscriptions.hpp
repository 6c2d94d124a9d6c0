#pragma once
// kv: which client hears which channel.

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "inbox.hpp"

namespace kv {

struct client_state;

// Of one client.
struct subscriptions {
  std::set<std::string, std::less<>> channels = {};
  std::set<std::string, std::less<>> patterns = {};
  [[nodiscard]] std::size_t count() const noexcept { return channels.size() + patterns.size(); }
};

// Of all clients. Thread: the engine's.
class switchboard {
 public:
  enum class kind : std::uint8_t { channel, pattern };

  // Errors: std::bad_alloc, and nothing has changed that counts.
  void subscribe(client_state& who, kind k, std::string_view name);
  void unsubscribe(client_state& who, kind k, std::string_view name) noexcept;
  void unsubscribe_all(client_state& who) noexcept;

  // Calls `deliver` with each subscriber and, if it is by a pattern, that; "" by the channel's name.
  template <class Deliver>
  void publish(std::string_view channel, Deliver deliver) const {
    if (const auto found = channels_.find(channel); found != channels_.end())
      for (client_state* const each : found->second) deliver(*each, std::string_view(), false);
    for (const auto& [pattern, subscribers] : patterns_)
      if (is_match(pattern, channel))
        for (client_state* const each : subscribers) deliver(*each, std::string_view(pattern), true);
  }

  // Clients that have subscribed by the name.
  [[nodiscard]] std::size_t count(std::string_view channel) const noexcept;
  [[nodiscard]] std::size_t channels() const noexcept { return channels_.size(); }
  [[nodiscard]] std::size_t patterns() const noexcept { return patterns_.size(); }
  // Those that match; "" all.
  [[nodiscard]] std::vector<std::string_view> channels_like(std::string_view pattern) const;

 private:
  using table = std::map<std::string, std::set<client_state*>, std::less<>>;

  static bool is_match(std::string_view pattern, std::string_view channel) noexcept;
  static void remove(table& from, std::string_view name, client_state& who) noexcept;

  table channels_;
  table patterns_;
};

}  // namespace kv
