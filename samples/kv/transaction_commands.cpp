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

// A watched key may be over, and nobody has noticed.
bool has_changed(call& c) {
  if (!c.client.watching) return false;
  for (const std::string& key : c.client.watching->keys) static_cast<void>(c.keys.peek(key));
  return c.client.watching->is_changed;
}

void exec(call& c) {
  if (!c.client.transaction) return c.out.error("ERR EXEC without MULTI");
  const bool is_changed = has_changed(c);
  const std::unique_ptr<transaction> all = std::move(c.client.transaction);
  c.server.end_transaction(c.client);
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
  c.server.end_transaction(c.client);
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
