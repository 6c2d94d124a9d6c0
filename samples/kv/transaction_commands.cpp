#include "command.hpp"
#include "engine.hpp"

namespace kv {
namespace {

void multi(call& c) {
  if (c.client.transaction) return c.out.error("ERR MULTI calls can not be nested");
  c.client.transaction = std::make_unique<transaction>();
  c.client.set(client_state::in_transaction, true);
  c.out.ok();
}

// What MULTI began; whether a watched key has changed.
std::unique_ptr<transaction> end_transaction(call& c, bool& is_changed) {
  client_state& me = c.client;
  std::unique_ptr<transaction> ended = std::move(me.transaction);
  me.set(client_state::in_transaction, false);
  if (me.watching) {
    for (const std::string& key : me.watching->keys) static_cast<void>(c.keys.peek(key));  // it may be over
    is_changed = me.watching->is_changed;
    c.keys.unwatch(*me.watching);
    me.watching.reset();
  }
  return ended;
}

void exec(call& c) {
  if (!c.client.transaction) return c.out.error("ERR EXEC without MULTI");
  bool is_changed = false;
  const std::unique_ptr<transaction> all = end_transaction(c, is_changed);
  if (all->is_broken) return c.out.error("EXECABORT Transaction discarded because of previous errors.");
  if (is_changed) return c.out.null_array();
  c.out.array(all->size());
  for (std::size_t i = 0; i < all->size(); ++i) {
    call each{all->words(i), c.server, c.keys, c.client, reply(c.out.buffer(), c.client.protocol)};
    c.server.run_queued(all->what(i), each);
  }
}

void discard(call& c) {
  if (!c.client.transaction) return c.out.error("ERR DISCARD without MULTI");
  bool is_changed = false;
  static_cast<void>(end_transaction(c, is_changed));
  c.out.ok();
}

void watch(call& c) {
  client_state& me = c.client;
  if (me.transaction) return c.out.error("ERR WATCH inside MULTI is not allowed");
  if (!me.watching) me.watching = std::make_unique<watcher>();
  for (std::size_t i = 1; i < c.words.size(); ++i) {
    static_cast<void>(c.keys.peek(c.words[i]));
    c.keys.watch(*me.watching, c.words[i]);
  }
  c.out.ok();
}

void unwatch(call& c) {
  if (c.client.watching) {
    c.keys.unwatch(*c.client.watching);
    c.client.watching.reset();
  }
  c.out.ok();
}

constexpr auto at_once = command::is_fast | command::at_once;

constexpr command table[] = {
    {"multi", 1, multi, at_once},
    {"exec", 1, exec, command::at_once},
    {"discard", 1, discard, at_once},
    {"watch", -2, watch, at_once, 1, -1, 1},
    {"unwatch", 1, unwatch, command::is_fast},
};

}  // namespace

std::span<const command> transaction_commands() noexcept { return table; }

}  // namespace kv
