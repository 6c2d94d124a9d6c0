#include <algorithm>
#include <cstring>
#include <limits>
#include <new>

#include <fmt/format.h>

#include "command.hpp"
#include "engine.hpp"

namespace kv {
namespace {

// Whether a value may be so long; if not, that is answered.
bool may_hold(call& c, std::uint64_t size) {
  if (size <= c.server.limits().longest_string) return true;
  c.out.error("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
  return false;
}

void reply_value(call& c, const item* found) {
  if (found != nullptr)
    c.out.bulk(found->value());
  else
    c.out.null();
}

void get(call& c) { reply_value(c, c.keys.find(c.words[1])); }

enum class unit : std::uint8_t { seconds, milliseconds };
enum class since : std::uint8_t { now, epoch };

// A time as it is given, in the word at that place.
struct given_time {
  std::size_t place;
  unit in;
  since from;
};

// Nothing if it is not a time to come; that is answered then.
expiry expiry_of(call& c, const given_time& time, std::string_view command) {
  const auto given = c.integer(time.place);
  if (!given) return std::nullopt;
  std::int64_t at = *given;
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  if (at > 0 && (time.in == unit::milliseconds || at <= most / 1000)) {
    if (time.in == unit::seconds) at *= 1000;
    if (time.from == since::epoch) return at;
    if (at <= most - c.keys.now()) return at + c.keys.now();
  }
  c.out.error(fmt::format("ERR invalid expire time in '{}' command", command));
  return std::nullopt;
}

// The options of SET and GETEX.
struct store_options {
  bool only_new = false;
  bool only_there = false;
  bool wants_old = false;
  bool keeps_expiry = false;
  bool persists = false;
  std::optional<given_time> time = std::nullopt;
};

// EX, PX, EXAT, PXAT, with the word behind it, at which `i` is then. False if it is none of them, or one too
// many.
bool read_time(call& c, std::size_t& i, store_options& o) {
  struct kind {
    std::string_view capitals;
    unit in;
    since from;
  };
  static constexpr kind kinds[] = {{"EX", unit::seconds, since::now},
                                   {"PX", unit::milliseconds, since::now},
                                   {"EXAT", unit::seconds, since::epoch},
                                   {"PXAT", unit::milliseconds, since::epoch}};
  if (i + 1 >= c.words.size() || o.keeps_expiry || o.persists) return false;
  for (const kind& each : kinds) {
    if (!is_word(c.words[i], each.capitals)) continue;
    if (o.time && (o.time->in != each.in || o.time->from != each.from)) return false;
    o.time = {++i, each.in, each.from};
    return true;
  }
  return false;
}

// Nothing if they are wrong; that is answered then.
std::optional<store_options> read_set_options(call& c) {
  store_options o;
  for (std::size_t i = 3; i < c.words.size(); ++i) {
    const std::string_view word = c.words[i];
    if (is_word(word, "NX") && !o.only_there)
      o.only_new = true;
    else if (is_word(word, "XX") && !o.only_new)
      o.only_there = true;
    else if (is_word(word, "GET"))
      o.wants_old = true;
    else if (is_word(word, "KEEPTTL") && !o.time)
      o.keeps_expiry = true;
    else if (!read_time(c, i, o))
      return c.syntax_error(), std::nullopt;
  }
  return o;
}

std::optional<store_options> read_getex_options(call& c) {
  store_options o;
  for (std::size_t i = 2; i < c.words.size(); ++i) {
    if (is_word(c.words[i], "PERSIST") && !o.time)
      o.persists = true;
    else if (!read_time(c, i, o))
      return c.syntax_error(), std::nullopt;
  }
  return o;
}

void set(call& c) {
  if (c.words.size() == 3) {
    c.keys.set(c.words[1], c.words[2], std::nullopt);
    return c.out.ok();
  }
  const auto o = read_set_options(c);
  if (!o) return;
  const expiry when = o->time ? expiry_of(c, *o->time, "set") : std::nullopt;
  if (o->time && !when) return;
  const item* const old = o->wants_old ? c.keys.find(c.words[1]) : c.keys.peek(c.words[1]);
  if (o->wants_old) reply_value(c, old);
  if (o->only_new ? old != nullptr : o->only_there && old == nullptr) {
    if (!o->wants_old) c.out.null();
    return;
  }
  if (o->keeps_expiry)
    c.keys.set_keeping(c.words[1], c.words[2]);
  else
    c.keys.set(c.words[1], c.words[2], when);
  if (!o->wants_old) c.out.ok();
}

void setnx(call& c) {
  const bool is_new = c.keys.peek(c.words[1]) == nullptr;
  if (is_new) c.keys.set(c.words[1], c.words[2], std::nullopt);
  c.out.integer(is_new ? 1 : 0);
}

void set_for(call& c, unit in, std::string_view command) {
  const expiry when = expiry_of(c, {2, in, since::now}, command);
  if (!when) return;
  c.keys.set(c.words[1], c.words[3], when);
  c.out.ok();
}
void setex(call& c) { set_for(c, unit::seconds, "setex"); }
void psetex(call& c) { set_for(c, unit::milliseconds, "psetex"); }

void getset(call& c) {
  reply_value(c, c.keys.find(c.words[1]));
  c.keys.set(c.words[1], c.words[2], std::nullopt);
}

void getdel(call& c) {
  reply_value(c, c.keys.find(c.words[1]));
  c.keys.erase(c.words[1]);
}

void getex(call& c) {
  const auto o = read_getex_options(c);
  if (!o) return;
  const item* const found = c.keys.find(c.words[1]);
  if (found == nullptr) return c.out.null();
  const expiry when = o->time ? expiry_of(c, *o->time, "getex") : std::nullopt;
  if (o->time && !when) return;
  c.out.bulk(found->value());
  if (when && *when <= c.keys.now())
    c.keys.erase(c.words[1]);
  else if (when || (o->persists && found->expires()))
    c.keys.set_expiry(c.words[1], when);
}

// A large value may be asked for a million times in a request: the answer is bounded like memory is.
void mget(call& c) {
  const std::size_t most = c.out.buffer().pending() + 2 * c.server.limits().longest_string;
  c.out.array(c.words.size() - 1);
  for (std::size_t i = 1; i < c.words.size(); ++i) {
    if (c.out.buffer().pending() > most) throw std::bad_alloc();
    reply_value(c, c.keys.find(c.words[i]));
  }
}

void set_pairs(call& c) {
  for (std::size_t i = 1; i < c.words.size(); i += 2) c.keys.set(c.words[i], c.words[i + 1], std::nullopt);
}

void mset(call& c) {
  if (c.words.size() % 2 == 0) return c.wrong_number_of_words("mset");
  set_pairs(c);
  c.out.ok();
}

void msetnx(call& c) {
  if (c.words.size() % 2 == 0) return c.wrong_number_of_words("msetnx");
  for (std::size_t i = 1; i < c.words.size(); i += 2)
    if (c.keys.peek(c.words[i]) != nullptr) return c.out.integer(0);
  set_pairs(c);
  c.out.integer(1);
}

void append(call& c) {
  const item* const found = c.keys.peek(c.words[1]);
  const std::size_t before = found == nullptr ? 0 : found->value().size();
  const std::string_view more = c.words[2];
  if (!may_hold(c, before + more.size())) return;
  item& it = c.keys.resize(c.words[1], before + more.size());
  std::ranges::copy(more, it.value_data() + before);
  c.out.integer(static_cast<std::int64_t>(before + more.size()));
}

void strlen(call& c) {
  const item* const found = c.keys.find(c.words[1]);
  c.out.integer(found == nullptr ? 0 : static_cast<std::int64_t>(found->value().size()));
}

void setrange(call& c) {
  const auto offset = c.integer(2);
  if (!offset) return;
  if (*offset < 0) return c.out.error("ERR offset is out of range");
  const std::string_view part = c.words[3];
  const item* const found = c.keys.peek(c.words[1]);
  const std::size_t before = found == nullptr ? 0 : found->value().size();
  if (part.empty()) return c.out.integer(static_cast<std::int64_t>(before));
  const std::size_t at = static_cast<std::size_t>(*offset);
  if (!may_hold(c, at + part.size())) return;
  const std::size_t size = std::max(before, at + part.size());
  std::ranges::copy(part, c.keys.resize(c.words[1], size).value_data() + at);
  c.out.integer(static_cast<std::int64_t>(size));
}

void getrange(call& c) {
  const auto first = c.integer(2);
  if (!first) return;
  const auto last = c.integer(3);
  if (!last) return;
  const item* const found = c.keys.find(c.words[1]);
  if (found == nullptr || (*first < 0 && *last < 0 && *first > *last)) return c.out.bulk("");
  const auto size = static_cast<std::int64_t>(found->value().size());
  const std::int64_t from = std::max<std::int64_t>(*first < 0 ? *first + size : *first, 0);
  const std::int64_t to = std::min(std::max<std::int64_t>(*last < 0 ? *last + size : *last, 0), size - 1);
  if (from > to) return c.out.bulk("");
  c.out.bulk(found->value().substr(static_cast<std::size_t>(from), static_cast<std::size_t>(to - from + 1)));
}

constexpr auto store = command::writes | command::grows;
constexpr auto quick_read = command::reads | command::is_fast;

constexpr command table[] = {
    {"get", 2, get, quick_read, 1, 1, 1},
    {"set", -3, set, store, 1, 1, 1},
    {"setnx", 3, setnx, store | command::is_fast, 1, 1, 1},
    {"setex", 4, setex, store, 1, 1, 1},
    {"psetex", 4, psetex, store, 1, 1, 1},
    {"getset", 3, getset, store | command::is_fast, 1, 1, 1},
    {"getdel", 2, getdel, command::writes | command::is_fast, 1, 1, 1},
    {"getex", -2, getex, command::writes | command::is_fast, 1, 1, 1},
    {"mget", -2, mget, quick_read, 1, -1, 1},
    {"mset", -3, mset, store, 1, -1, 2},
    {"msetnx", -3, msetnx, store, 1, -1, 2},
    {"append", 3, append, store | command::is_fast, 1, 1, 1},
    {"strlen", 2, strlen, quick_read, 1, 1, 1},
    {"setrange", 4, setrange, store, 1, 1, 1},
    {"getrange", 4, getrange, command::reads, 1, 1, 1},
    {"substr", 4, getrange, command::reads, 1, 1, 1},
};

}  // namespace

std::span<const command> string_commands() noexcept { return table; }

}  // namespace kv
