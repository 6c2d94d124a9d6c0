#include <algorithm>

#include <fmt/format.h>

#include "command.hpp"
#include "engine.hpp"

namespace kv {
namespace {

void client_id(call& c) { c.out.integer(static_cast<std::int64_t>(c.client.id)); }

void client_getname(call& c) {
  if (c.client.name.empty()) return c.out.null();
  c.out.bulk(c.client.name);
}

void client_setname(call& c) {
  if (!is_client_name(c, c.words[2])) return;
  c.client.name = c.words[2];
  c.out.ok();
}

void client_setinfo(call& c) {
  const bool is_name = is_word(c.words[2], "LIB-NAME");
  if (!is_name && !is_word(c.words[2], "LIB-VER"))
    return c.out.error(fmt::format("ERR Unrecognized option '{}'", up_to_nul(c.words[2], 128)));
  if (!is_client_name(c, c.words[3])) return;
  (is_name ? c.client.library_name : c.client.library_version) = c.words[3];
  c.out.ok();
}

// A line as CLIENT INFO and CLIENT LIST have it. What there is no counterpart of is 0. `command`: what the
// client runs just now; "" if it is another than the one that asks.
std::string line_of(const client_state& client, milliseconds_since_1970 now, std::string_view command) {
  const std::size_t waiting = client.messages ? client.messages->pending() : 0;
  const bool is_subscriber = client.subscribed_to.count() != 0;
  std::string flags;
  if (is_subscriber) flags += 'P';
  if (client.transaction) flags += 'x';
  if (client.watching && client.watching->is_changed) flags += 'd';
  if (client.leaves) flags += 'c';
  if (flags.empty()) flags += 'N';
  if (command.empty()) command = client.last_command == nullptr ? "NULL" : client.last_command->name;
  return fmt::format(
      "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} db=0 sub={} psub={} ssub=0 multi={} "
      "qbuf=0 "
      "qbuf-free=0 argv-mem=0 multi-mem={} rbs=0 rbp=0 obl=0 oll=0 omem={} tot-mem={} events=r cmd={} "
      "user=default redir=-1 resp={} lib-name={} lib-ver={}",
      client.id, client.address, client.local_address, client.descriptor, client.name,
      (now - client.since) / 1000, (now - client.last_seen) / 1000, flags,
      client.subscribed_to.channels.size(), client.subscribed_to.patterns.size(),
      client.transaction ? static_cast<std::int64_t>(client.transaction->size()) : -1,
      client.transaction ? client.transaction->bytes() : 0, waiting, waiting, command, client.protocol,
      client.library_name, client.library_version);
}

void client_info(call& c) { c.out.verbatim(line_of(c.client, c.keys.now(), "client|info") + "\n"); }

// Which clients LIST shows and KILL cuts.
struct filter {
  std::optional<std::string_view> address = std::nullopt;
  std::optional<std::string_view> local_address = std::nullopt;
  std::vector<std::uint64_t> ids = {};
  bool by_id = false;
  std::optional<bool> subscribers = std::nullopt;  // or the others
  bool nobody = false;                             // of a type that there is none of

