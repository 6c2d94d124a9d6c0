#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "command.hpp"
#include "engine.hpp"

namespace kv {
namespace {

bool bit_at(std::string_view text, std::uint64_t i) noexcept {
  return (static_cast<unsigned char>(text[i / 8]) >> (7 - i % 8) & 1) != 0;
}

// Nothing if it is no place for a bit; that is answered then.
std::optional<std::uint64_t> bit_offset(call& c, std::size_t i) {
  const auto offset = integer_of(c.words[i]);
  if (offset && *offset >= 0 && static_cast<std::uint64_t>(*offset) / 8 < c.server.limits().longest_string)
    return static_cast<std::uint64_t>(*offset);
  c.out.error("ERR bit offset is not an integer or out of range");
  return std::nullopt;
}

void setbit(call& c) {
  const auto offset = bit_offset(c, 2);
  if (!offset) return;
  const auto bit = integer_of(c.words[3]);
  if (!bit || (*bit != 0 && *bit != 1)) return c.out.error("ERR bit is not an integer or out of range");
  const item* const found = c.keys.peek(c.words[1]);
  const std::size_t before = found == nullptr ? 0 : found->value().size();
  if (*offset / 8 < before && bit_at(found->value(), *offset) == (*bit != 0)) return c.out.integer(*bit);
  char& byte =
      c.keys.resize(c.words[1], std::max<std::size_t>(before, *offset / 8 + 1)).value_data()[*offset / 8];
  const int mask = 0x80 >> (*offset % 8);
  const bool was = (byte & mask) != 0;
  byte = static_cast<char>(*bit != 0 ? byte | mask : byte & ~mask);
  c.out.integer(was ? 1 : 0);
}

void getbit(call& c) {
  const auto offset = bit_offset(c, 2);
  if (!offset) return;
  const item* const found = c.keys.find(c.words[1]);
  c.out.integer(
      found != nullptr && *offset / 8 < found->value().size() && bit_at(found->value(), *offset) ? 1 : 0);
}

// Bits from `first` on, before `end`.
struct bit_range {
  std::uint64_t first;
  std::uint64_t end;
};

// START and END as they are given, bytes or bits, negative from the end on.
bit_range range_of(std::int64_t start, std::int64_t last, std::uint64_t bytes, bool in_bits) noexcept {
  const auto size = static_cast<std::int64_t>(in_bits ? bytes * 8 : bytes);
  const std::int64_t from = std::max<std::int64_t>(start < 0 ? start + size : start, 0);
  const std::int64_t to = std::min(std::max<std::int64_t>(last < 0 ? last + size : last, 0), size - 1);
  if (from > to) return {0, 0};
  const std::uint64_t unit = in_bits ? 1 : 8;
  return {static_cast<std::uint64_t>(from) * unit, static_cast<std::uint64_t>(to + 1) * unit};
}

// True for BIT, false for BYTE; nothing for anything else, and that is answered.
std::optional<bool> read_unit(call& c, std::size_t i) {
  if (is_word(c.words[i], "BIT")) return true;
  if (is_word(c.words[i], "BYTE")) return false;
  c.syntax_error();
  return std::nullopt;
}

std::int64_t count_ones(std::string_view text, bit_range range) noexcept {
  std::int64_t ones = 0;
  std::uint64_t i = range.first;
  for (; i < range.end && i % 8 != 0; ++i) ones += bit_at(text, i);
  for (; i + 64 <= range.end; i += 64) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data() + i / 8, sizeof word);
    ones += std::popcount(word);
  }
  for (; i < range.end; ++i) ones += bit_at(text, i);
  return ones;
}

void bitcount(call& c) {
  const item* const found = c.keys.find(c.words[1]);
  if (found == nullptr) return c.out.integer(0);
  const std::string_view text = found->value();
  if (c.words.size() == 2) return c.out.integer(count_ones(text, {0, text.size() * 8}));
  if (c.words.size() > 5 || c.words.size() == 3) return c.syntax_error();
  const auto start = c.integer(2);
  if (!start) return;
  const auto last = c.integer(3);
  if (!last) return;
  if (*start < 0 && *last < 0 && *start > *last) return c.out.integer(0);
  bool in_bits = false;
  if (c.words.size() == 5) {
    const auto given = read_unit(c, 4);
    if (!given) return;
    in_bits = *given;
  }
  c.out.integer(count_ones(text, range_of(*start, *last, text.size(), in_bits)));
}

