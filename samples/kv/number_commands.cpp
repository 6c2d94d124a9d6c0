#include <cmath>
#include <limits>

#include "command.hpp"

namespace kv {
namespace {

// A number keeps its deadline.
void add(call& c, std::int64_t amount) {
  const item* const found = c.keys.peek(c.words[1]);
  std::int64_t value = 0;
  if (found != nullptr) {
    const auto held = integer_of(found->value());
    if (!held) return c.out.error("ERR value is not an integer or out of range");
    value = *held;
  }
  if (__builtin_add_overflow(value, amount, &value))
    return c.out.error("ERR increment or decrement would overflow");
  c.keys.set_keeping(c.words[1], text_of(value).view());
  c.out.integer(value);
}

void incr(call& c) { add(c, 1); }
void decr(call& c) { add(c, -1); }

void incrby(call& c) {
  if (const auto amount = c.integer(2)) add(c, *amount);
}

void decrby(call& c) {
  const auto amount = c.integer(2);
  if (!amount) return;
  if (*amount == std::numeric_limits<std::int64_t>::min()) return c.out.error("ERR decrement would overflow");
  add(c, -*amount);
}

void incrbyfloat(call& c) {
  const item* const found = c.keys.peek(c.words[1]);
  const auto held = real_of(found == nullptr ? "0" : found->value());
  const auto amount = real_of(c.words[2]);
  if (!held || !amount) return c.out.error("ERR value is not a valid float");
  const long double sum = *held + *amount;
  if (!std::isfinite(sum)) return c.out.error("ERR increment would produce NaN or Infinity");
  const auto text = text_of(sum);
  c.keys.set_keeping(c.words[1], text.view());
  c.out.bulk(text.view());
}

constexpr auto quick_store = command::writes | command::grows | command::is_fast;

constexpr command table[] = {
    {"incr", 2, incr, quick_store, 1, 1, 1},
    {"decr", 2, decr, quick_store, 1, 1, 1},
    {"incrby", 3, incrby, quick_store, 1, 1, 1},
    {"decrby", 3, decrby, quick_store, 1, 1, 1},
    {"incrbyfloat", 3, incrbyfloat, quick_store, 1, 1, 1},
};

}  // namespace

std::span<const command> number_commands() noexcept { return table; }

}  // namespace kv
