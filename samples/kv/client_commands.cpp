#include <algorithm>

#include <fmt/format.h>

#include "command.hpp"
#include "engine.hpp"

namespace kv {
namespace {

void ping(call& c) {
  if (c.words.size() > 2) return c.wrong_number_of_words("ping");
  if (c.words.size() == 2)
    c.out.bulk(c.words[1]);
  else
    c.out.simple("PONG");
}

void echo(call& c) { c.out.bulk(c.words[1]); }

void quit(call& c) {
  c.client.leaves = true;
  c.out.ok();
}

void reset(call& c) {
  c.client.name.clear();
  c.out.simple("RESET");
}

void select(call& c) {
  if (c.is_our_database(1)) c.out.ok();
}

void auth(call& c) {
  if (c.words.size() > 3) return c.syntax_error();
  c.out.error(
      "ERR AUTH <password> called without any password configured for the default user. Are you sure your "
      "configuration is correct?");
}

// Printable and without spaces, so that a name cannot be taken for something else where clients are listed.
bool set_name(call& c, std::string_view name) {
  if (!std::ranges::all_of(name, [](char each) { return each >= '!' && each <= '~'; })) {
    c.out.error("ERR Client names cannot contain spaces, newlines or special characters.");
    return false;
  }
  c.client.name = name;
  return true;
}

void hello(call& c) {
  if (c.words.size() > 1) {
    const auto version = integer_of(c.words[1]);
    if (!version) return c.out.error("ERR Protocol version is not an integer or out of range");
    if (*version != 2) return c.out.error("NOPROTO unsupported protocol version");
  }
  for (std::size_t i = 2; i < c.words.size(); ++i) {
    if (is_word(c.words[i], "SETNAME") && i + 1 < c.words.size()) {
      if (!set_name(c, c.words[++i])) return;
    } else {
      return c.out.error(fmt::format("ERR Syntax error in HELLO option '{}'", up_to_nul(c.words[i])));
    }
  }
  c.out.array(14);
  for (const std::string_view text : {"server", "weir", "version"}) c.out.bulk(text);
  c.out.bulk(engine::version);
  c.out.bulk("proto");
  c.out.integer(2);
  c.out.bulk("id");
  c.out.integer(static_cast<std::int64_t>(c.client.id));
  for (const std::string_view text : {"mode", "standalone", "role", "master", "modules"}) c.out.bulk(text);
  c.out.array(0);
}

void client_id(call& c) { c.out.integer(static_cast<std::int64_t>(c.client.id)); }

void client_getname(call& c) {
  if (c.client.name.empty()) return c.out.null();
  c.out.bulk(c.client.name);
}

void client_setname(call& c) {
  if (set_name(c, c.words[2])) c.out.ok();
}

void client_info(call& c) {
  c.out.bulk(
      fmt::format("id={} addr={} name={} db=0 resp=2\n", c.client.id, c.client.address, c.client.name));
}

void client(call& c) {
  struct subcommand {
    std::string_view capitals;
    std::size_t words;
    void (*run)(call&);
    std::string_view name;
  };
  static constexpr subcommand known[] = {
      {"ID", 2, client_id, "client|id"},
      {"GETNAME", 2, client_getname, "client|getname"},
      {"SETNAME", 3, client_setname, "client|setname"},
      {"INFO", 2, client_info, "client|info"},
  };
  for (const subcommand& each : known)
    if (is_word(c.words[1], each.capitals))
      return each.words == c.words.size() ? each.run(c) : c.wrong_number_of_words(each.name);
  c.unknown_subcommand();
}

// The first word of an HTTP request. Hazard: a web page could make a browser send commands in one.
void foreign(call& c) { c.client.leaves = c.client.is_foreign = true; }

constexpr command table[] = {
    {"ping", -1, ping, command::is_fast},
    {"echo", 2, echo, command::is_fast},
    {"quit", -1, quit, command::is_fast},
    {"reset", 1, reset, command::is_fast},
    {"select", 2, select, command::is_fast},
    {"auth", -2, auth, command::is_fast},
    {"hello", -1, hello, command::is_fast},
    {"client", -2, client},
    {"post", -1, foreign},
    {"host:", -1, foreign},
};

}  // namespace

std::span<const command> client_commands() noexcept { return table; }

}  // namespace kv