// The first such bit in the range; its end if there is none.
std::uint64_t first_bit(std::string_view text, bit_range range, bool wanted) noexcept {
  const char none = wanted ? '\0' : '\xff';
  for (std::uint64_t i = range.first; i < range.end;) {
    if (i % 8 == 0 && i + 8 <= range.end && text[i / 8] == none) {
      i += 8;
      continue;
    }
    if (bit_at(text, i) == wanted) return i;
    ++i;
  }
  return range.end;
}

void bitpos(call& c) {
  const auto bit = c.integer(2);
  if (!bit) return;
  if (*bit != 0 && *bit != 1) return c.out.error("ERR The bit argument must be 1 or 0.");
  const bool wanted = *bit == 1;
  const item* const found = c.keys.find(c.words[1]);
  if (found == nullptr) return c.out.integer(wanted ? -1 : 0);
  if (c.words.size() > 6) return c.syntax_error();
  const std::string_view text = found->value();
  bit_range range{0, text.size() * 8};
  const bool has_end = c.words.size() >= 5;
  if (c.words.size() >= 4) {
    const auto start = c.integer(3);
    if (!start) return;
    bool in_bits = false;
    if (c.words.size() == 6) {
      const auto given = read_unit(c, 5);
      if (!given) return;
      in_bits = *given;
    }
    const auto last =
        has_end ? c.integer(4) : std::optional<std::int64_t>(std::numeric_limits<std::int64_t>::max());
    if (!last) return;
    range = range_of(*start, *last, text.size(), in_bits);
  }
  if (range.first == range.end) return c.out.integer(-1);
  const std::uint64_t at = first_bit(text, range, wanted);
  // Without an end the value goes on with zeros.
  if (at == range.end && (wanted || has_end)) return c.out.integer(-1);
  c.out.integer(static_cast<std::int64_t>(at));
}

void bitop(call& c) {
  const std::string_view name = c.words[1];
  const bool is_and = is_word(name, "AND");
  const bool is_or = is_word(name, "OR");
  const bool is_not = is_word(name, "NOT");
  if (!is_and && !is_or && !is_not && !is_word(name, "XOR")) return c.syntax_error();
  if (is_not && c.words.size() != 4)
    return c.out.error("ERR BITOP NOT must be called with a single source key.");

  std::size_t longest = 0;
  for (std::size_t i = 3; i < c.words.size(); ++i)
    if (const item* const found = c.keys.peek(c.words[i])) longest = std::max(longest, found->value().size());
  std::string result(longest, '\0');
  for (std::size_t i = 3; i < c.words.size(); ++i) {
    const item* const found = c.keys.peek(c.words[i]);
    const std::string_view text = found == nullptr ? std::string_view() : found->value();
    for (std::size_t at = 0; at < longest; ++at) {
      const char byte = at < text.size() ? text[at] : '\0';
      char& to = result[at];
      if (is_not)
        to = static_cast<char>(~byte);
      else if (i == 3)
        to = byte;
      else
        to = static_cast<char>(is_and ? to & byte : is_or ? to | byte : to ^ byte);
    }
  }
  if (longest == 0)
    c.keys.erase(c.words[2]);
  else
    c.keys.set(c.words[2], result, std::nullopt);
  c.out.integer(static_cast<std::int64_t>(longest));
}

constexpr auto store = command::writes | command::grows;

constexpr command table[] = {
    {"setbit", 4, setbit, store, 1, 1, 1},
    {"getbit", 3, getbit, command::reads | command::is_fast, 1, 1, 1},
    {"bitcount", -2, bitcount, command::reads, 1, 1, 1},
    {"bitpos", -3, bitpos, command::reads, 1, 1, 1},
    {"bitop", -4, bitop, store, 2, -1, 1},
};

}  // namespace

std::span<const command> bit_commands() noexcept { return table; }

}  // namespace kv
