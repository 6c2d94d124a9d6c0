#include "request_parser.hpp"

#include <algorithm>
#include <utility>

#include "number.hpp"

namespace kv {
namespace {

constexpr std::size_t words_kept = 64;  // room for so many stays with an idle connection

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

char unescaped(char c) {
  switch (c) {
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'b': return '\b';
    case 'a': return '\a';
    default: return c;
  }
}

}  // namespace

request_parser::result request_parser::parse(std::string_view in) {
  if (over_) {
    over_ = false;
    at_ = 0;
    words_left_ = bulk_ = unknown;
    if (slices_.capacity() > words_kept) std::vector<arguments::slice>().swap(slices_);
    slices_.clear();
  }
  base_ = in.data();
  if (words_left_ == unknown)
    if (const result r = begin(in); r != result::complete || over_) return r;

  while (words_left_ > 0) {
    if (bulk_ == unknown) {
      if (at_ == in.size()) return result::incomplete;
      if (in[at_] != '$') {
        const char got = in[at_] == '\r' || in[at_] == '\n' ? ' ' : in[at_];
        return refuse(std::string("expected '$', got '") + got + "'");
      }
      const number length = read_number(in);
      if (!length.found)
        return in.size() - at_ > longest_line ? refuse("too big bulk count string") : result::incomplete;
      if (!length.valid || length.value < 0 || std::cmp_greater(length.value, longest_bulk_))
        return refuse("invalid bulk length");
      bulk_ = length.value;
    }
    const auto size = static_cast<std::size_t>(bulk_);
    if (in.size() - at_ < size + 2) return result::incomplete;
    if (at_ + size > UINT32_MAX) return refuse("too big request");
    slices_.push_back({static_cast<std::uint32_t>(at_), static_cast<std::uint32_t>(size)});
    at_ += size + 2;
    bulk_ = unknown;
    --words_left_;
  }
  over_ = true;
  return result::complete;
}

// The first line. `complete`: the words follow, unless the request is over.
request_parser::result request_parser::begin(std::string_view in) {
  if (in.empty()) return result::incomplete;
  if (in.front() != '*') return parse_inline(in);
  const number count = read_number(in);
  if (!count.found)
    return in.size() > longest_line ? refuse("too big mbulk count string") : result::incomplete;
  if (!count.valid || std::cmp_greater(count.value, most_words)) return refuse("invalid multibulk length");
  words_left_ = std::max<std::int64_t>(count.value, 0);
  return result::complete;
}

request_parser::number request_parser::read_number(std::string_view in) noexcept {
  // Nearly always a few digits without a sign and a whole line's end.
  std::size_t i = at_ + 1;
  std::int64_t value = 0;
  const std::size_t enough = std::min(in.size(), i + 10);
  while (i < enough && static_cast<unsigned char>(in[i] - '0') < 10) value = value * 10 + (in[i++] - '0');
  if (i + 1 < in.size() && in[i] == '\r' && i > at_ + 1 && (in[at_ + 1] != '0' || i == at_ + 2)) {
    at_ = i + 2;
    return {true, true, value};
  }
  const std::size_t end = in.find('\r', at_);
  if (end == std::string_view::npos || end + 1 >= in.size()) return {false, false, 0};
  const auto read = integer_of(in.substr(at_ + 1, end - at_ - 1));
  at_ = end + 2;
  return {true, read.has_value(), read.value_or(0)};
}

request_parser::result request_parser::parse_inline(std::string_view in) {
  const std::size_t end = in.find('\n');
  if (end == std::string_view::npos)
    return in.size() > longest_line ? refuse("too big inline request") : result::incomplete;
  std::string_view line = in.substr(0, end);
  if (line.ends_with('\r')) line.remove_suffix(1);
  unquoted_.clear();
  if (!split_line(line)) return refuse("unbalanced quotes in request");
  base_ = unquoted_.data();
  at_ = end + 1;
  over_ = true;
  return result::complete;
}

// Words between spaces; "..." with escapes and '...' as a shell has them. False if a quote does not end.
bool request_parser::split_line(std::string_view line) {
  std::size_t i = 0;
  for (;;) {
    while (i < line.size() && is_space(line[i])) ++i;
    if (i == line.size() || line[i] == '\0') return true;
    const std::size_t start = unquoted_.size();
    char quote = 0;
    for (;; ++i) {
      if (i == line.size() || (quote == 0 && line[i] == '\0')) {
        if (quote != 0) return false;
        break;
      }
      const char c = line[i];
      if (quote == 0) {
        if (is_space(c)) break;
        if (c == '"' || c == '\'')
          quote = c;
        else
          unquoted_ += c;
      } else if (c == quote) {
        if (i + 1 < line.size() && !is_space(line[i + 1])) return false;  // the word must end with its quote
        ++i;
        break;
      } else if (quote == '\'' && c == '\\' && i + 1 < line.size() && line[i + 1] == '\'') {
        unquoted_ += line[++i];
      } else if (quote == '"' && c == '\\' && i + 3 < line.size() && line[i + 1] == 'x' &&
                 hex_digit(line[i + 2]) >= 0 && hex_digit(line[i + 3]) >= 0) {
        unquoted_ += static_cast<char>(hex_digit(line[i + 2]) * 16 + hex_digit(line[i + 3]));
        i += 3;
      } else if (quote == '"' && c == '\\' && i + 1 < line.size()) {
        unquoted_ += unescaped(line[++i]);
      } else {
        unquoted_ += c;
      }
    }
    slices_.push_back(
        {static_cast<std::uint32_t>(start), static_cast<std::uint32_t>(unquoted_.size() - start)});
  }
}

request_parser::result request_parser::refuse(std::string text) {
  error_ = "Protocol error: " + std::move(text);
  return result::refused;
}

}  // namespace kv
