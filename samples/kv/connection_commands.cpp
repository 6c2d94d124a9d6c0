#include <fmt/format.h>

#include "command.hpp"
#include "engine.hpp"

namespace kv {
namespace {

void ping(call& c) {
  if (c.words.size() > 2) return c.wrong_number_of_words("ping");
  if (c.client.is(client_state::subscribed)) {
    c.out.array(2);
    c.out.bulk("pong");
    c.out.bulk(c.words.size() == 2 ? c.words[1] : "");
  } else if (c.words.size() == 2) {
    c.out.bulk(c.words[1]);
  } else {
    c.out.simple("PONG");
  }
}

void echo(call& c) { c.out.bulk(c.words[1]); }

void quit(call& c) {
  c.client.leaves = true;
  c.out.ok();
}

void reset(call& c) {
  client_state& me = c.client;
  c.server.forget(me);
  me.name.clear();
  me.protocol = 2;
  me.circumstances = c.server.has_password() ? client_state::must_authenticate : 0;
  c.out.simple("RESET");
}

void select(call& c) {
  if (c.is_our_database(1)) c.out.ok();
}

constexpr std::string_view wrong_password = "WRONGPASS invalid username-password pair or user is disabled.";

// Without a password the default user may give any.
bool authenticate(call& c, std::string_view user, std::string_view password) {
  if (user != "default" || (c.server.has_password() && !c.server.is_password(password))) {
    c.out.error(wrong_password);
    return false;
  }
  c.client.set(client_state::must_authenticate, false);
  return true;
}

void auth(call& c) {
  if (c.words.size() > 3) return c.syntax_error();
  if (c.words.size() == 2 && !c.server.has_password())
    return c.out.error(
        "ERR AUTH <password> called without any password configured for the default user. Are you sure your "
        "configuration is correct?");
  const bool has_user = c.words.size() == 3;
  if (authenticate(c, has_user ? c.words[1] : "default", c.words[has_user ? 2 : 1])) c.out.ok();
}

void hello(call& c) {
  client_state& me = c.client;
  std::uint8_t protocol = me.protocol;
  if (c.words.size() > 1) {
    const auto version = integer_of(c.words[1]);
    if (!version) return c.out.error("ERR Protocol version is not an integer or out of range");
    if (*version != 2 && *version != 3) return c.out.error("NOPROTO unsupported protocol version");
    protocol = static_cast<std::uint8_t>(*version);
  }
  std::optional<std::string_view> name;
  for (std::size_t i = 2; i < c.words.size(); ++i) {
    if (is_word(c.words[i], "AUTH") && i + 2 < c.words.size()) {
      if (!authenticate(c, c.words[i + 1], c.words[i + 2])) return;
      i += 2;
    } else if (is_word(c.words[i], "SETNAME") && i + 1 < c.words.size()) {
      name = c.words[++i];
      if (!is_client_name(c, *name)) return;
    } else {
      return c.out.error(fmt::format("ERR Syntax error in HELLO option '{}'", up_to_nul(c.words[i])));
    }
  }
  if (me.is(client_state::must_authenticate))
    return c.out.error(
        "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> "
        "<pass> option can be used to authenticate the client and select the RESP protocol version at the "
        "same time");
  if (name) me.name = *name;
  me.protocol = protocol;
  me.set(client_state::subscribed, me.subscribed_to.count() != 0 && protocol == 2);
  c.out = reply(c.out.buffer(), protocol);
  c.out.map(7);
  for (const std::string_view text : {"server", "weir", "version"}) c.out.bulk(text);
  c.out.bulk(engine::version);
  c.out.bulk("proto");
  c.out.integer(protocol);
  c.out.bulk("id");
  c.out.integer(static_cast<std::int64_t>(me.id));
  for (const std::string_view text : {"mode", "standalone", "role", "master", "modules"}) c.out.bulk(text);
  c.out.array(0);
}

// The first word of an HTTP request. Hazard: a web page could make a browser send commands in one.
void foreign(call& c) { c.client.leaves = c.client.is_foreign = true; }

constexpr auto quick = command::is_fast;
constexpr auto for_anyone = command::is_fast | command::for_anyone;

constexpr command table[] = {
    {"ping", -1, ping, quick | command::for_subscribers},
    {"echo", 2, echo, quick},
    {"quit", -1, quit, for_anyone | command::for_subscribers | command::at_once},
    {"reset", 1, reset, for_anyone | command::for_subscribers | command::at_once},
    {"select", 2, select, quick},
    {"auth", -2, auth, for_anyone},
    {"hello", -1, hello, for_anyone},
    {"post", -1, foreign, command::for_anyone | command::for_subscribers | command::at_once},
    {"host:", -1, foreign, command::for_anyone | command::for_subscribers | command::at_once},
};

}  // namespace

std::span<const command> connection_commands() noexcept { return table; }

}  // namespace kv
