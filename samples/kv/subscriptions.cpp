#include "subscriptions.hpp"

#include "client.hpp"
#include "glob.hpp"

namespace kv {

void switchboard::subscribe(client_state& who, kind k, std::string_view name) {
  table& all = k == kind::channel ? channels_ : patterns_;
  auto& own = k == kind::channel ? who.subscribed_to.channels : who.subscribed_to.patterns;
  if (own.contains(name)) return;
  all[std::string(name)].insert(&who);
  own.emplace(name);
}

void switchboard::unsubscribe(client_state& who, kind k, std::string_view name) noexcept {
  auto& own = k == kind::channel ? who.subscribed_to.channels : who.subscribed_to.patterns;
  const auto found = own.find(name);
  if (found == own.end()) return;
  remove(k == kind::channel ? channels_ : patterns_, name, who);
  own.erase(found);
}

void switchboard::unsubscribe_all(client_state& who) noexcept {
  for (const std::string& each : who.subscribed_to.channels) remove(channels_, each, who);
  for (const std::string& each : who.subscribed_to.patterns) remove(patterns_, each, who);
  who.subscribed_to = {};
}

void switchboard::remove(table& from, std::string_view name, client_state& who) noexcept {
  const auto found = from.find(name);
  found->second.erase(&who);
  if (found->second.empty()) from.erase(found);
}

std::size_t switchboard::count(std::string_view channel) const noexcept {
  const auto found = channels_.find(channel);
  return found == channels_.end() ? 0 : found->second.size();
}

std::vector<std::string_view> switchboard::channels_like(std::string_view pattern) const {
  std::vector<std::string_view> out;
  for (const auto& [name, subscribers] : channels_)
    if (pattern.empty() || matches(pattern, name)) out.push_back(name);
  return out;
}

bool switchboard::is_match(std::string_view pattern, std::string_view channel) noexcept {
  return matches(pattern, channel);
}

}  // namespace kv
