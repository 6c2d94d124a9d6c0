#include <fmt/format.h>

#include "command.hpp"
#include "engine.hpp"
#include "glob.hpp"

namespace kv {
namespace {

using kind = switchboard::kind;

// The answer to a subscription or its end: "subscribe", name, how many there are then.
void confirm(call& c, std::string_view what, std::optional<std::string_view> name) {
  c.out.push(3);
  c.out.bulk(what);
  if (name)
    c.out.bulk(*name);
  else
    c.out.null();
  c.out.integer(static_cast<std::int64_t>(c.client.subscribed_to.count()));
}

void update_circumstances(client_state& me) noexcept {
  me.set(client_state::subscribed, me.subscribed_to.count() != 0 && me.protocol == 2);
}

void subscribe_to(call& c, kind k, std::string_view what) {
  if (!c.client.messages) c.client.messages = std::make_shared<inbox>();
  for (std::size_t i = 1; i < c.words.size(); ++i) {
    c.server.subscribers().subscribe(c.client, k, c.words[i]);
    confirm(c, what, c.words[i]);
  }
  update_circumstances(c.client);
}

void unsubscribe_from(call& c, kind k, std::string_view what) {
  const auto& own = k == kind::channel ? c.client.subscribed_to.channels : c.client.subscribed_to.patterns;
  if (c.words.size() == 1 && own.empty()) return confirm(c, what, std::nullopt);
  for (std::size_t i = 1; i < c.words.size(); ++i) {
    c.server.subscribers().unsubscribe(c.client, k, c.words[i]);
    confirm(c, what, c.words[i]);
  }
  while (c.words.size() == 1 && !own.empty()) {
    const std::string name = *own.begin();
    c.server.subscribers().unsubscribe(c.client, k, name);
    confirm(c, what, name);
  }
  update_circumstances(c.client);
}

void subscribe(call& c) { subscribe_to(c, kind::channel, "subscribe"); }
void psubscribe(call& c) { subscribe_to(c, kind::pattern, "psubscribe"); }
void unsubscribe(call& c) { unsubscribe_from(c, kind::channel, "unsubscribe"); }
void punsubscribe(call& c) { unsubscribe_from(c, kind::pattern, "punsubscribe"); }

void write_message(reply& out, std::string_view pattern, bool by_pattern, std::string_view channel,
                   std::string_view text) {
  out.push(by_pattern ? 4 : 3);
  out.bulk(by_pattern ? "pmessage" : "message");
  if (by_pattern) out.bulk(pattern);
  out.bulk(channel);
  out.bulk(text);
}

void publish(call& c) {
  std::int64_t count = 0;
  message made[2];  // for each version of the protocol, of the last pattern
  std::string_view made_for;
  c.server.subscribers().publish(c.words[1],
                                 [&](client_state& to, std::string_view pattern, bool by_pattern) {
                                   ++count;
                                   // Its own answers go the same way, but only once all requests that have
                                   // come with this one are run.
                                   if (&to == &c.client)
                                     return write_message(c.out, pattern, by_pattern, c.words[1], c.words[2]);
                                   if (pattern.data() != made_for.data()) made[0] = made[1] = nullptr;
                                   made_for = pattern;
                                   message& m = made[to.protocol == 3 ? 1 : 0];
                                   if (m == nullptr) {
                                     weir::write_buffer text;
                                     reply out(text, to.protocol);
                                     write_message(out, pattern, by_pattern, c.words[1], c.words[2]);
                                     m = std::make_shared<const std::string>(text.text());
                                   }
                                   if (to.messages->post(m)) return;
                                   to.messages->close();
                                   if (to.presence) to.presence->cut(presence::way::reset);
                                 });
  c.out.integer(count);
}

void pubsub(call& c) {
  const std::string_view what = c.words[1];
  if (is_word(what, "CHANNELS") && c.words.size() <= 3) {
    const auto names = c.server.subscribers().channels_like(c.words.size() == 3 ? c.words[2] : "");
    c.out.array(names.size());
    for (const std::string_view name : names) c.out.bulk(name);
  } else if (is_word(what, "NUMSUB")) {
    c.out.array(2 * (c.words.size() - 2));
    for (std::size_t i = 2; i < c.words.size(); ++i) {
      c.out.bulk(c.words[i]);
      c.out.integer(static_cast<std::int64_t>(c.server.subscribers().count(c.words[i])));
    }
  } else if (is_word(what, "NUMPAT")) {
    if (c.words.size() != 2) return c.wrong_number_of_words("pubsub|numpat");
    c.out.integer(static_cast<std::int64_t>(c.server.subscribers().patterns()));
  } else if (is_word(what, "CHANNELS")) {
    c.out.error(fmt::format("ERR unknown subcommand or wrong number of arguments for '{}'. Try PUBSUB HELP.",
                            up_to_nul(what, 128)));
  } else {
    c.unknown_subcommand();
  }
}

constexpr auto subscriptions_change = command::for_subscribers | command::pushes;

constexpr command table[] = {
    {"subscribe", -2, subscribe, subscriptions_change},
    {"psubscribe", -2, psubscribe, subscriptions_change},
    {"unsubscribe", -1, unsubscribe, subscriptions_change},
    {"punsubscribe", -1, punsubscribe, subscriptions_change},
    {"publish", 3, publish, command::is_fast},
    {"pubsub", -2, pubsub},
};

}  // namespace

std::span<const command> pubsub_commands() noexcept { return table; }

}  // namespace kv