  [[nodiscard]] bool has(const client_state& client) const {
    return !nobody && (!address || client.address == *address) &&
           (!local_address || client.local_address == *local_address) &&
           (!by_id || std::ranges::find(ids, client.id) != ids.end()) &&
           (!subscribers || *subscribers == (client.subscribed_to.count() != 0));
  }
};

// False if there is no such type; that is answered.
bool take_type(call& c, std::string_view type, filter& to) {
  if (is_word(type, "NORMAL") || is_word(type, "PUBSUB")) {
    to.subscribers = is_word(type, "PUBSUB");
    return true;
  }
  to.nobody = true;
  if (is_word(type, "MASTER") || is_word(type, "REPLICA") || is_word(type, "SLAVE")) return true;
  c.out.error(fmt::format("ERR Unknown client type '{}'", up_to_nul(type)));
  return false;
}

void client_list(call& c) {
  filter wanted;
  if (c.words.size() == 4 && is_word(c.words[2], "TYPE")) {
    if (!take_type(c, c.words[3], wanted)) return;
  } else if (c.words.size() > 3 && is_word(c.words[2], "ID")) {
    wanted.by_id = true;
    for (std::size_t i = 3; i < c.words.size(); ++i) {
      const auto id = integer_of(c.words[i]);
      if (!id) return c.out.error("ERR Invalid client ID");
      wanted.ids.push_back(static_cast<std::uint64_t>(*id));
    }
  } else if (c.words.size() != 2) {
    return c.syntax_error();
  }
  std::string text;
  c.server.for_each_client([&](const client_state& each) {
    if (wanted.has(each)) text += line_of(each, c.keys.now(), &each == &c.client ? "client|list" : "") + "\n";
  });
  c.out.verbatim(text);
}

// How many were cut.
std::int64_t cut_clients(call& c, const filter& wanted, bool spares_me) {
  std::int64_t count = 0;
  c.server.for_each_client([&](client_state& each) {
    if (!wanted.has(each) || (spares_me && &each == &c.client)) return;
    ++count;
    if (&each == &c.client)
      each.leaves = true;
    else if (each.presence)
      each.presence->cut(presence::way::close);
  });
  return count;
}

void client_kill(call& c) {
  filter wanted;
  if (c.words.size() == 3) {
    wanted.address = c.words[2];
    if (cut_clients(c, wanted, false) == 0) return c.out.error("ERR No such client");
    return c.out.ok();
  }
  bool spares_me = true;
  for (std::size_t i = 2; i < c.words.size(); i += 2) {
    if (i + 1 >= c.words.size()) return c.syntax_error();
    const std::string_view value = c.words[i + 1];
    if (is_word(c.words[i], "ID")) {
      const auto id = integer_of(value);
      if (!id || *id < 1) return c.out.error("ERR client-id should be greater than 0");
      wanted.by_id = true;
      wanted.ids = {static_cast<std::uint64_t>(*id)};
    } else if (is_word(c.words[i], "TYPE")) {
      if (!take_type(c, value, wanted)) return;
    } else if (is_word(c.words[i], "ADDR")) {
      wanted.address = value;
    } else if (is_word(c.words[i], "LADDR")) {
      wanted.local_address = value;
    } else if (is_word(c.words[i], "USER")) {
      if (value != "default") return c.out.error(fmt::format("ERR No such user '{}'", up_to_nul(value)));
    } else if (is_word(c.words[i], "SKIPME") && (is_word(value, "YES") || is_word(value, "NO"))) {
      spares_me = is_word(value, "YES");
    } else {
      return c.syntax_error();
    }
  }
  c.out.integer(cut_clients(c, wanted, spares_me));
}

void client_reply(call& c) {
  client_state& me = c.client;
  if (is_word(c.words[2], "ON")) {
    me.set(client_state::silent, false);
    return c.out.ok();
  }
  if (is_word(c.words[2], "OFF"))
    me.set(client_state::silent, true);
  else if (is_word(c.words[2], "SKIP"))
    me.set(client_state::silent_once, !me.is(client_state::silent));
  else
    c.syntax_error();
}

// Clients are not evicted here.
void client_no_evict(call& c) {
  if (!is_word(c.words[2], "ON") && !is_word(c.words[2], "OFF")) return c.syntax_error();
  c.out.ok();
}

void client_getredir(call& c) { c.out.integer(-1); }

void client(call& c) {
  struct subcommand {
    std::string_view capitals;
    int words;  // as in command
    void (*run)(call&);
    std::string_view name;
  };
  static constexpr subcommand known[] = {
      {"ID", 2, client_id, "client|id"},
      {"GETNAME", 2, client_getname, "client|getname"},
      {"SETNAME", 3, client_setname, "client|setname"},
      {"SETINFO", 4, client_setinfo, "client|setinfo"},
      {"INFO", 2, client_info, "client|info"},
      {"LIST", -2, client_list, "client|list"},
      {"KILL", -3, client_kill, "client|kill"},
      {"REPLY", 3, client_reply, "client|reply"},
      {"NO-EVICT", 3, client_no_evict, "client|no-evict"},
      {"GETREDIR", 2, client_getredir, "client|getredir"},
  };
  const int count = static_cast<int>(c.words.size());
  for (const subcommand& each : known)
    if (is_word(c.words[1], each.capitals))
      return (each.words >= 0 ? count == each.words : count >= -each.words)
                 ? each.run(c)
                 : c.wrong_number_of_words(each.name);
  c.unknown_subcommand();
}

constexpr command table[] = {
    {"client", -2, client},
};

}  // namespace

std::span<const command> client_commands() noexcept { return table; }

bool is_client_name(call& c, std::string_view name) {
  if (std::ranges::all_of(name, [](char each) { return each >= '!' && each <= '~'; })) return true;
  c.out.error("ERR Client names cannot contain spaces, newlines or special characters.");
  return false;
}

}  // namespace kv
