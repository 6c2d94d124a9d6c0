#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "command.hpp"
#include "engine.hpp"
#include "glob.hpp"

namespace kv {
namespace {

std::string small(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return out;
}

void time(call& c) {
  const auto now = c.keys.now();
  c.out.array(2);
  c.out.bulk(text_of(now / 1000).view());
  c.out.bulk(text_of(now % 1000 * 1000).view());
}

void info(call& c) {
  std::string text;
  if (c.words.size() == 1) text = c.server.describe("");
  for (std::size_t i = 1; i < c.words.size(); ++i) {
    const std::string section = small(c.words[i]);
    const bool all = section == "all" || section == "default" || section == "everything";
    const std::string part = c.server.describe(all ? "" : section);
    if (!text.empty() && !part.empty()) text += "\r\n";
    text += part;
  }
  c.out.bulk(text);
}

// A key of CONFIG. Those without a place to be written to are facts.
struct option {
  std::string_view name;
  std::string_view fact;
  std::size_t engine_limits::* limit;
  std::size_t least;
};
constexpr option options[] = {
    {"save", "", nullptr, 0},
    {"appendonly", "no", nullptr, 0},
    {"databases", "1", nullptr, 0},
    {"maxmemory-policy", "noeviction", nullptr, 0},
    {"maxmemory", "", &engine_limits::memory, 0},
    {"proto-max-bulk-len", "", &engine_limits::longest_string, 1024 * 1024},
};

void config_get(call& c) {
  if (c.words.size() < 3) return c.wrong_number_of_words("config|get");
  std::vector<const option*> found;
  for (const option& each : options) {
    bool wanted = false;
    for (std::size_t i = 2; i < c.words.size(); ++i) wanted |= matches(small(c.words[i]), each.name);
    if (wanted) found.push_back(&each);
  }
  c.out.array(found.size() * 2);
  for (const option* const each : found) {
    c.out.bulk(each->name);
    c.out.bulk(each->limit == nullptr ? std::string(each->fact)
                                      : fmt::format("{}", c.server.limits().*each->limit));
  }
}

// What would be wrong with setting it; empty: nothing.
std::string_view refusal(const option* what, std::string_view value) {
  if (what->limit == nullptr) return value == what->fact ? "" : "can't set immutable config";
  const auto size = integer_of(value);
  if (!size || *size < 0) return "argument must be a memory value";
  const auto most = what->limit == &engine_limits::longest_string ? longest_string_ever : SIZE_MAX;
  if (static_cast<std::size_t>(*size) < what->least || static_cast<std::size_t>(*size) > most)
    return "argument is out of range";
  return "";
}

void config_set(call& c) {
  if (c.words.size() < 4) return c.wrong_number_of_words("config|set");
  if (c.words.size() % 2 != 0) return c.syntax_error();
  engine_limits changed = c.server.limits();
  for (std::size_t i = 2; i < c.words.size(); i += 2) {
    const std::string name = small(c.words[i]);
    const option* const what = std::ranges::find(options, name, &option::name);
    if (what == std::end(options))
      return c.out.error(fmt::format("ERR Unknown option or number of arguments for CONFIG SET - '{}'",
                                     up_to_nul(c.words[i])));
    if (const auto why = refusal(what, c.words[i + 1]); !why.empty())
      return c.out.error(
          fmt::format("ERR CONFIG SET failed (possibly related to argument '{}') - {}", name, why));
    if (what->limit != nullptr) changed.*what->limit = static_cast<std::size_t>(*integer_of(c.words[i + 1]));
  }
  c.server.limits() = changed;
  c.out.ok();
}

void config(call& c) {
  if (is_word(c.words[1], "GET")) return config_get(c);
  if (is_word(c.words[1], "SET")) return config_set(c);
  if (!is_word(c.words[1], "RESETSTAT")) return c.unknown_subcommand();
  c.server.reset_counters();
  c.out.ok();
}

void tell_command(call& c, const command& each) {
  c.out.array(10);
  c.out.bulk(each.name);
  c.out.integer(each.words);
  std::vector<std::string_view> flags;
  if ((each.traits & command::writes) != 0) flags.push_back("write");
  if ((each.traits & command::reads) != 0) flags.push_back("readonly");
  if ((each.traits & command::grows) != 0) flags.push_back("denyoom");
  if ((each.traits & command::is_fast) != 0) flags.push_back("fast");
  c.out.array(flags.size());
  for (const auto flag : flags) c.out.simple(flag);
  for (const int number : {each.first_key, each.last_key, each.key_step}) c.out.integer(number);
  // Categories, tips, details of keys and subcommands: not kept.
  for (int i = 0; i < 4; ++i) c.out.array(0);
}

void command_info(call& c) {
  c.out.array(c.words.size() - 2);
  for (std::size_t i = 2; i < c.words.size(); ++i) {
    if (const command* const each = c.server.commands().find(c.words[i]))
      tell_command(c, *each);
    else
      c.out.null_array();
  }
}

void command_command(call& c) {
  const auto all = c.server.commands().all();
  if (c.words.size() == 1 || (c.words.size() == 2 && is_word(c.words[1], "INFO"))) {
    c.out.array(all.size());
    for (const command& each : all) tell_command(c, each);
  } else if (is_word(c.words[1], "COUNT")) {
    c.out.integer(static_cast<std::int64_t>(all.size()));
  } else if (is_word(c.words[1], "LIST")) {
    c.out.array(all.size());
    for (const command& each : all) c.out.bulk(each.name);
  } else if (is_word(c.words[1], "INFO")) {
    command_info(c);
  } else if (is_word(c.words[1], "DOCS")) {
    c.out.array(0);  // there are none
  } else {
    c.unknown_subcommand();
  }
}

constexpr command table[] = {
    {"time", 1, time, command::is_fast},
    {"info", -1, info},
    {"config", -2, config},
    {"command", -1, command_command},
};

std::size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t all = 0;
  std::size_t resident = 0;
  file >> all >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

std::span<const command> server_commands() noexcept { return table; }

std::string engine::describe(std::string_view section) const {
  std::string out;
  const auto add = [&](std::string_view name, std::string_view title, const std::string& lines) {
    if (!section.empty() && section != name) return;
    if (!out.empty()) out += "\r\n";
    out += fmt::format("# {}\r\n{}", title, lines);
  };
  const auto& counted = keys_.counted();
  add("server", "Server",
      fmt::format("redis_version:{}\r\nredis_mode:standalone\r\nprocess_id:{}\r\nuptime_in_seconds:{}\r\n",
                  version, ::getpid(), (keys_.now() - started_) / 1000));
  add("clients", "Clients",
      fmt::format("connected_clients:{}\r\n", clients_.load(std::memory_order_relaxed)));
  add("memory", "Memory",
      fmt::format("used_memory:{}\r\nused_memory_rss:{}\r\nmaxmemory:{}\r\nmaxmemory_policy:noeviction\r\n",
                  keys_.memory(), resident_bytes(), limits_.memory));
  add("persistence", "Persistence", "loading:0\r\naof_enabled:0\r\nrdb_bgsave_in_progress:0\r\n");
  add("stats", "Stats",
      fmt::format("total_connections_received:{}\r\ntotal_commands_processed:{}\r\nexpired_keys:{}\r\n"
                  "keyspace_hits:{}\r\nkeyspace_misses:{}\r\n",
                  clients_ever_.load(std::memory_order_relaxed), commands_run_, counted.expired, counted.hits,
                  counted.misses));
  add("replication", "Replication", "role:master\r\nconnected_slaves:0\r\n");
  add("keyspace", "Keyspace",
      keys_.size() == 0 ? "" : fmt::format("db0:keys={},expires={}\r\n", keys_.size(), keys_.expiring()));
  return out;
}

}  // namespace kv
