#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "command.hpp"
#include "engine.hpp"
#include "glob.hpp"

namespace kv {
namespace {

template <class Counts>
void count_words(call& c, Counts counts) {
  std::int64_t count = 0;
  for (std::size_t i = 1; i < c.words.size(); ++i) count += counts(c.words[i]) ? 1 : 0;
  c.out.integer(count);
}

void del(call& c) {
  count_words(c, [&](std::string_view key) { return c.keys.erase(key); });
}
void exists(call& c) {
  count_words(c, [&](std::string_view key) { return c.keys.find(key) != nullptr; });
}
void touch(call& c) { exists(c); }

void type(call& c) { c.out.simple(c.keys.peek(c.words[1]) == nullptr ? "none" : "string"); }

// Errors: std::bad_alloc, and both keys are as they were.
void copy_to(keyspace& keys, const item& from, std::string_view to) {
  keys.set(to, from.value(), from.expires() ? expiry(from.due().at) : std::nullopt);
}

// Whether it was renamed. Nothing: there is no such key, and that is answered.
std::optional<bool> rename_key(call& c, bool replaces) {
  const item* const from = c.keys.peek(c.words[1]);
  if (from == nullptr) {
    c.out.error("ERR no such key");
    return std::nullopt;
  }
  if (c.words[1] == c.words[2]) return replaces;
  if (!replaces && c.keys.peek(c.words[2]) != nullptr) return false;
  c.keys.rename(c.words[1], c.words[2]);
  return true;
}

void rename(call& c) {
  if (rename_key(c, true)) c.out.ok();
}
void renamenx(call& c) {
  if (const auto done = rename_key(c, false)) c.out.integer(*done ? 1 : 0);
}

void copy(call& c) {
  bool replaces = false;
  for (std::size_t i = 3; i < c.words.size(); ++i) {
    if (is_word(c.words[i], "REPLACE")) {
      replaces = true;
    } else if (is_word(c.words[i], "DB") && i + 1 < c.words.size()) {
      if (!c.is_our_database(++i)) return;
    } else {
      return c.syntax_error();
    }
  }
  if (c.words[1] == c.words[2]) return c.out.error("ERR source and destination objects are the same");
  const item* const from = c.keys.peek(c.words[1]);
  if (from == nullptr || (!replaces && c.keys.peek(c.words[2]) != nullptr)) return c.out.integer(0);
  copy_to(c.keys, *from, c.words[2]);
  c.out.integer(1);
}

void keys(call& c) {
  const std::string_view pattern = c.words[1];
  std::vector<std::string_view> found;
  c.keys.for_each([&](const item& it) {
    if (matches(pattern, it.key())) found.push_back(it.key());
  });
  c.out.array(found.size());
  for (const std::string_view key : found) c.out.bulk(key);
}

// Read as liberally as clients are used to. Nothing if it is none; that is answered then.
std::optional<std::uint64_t> cursor_of(call& c) {
  const std::string text(c.words[1]);
  char* stop = nullptr;
  errno = 0;
  const std::uint64_t cursor = std::strtoull(text.c_str(), &stop, 10);
  const bool starts_with_space = std::isspace(static_cast<unsigned char>(text.c_str()[0])) != 0;
  if (!starts_with_space && *stop == '\0' && errno != ERANGE) return cursor;
  c.out.error("ERR invalid cursor");
  return std::nullopt;
}

void scan(call& c) {
  auto cursor = cursor_of(c);
  if (!cursor) return;
  std::int64_t count = 10;
  std::string_view pattern = "*";
  bool has_our_type = true;
  for (std::size_t i = 2; i < c.words.size(); i += 2) {
    if (i + 1 >= c.words.size()) return c.syntax_error();
    if (is_word(c.words[i], "COUNT")) {
      const auto given = c.integer(i + 1);
      if (!given) return;
      if (*given < 1) return c.syntax_error();
      count = *given;
    } else if (is_word(c.words[i], "MATCH")) {
      pattern = c.words[i + 1];
    } else if (is_word(c.words[i], "TYPE")) {
      has_our_type = is_word(c.words[i + 1], "STRING");
    } else {
      return c.syntax_error();
    }
  }
  std::vector<std::string_view> found;
  std::int64_t seen = 0;
  std::int64_t steps = count > INT64_MAX / 10 ? INT64_MAX : count * 10;  // of empty buckets too
  do {
    cursor = c.keys.scan(*cursor, [&](const item& it) {
      ++seen;
      if (has_our_type && matches(pattern, it.key())) found.push_back(it.key());
    });
  } while (*cursor != 0 && seen < count && --steps > 0);
  c.out.array(2);
  c.out.bulk(fmt::format("{}", *cursor));
  c.out.array(found.size());
  for (const std::string_view key : found) c.out.bulk(key);
}

void randomkey(call& c) {
  const item* const drawn = c.keys.random();
  if (drawn == nullptr) return c.out.null();
  c.out.bulk(drawn->key());
}

void dbsize(call& c) { c.out.integer(static_cast<std::int64_t>(c.keys.size())); }

void flush(call& c) {
  if (c.words.size() > 2 ||
      (c.words.size() == 2 && !is_word(c.words[1], "SYNC") && !is_word(c.words[1], "ASYNC")))
    return c.syntax_error();
  c.keys.clear();
  c.out.ok();
}

// What Redis would keep the value as: clients that look at it expect one of these.
std::string_view encoding_of(std::string_view value) noexcept {
  constexpr std::size_t longest_embedded = 44;
  if (integer_of(value)) return "int";
  return value.size() <= longest_embedded ? "embstr" : "raw";
}

void object(call& c) {
  if (!is_word(c.words[1], "ENCODING") && !is_word(c.words[1], "REFCOUNT")) return c.unknown_subcommand();
  if (c.words.size() != 3)
    return c.wrong_number_of_words(is_word(c.words[1], "ENCODING") ? "object|encoding" : "object|refcount");
  const item* const found = c.keys.peek(c.words[2]);
  if (found == nullptr) return c.out.null();
  if (is_word(c.words[1], "ENCODING"))
    c.out.bulk(encoding_of(found->value()));
  else
    c.out.integer(1);
}

void memory(call& c) {
  if (!is_word(c.words[1], "USAGE")) return c.unknown_subcommand();
  if (c.words.size() < 3) return c.wrong_number_of_words("memory|usage");
  const item* const found = c.keys.peek(c.words[2]);
  if (found == nullptr) return c.out.null();
  c.out.integer(static_cast<std::int64_t>(found->memory()));
}

constexpr auto quick_read = command::reads | command::is_fast;

constexpr command table[] = {
    {"del", -2, del, command::writes, 1, -1, 1},
    {"unlink", -2, del, command::writes | command::is_fast, 1, -1, 1},
    {"exists", -2, exists, quick_read, 1, -1, 1},
    {"touch", -2, touch, quick_read, 1, -1, 1},
    {"type", 2, type, quick_read, 1, 1, 1},
    {"rename", 3, rename, command::writes, 1, 2, 1},
    {"renamenx", 3, renamenx, command::writes | command::is_fast, 1, 2, 1},
    {"copy", -3, copy, command::writes | command::grows, 1, 2, 1},
    {"keys", 2, keys, command::reads},
    {"scan", -2, scan, command::reads},
    {"randomkey", 1, randomkey, command::reads},
    {"dbsize", 1, dbsize, quick_read},
    {"flushall", -1, flush, command::writes},
    {"flushdb", -1, flush, command::writes},
    {"object", -2, object, command::reads, 2, 2, 1},
    {"memory", -2, memory, command::reads, 2, 2, 1},
};

}  // namespace

std::span<const command> key_commands() noexcept { return table; }

}  // namespace kv
