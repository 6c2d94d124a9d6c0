#include <string>

#include <fmt/format.h>

#include "command.hpp"
#include "engine.hpp"

namespace kv {
namespace {

void time(call& c) {
  const auto now = c.keys.now();
  c.out.array(2);
  c.out.bulk(text_of(now / 1000).view());
  c.out.bulk(text_of(now % 1000 * 1000).view());
}

void info(call& c) {
  std::string text;
  if (c.words.size() == 1) text = c.server.describe("default");
  for (std::size_t i = 1; i < c.words.size(); ++i) {
    const std::string part = c.server.describe(in_small_letters(c.words[i]));
    if (!text.empty() && !part.empty()) text += "\r\n";
    text += part;
  }
  c.out.verbatim(text);
}

// What clients and monitoring ask of every server, and what there is nothing of here.

void slowlog(call& c) {
  if (is_word(c.words[1], "LEN")) return c.out.integer(0);
  if (is_word(c.words[1], "GET")) return c.out.array(0);
  if (is_word(c.words[1], "RESET")) return c.out.ok();
  c.unknown_subcommand();
}

void latency(call& c) {
  if (is_word(c.words[1], "LATEST") || is_word(c.words[1], "HISTORY")) return c.out.array(0);
  if (is_word(c.words[1], "HISTOGRAM")) return c.out.map(0);
  if (is_word(c.words[1], "RESET")) return c.out.integer(0);
  c.unknown_subcommand();
}

void module(call& c) {
  if (!is_word(c.words[1], "LIST")) return c.unknown_subcommand();
  c.out.array(0);
}

void acl(call& c) {
  if (!is_word(c.words[1], "WHOAMI")) return c.unknown_subcommand();
  c.out.bulk("default");
}

void role(call& c) {
  c.out.array(3);
  c.out.bulk("master");
  c.out.integer(0);
  c.out.array(0);
}

// No replica acknowledges anything.
void wait(call& c) {
  if (!c.integer(1)) return;
  const auto timeout = integer_of(c.words[2]);
  if (!timeout) return c.out.error("ERR timeout is not an integer or out of range");
  if (*timeout < 0) return c.out.error("ERR timeout is negative");
  c.out.integer(0);
}

void cluster(call& c) {
  for (const std::string_view known : {"INFO", "NODES", "SLOTS", "SHARDS", "KEYSLOT", "MYID",
                                       "COUNTKEYSINSLOT", "GETKEYSINSLOT", "MEET", "RESET"})
    if (is_word(c.words[1], known)) return c.out.error("ERR This instance has cluster support disabled");
  c.unknown_subcommand();
}

void of_a_cluster(call& c) { c.out.error("ERR This instance has cluster support disabled"); }

constexpr command table[] = {
    {"time", 1, time, command::is_fast},
    {"info", -1, info},
    {"slowlog", -2, slowlog},
    {"latency", -2, latency},
    {"module", -2, module},
    {"acl", -2, acl},
    {"role", 1, role, command::is_fast},
    {"wait", 3, wait},
    {"cluster", -2, cluster},
    {"readonly", 1, of_a_cluster, command::is_fast},
    {"readwrite", 1, of_a_cluster, command::is_fast},
    {"asking", 1, of_a_cluster, command::is_fast},
};

}  // namespace

std::span<const command> server_commands() noexcept { return table; }

}  // namespace kv
