#include <limits>

#include <fmt/format.h>

#include "command.hpp"

namespace kv {
namespace {

struct conditions {
  bool if_none = false;     // NX
  bool if_any = false;      // XX
  bool if_later = false;    // GT
  bool if_earlier = false;  // LT
};

// Nothing if the words from the fourth on are wrong; that is answered then.
std::optional<conditions> read_conditions(call& c) {
  conditions o;
  for (std::size_t i = 3; i < c.words.size(); ++i) {
    if (is_word(c.words[i], "NX"))
      o.if_none = true;
    else if (is_word(c.words[i], "XX"))
      o.if_any = true;
    else if (is_word(c.words[i], "GT"))
      o.if_later = true;
    else if (is_word(c.words[i], "LT"))
      o.if_earlier = true;
    else
      return c.out.error(fmt::format("ERR Unsupported option {}", up_to_nul(c.words[i]))), std::nullopt;
  }
  if (o.if_none && (o.if_any || o.if_later || o.if_earlier))
    return c.out.error("ERR NX and XX, GT or LT options at the same time are not compatible"), std::nullopt;
  if (o.if_later && o.if_earlier)
    return c.out.error("ERR GT and LT options at the same time are not compatible"), std::nullopt;
  return o;
}

// A key that stays expires later than any time.
bool allows(const conditions& o, expiry now, milliseconds_since_1970 wanted) noexcept {
  return !(o.if_none && now) && !(o.if_any && !now) && !(o.if_later && (!now || wanted <= *now)) &&
         !(o.if_earlier && now && wanted >= *now);
}

void expire_at(call& c, std::int64_t unit, milliseconds_since_1970 since, std::string_view name) {
  const auto conditions = read_conditions(c);
  if (!conditions) return;
  const auto given = c.integer(2);
  if (!given) return;
  milliseconds_since_1970 when = 0;
  if (__builtin_mul_overflow(*given, unit, &when) || __builtin_add_overflow(when, since, &when))
    return c.out.error(fmt::format("ERR invalid expire time in '{}' command", name));
  const item* const found = c.keys.peek(c.words[1]);
  if (found == nullptr ||
      !allows(*conditions, found->expires() ? expiry(found->due().at) : std::nullopt, when))
    return c.out.integer(0);
  if (when <= c.keys.now())
    c.keys.erase(c.words[1]);
  else
    c.keys.set_expiry(c.words[1], when);
  c.out.integer(1);
}

void expire(call& c) { expire_at(c, 1000, c.keys.now(), "expire"); }
void pexpire(call& c) { expire_at(c, 1, c.keys.now(), "pexpire"); }
void expireat(call& c) { expire_at(c, 1000, 0, "expireat"); }
void pexpireat(call& c) { expire_at(c, 1, 0, "pexpireat"); }

// Milliseconds from `since` to the deadline; negative what clients know for no key and for no deadline.
void tell_expiry(call& c, milliseconds_since_1970 since, bool in_seconds) {
  constexpr std::int64_t no_key = -2;
  constexpr std::int64_t no_deadline = -1;
  const item* const found = c.keys.peek(c.words[1]);
  if (found == nullptr) return c.out.integer(no_key);
  if (!found->expires()) return c.out.integer(no_deadline);
  const std::int64_t left = std::max<std::int64_t>(found->due().at - since, 0);
  c.out.integer(in_seconds ? left / 1000 + (left % 1000 >= 500 ? 1 : 0) : left);
}

void ttl(call& c) { tell_expiry(c, c.keys.now(), true); }
void pttl(call& c) { tell_expiry(c, c.keys.now(), false); }
void expiretime(call& c) { tell_expiry(c, 0, true); }
void pexpiretime(call& c) { tell_expiry(c, 0, false); }

void persist(call& c) {
  const item* const found = c.keys.peek(c.words[1]);
  if (found == nullptr || !found->expires()) return c.out.integer(0);
  c.keys.set_expiry(c.words[1], std::nullopt);
  c.out.integer(1);
}

constexpr auto quick_write = command::writes | command::is_fast;
constexpr auto quick_read = command::reads | command::is_fast;

constexpr command table[] = {
    {"expire", -3, expire, quick_write, 1, 1, 1},
    {"pexpire", -3, pexpire, quick_write, 1, 1, 1},
    {"expireat", -3, expireat, quick_write, 1, 1, 1},
    {"pexpireat", -3, pexpireat, quick_write, 1, 1, 1},
    {"ttl", 2, ttl, quick_read, 1, 1, 1},
    {"pttl", 2, pttl, quick_read, 1, 1, 1},
    {"expiretime", 2, expiretime, quick_read, 1, 1, 1},
    {"pexpiretime", 2, pexpiretime, quick_read, 1, 1, 1},
    {"persist", 2, persist, quick_write, 1, 1, 1},
};

}  // namespace

std::span<const command> expiry_commands() noexcept { return table; }

}  // namespace kv
