#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "command.hpp"
#include "engine.hpp"
#include "glob.hpp"

namespace kv {
namespace {

// A key of CONFIG: a size that may be changed, or a fact, or one that the engine keeps itself.
struct option {
  std::string_view name;
  std::string_view fact = {};
  std::size_t engine_limits::* limit = nullptr;
  std::size_t least = 0;
  std::string (*tell)(const engine&) = nullptr;
};
constexpr option options[] = {
    {"save"},
    {"appendonly", "no"},
    {"databases", "1"},
    {"timeout", "0"},
    {"tcp-keepalive", "0"},
    {"maxmemory-policy", "noeviction"},
    {"notify-keyspace-events"},
    {"slowlog-log-slower-than", "-1"},
    {"slowlog-max-len", "0"},
    {"cluster-enabled", "no"},
    {"maxmemory", "", &engine_limits::memory, 0},
    {"proto-max-bulk-len", "", &engine_limits::longest_string, 1024UL * 1024},
    {"requirepass", "", nullptr, 0, [](const engine& e) { return e.password(); }},
    {"port", "", nullptr, 0, [](const engine& e) { return fmt::format("{}", e.facts().port); }},
    {"bind", "", nullptr, 0, [](const engine& e) { return e.facts().bind; }},
    {"maxclients", "", nullptr, 0, [](const engine& e) { return fmt::format("{}", e.facts().most_clients); }},
};

std::string value_of(const engine& server, const option& each) {
  if (each.tell != nullptr) return each.tell(server);
  if (each.limit != nullptr) return fmt::format("{}", server.limits().*each.limit);
  return std::string(each.fact);
}

void config_get(call& c) {
  if (c.words.size() < 3) return c.wrong_number_of_words("config|get");
  std::vector<const option*> found;
  for (const option& each : options) {
    bool wanted = false;
    for (std::size_t i = 2; i < c.words.size(); ++i)
      wanted |= matches(in_small_letters(c.words[i]), each.name);
    if (wanted) found.push_back(&each);
  }
  c.out.map(found.size());
  for (const option* const each : found) {
    c.out.bulk(each->name);
    c.out.bulk(value_of(c.server, *each));
  }
}

// "100mb", "1k", "5": nothing if it is none of these. More than 64 bits wrap, as in Redis.
std::optional<std::size_t> memory_in(std::string_view text) {
  struct unit {
    std::string_view name;
    std::size_t bytes;
  };
  static constexpr unit units[] = {{"", 1},
                                   {"b", 1},
                                   {"k", 1000},
                                   {"kb", 1024},
                                   {"m", 1000UL * 1000},
                                   {"mb", 1024UL * 1024},
                                   {"g", 1000UL * 1000 * 1000},
                                   {"gb", 1024UL * 1024 * 1024}};
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::string named = in_small_letters(text.substr(digits));
  const unit* const in = std::ranges::find(units, named, &unit::name);
  if (in == std::end(units)) return std::nullopt;
  std::size_t value = 0;
  for (const char digit : text.substr(0, digits))
    if (__builtin_mul_overflow(value, 10, &value) ||
        __builtin_add_overflow(value, static_cast<std::size_t>(digit - '0'), &value))
      value = SIZE_MAX;
  return value * in->bytes;
}

// What would be wrong with setting it; empty: nothing.
std::string refusal(const engine& server, const option& what, std::string_view value) {
  if (what.name == "requirepass") return "";
  if (what.limit == nullptr) return value == value_of(server, what) ? "" : "can't set immutable config";
  const auto size = memory_in(value);
  if (!size) return "argument must be a memory value";
  const auto most = what.limit == &engine_limits::longest_string ? longest_string_ever : SIZE_MAX;
  if (*size >= what.least && *size <= most) return "";
  return fmt::format("argument must be between {} and {} inclusive", what.least, most);
}

void config_set(call& c) {
  if (c.words.size() < 4) return c.wrong_number_of_words("config|set");
  if (c.words.size() % 2 != 0) return c.syntax_error();
  engine_limits changed = c.server.limits();
  std::optional<std::string_view> password;
  std::vector<const option*> set;
  for (std::size_t i = 2; i < c.words.size(); i += 2) {
    const std::string name = in_small_letters(c.words[i]);
    const option* const what = std::ranges::find(options, name, &option::name);
    if (what == std::end(options))
      return c.out.error(fmt::format("ERR Unknown option or number of arguments for CONFIG SET - '{}'",
                                     up_to_nul(c.words[i])));
    std::string why = refusal(c.server, *what, c.words[i + 1]);
    if (std::ranges::find(set, what) != set.end()) why = "duplicate parameter";
    if (!why.empty())
      return c.out.error(
          fmt::format("ERR CONFIG SET failed (possibly related to argument '{}') - {}", name, why));
    set.push_back(what);
    if (what->limit != nullptr) changed.*what->limit = *memory_in(c.words[i + 1]);
    if (what->name == "requirepass") password = c.words[i + 1];
  }
  c.server.limits() = changed;
  if (password) c.server.set_password(std::string(*password));
  c.out.ok();
}

void config(call& c) {
  if (is_word(c.words[1], "GET")) return config_get(c);
  if (is_word(c.words[1], "SET")) return config_set(c);
  if (is_word(c.words[1], "REWRITE")) return c.out.error("ERR The server is running without a config file");
  if (!is_word(c.words[1], "RESETSTAT")) return c.unknown_subcommand();
  if (c.words.size() != 2) return c.wrong_number_of_words("config|resetstat");
  c.server.reset_counters();
  c.out.ok();
}

constexpr command table[] = {
    {"config", -2, config},
};

}  // namespace

std::span<const command> config_commands() noexcept { return table; }

}  // namespace kv
