#include "request_parser.hpp"

#include <algorithm>
#include <utility>

#include "number.hpp"

namespace kv {
namespace {

constexpr std::size_t words_kept = 64;  // room for so many stays with a connection
constexpr std::size_t words_at_first = 8;

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

inline void request_parser::begin_anew() {
  over_ = false;
  at_ = count_ = 0;
  words_left_ = bulk_ = unknown;
  if (slices_.empty() || slices_.size() > words_kept)
    std::vector<arguments::slice>(words_at_first).swap(slices_);
}

request_parser::result request_parser::parse(std::string_view in) {
  if (over_) begin_anew();
  base_ = in.data();
  if (words_left_ == unknown) {
    // Nearly always a few words in an array.
    if (in.size() >= 4 && in[0] == '*' && in[1] >= '1' && in[1] <= '9' && in[2] == '\r') {
      words_left_ = in[1] - '0';
      at_ = 4;
    } else if (const result r = begin(in); r != result::complete || over_) {
      return r;
    }
  }

  if (bulk_ == unknown) take_short_words(in);
  while (words_left_ > 0) {
    if (bulk_ == unknown) {
      if (at_ == in.size()) return result::incomplete;
      if (in[at_] != '$') return refuse(std::string("expected '$', got '") + in[at_] + "'");
      const line length = read_number(in, bulk_);
      if (length == line::incomplete)
        return in.size() - at_ > longest_line ? refuse("too big bulk count string") : result::incomplete;
      if (length == line::wrong || bulk_ < 0 || std::cmp_greater(bulk_, longest_bulk_))
        return refuse("invalid bulk length");
      if (!is_trusted_ && bulk_ > longest_bulk_of_stranger) return refuse("unauthenticated bulk length");
    }
    const auto size = static_cast<std::size_t>(bulk_);
    if (in.size() - at_ < size + 2) return result::incomplete;
    if (at_ + size > UINT32_MAX) return refuse("too big request");
    add_word(at_, size);
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
  std::int64_t count = 0;
  const line read = read_number(in, count);
  if (read == line::incomplete)
    return in.size() > longest_line ? refuse("too big mbulk count string") : result::incomplete;
  if (read == line::wrong || count > most_words) return refuse("invalid multibulk length");
  if (!is_trusted_ && count > most_words_of_stranger) return refuse("unauthenticated multibulk length");
  words_left_ = std::max<std::int64_t>(count, 0);
  return result::complete;
}

// Nearly all words are whole and shorter than 1,000 bytes: those are taken here, up to the first that is not.
// It decides nothing that the loop in parse() would not.
inline void request_parser::take_short_words(std::string_view in) noexcept {
  constexpr std::ptrdiff_t shortest = sizeof("$100\r") - 1;
  const char* at = in.data() + at_;
  const char* const end = in.data() + in.size();
  arguments::slice* next = slices_.data() + count_;
  const arguments::slice* const last = slices_.data() + slices_.size();
  std::int64_t left = words_left_;
  const auto digit = [](char c) { return static_cast<unsigned char>(c - '0'); };
  for (; left > 0 && next != last && end - at >= shortest && *at == '$'; --left) {
    std::uint32_t size = digit(at[1]);
    if (size > 9) break;
    const char* mark = at + 2;
    if (size != 0 && digit(*mark) < 10) size = size * 10 + digit(*mark++);
    if (size > 9 && digit(*mark) < 10) size = size * 10 + digit(*mark++);
    if (*mark != '\r' || size > longest_bulk_ || end - mark < static_cast<std::ptrdiff_t>(size) + 4) break;
    *next++ = {static_cast<std::uint32_t>(mark + 2 - in.data()), size};
    at = mark + size + 4;
  }
  at_ = static_cast<std::size_t>(at - in.data());
  count_ = static_cast<std::size_t>(next - slices_.data());
  words_left_ = left;
}

// Memory for words grows as they come, not as they are announced.
void request_parser::add_word(std::size_t at, std::size_t size) {
  if (count_ == slices_.size()) slices_.resize(2 * count_);
  slices_[count_++] = {static_cast<std::uint32_t>(at), static_cast<std::uint32_t>(size)};
}

request_parser::line request_parser::read_number(std::string_view in, std::int64_t& value) noexcept {
  const std::size_t end = in.find('\r', at_);
  if (end == std::string_view::npos || end + 1 >= in.size()) return line::incomplete;
  const auto read = integer_of(in.substr(at_ + 1, end - at_ - 1));
  if (!read) return line::wrong;
  at_ = end + 2;
  value = *read;
  return line::whole;
}

request_parser::result request_parser::parse_inline(std::string_view in) {
  const std::size_t end = in.find('\n');
  if (end == std::string_view::npos)
    return in.size() > longest_line ? refuse("too big inline request") : result::incomplete;
  std::string_view text = in.substr(0, end);
  if (text.ends_with('\r')) text.remove_suffix(1);
  unquoted_.clear();
  if (!split_line(text)) return refuse("unbalanced quotes in request");
  base_ = unquoted_.data();
  at_ = end + 1;
  over_ = true;
  return result::complete;
}

// Words between spaces; "..." with escapes and '...' as a shell has them. False if a quote does not end.
bool request_parser::split_line(std::string_view text) {
  std::size_t i = 0;
  for (;;) {
    while (i < text.size() && is_space(text[i])) ++i;
    if (i == text.size() || text[i] == '\0') return true;
    const std::size_t start = unquoted_.size();
    char quote = 0;
    for (;; ++i) {
      if (i == text.size() || (quote == 0 && text[i] == '\0')) {
        if (quote != 0) return false;
        break;
      }
      const char c = text[i];
      if (quote == 0) {
        if (is_space(c)) break;
        if (c == '"' || c == '\'')
          quote = c;
        else
          unquoted_ += c;
      } else if (c == quote) {
        if (i + 1 < text.size() && !is_space(text[i + 1])) return false;  // the word must end with its quote
        ++i;
        break;
      } else if (quote == '\'' && c == '\\' && i + 1 < text.size() && text[i + 1] == '\'') {
        unquoted_ += text[++i];
      } else if (quote == '"' && c == '\\' && i + 3 < text.size() && text[i + 1] == 'x' &&
                 hex_digit(text[i + 2]) >= 0 && hex_digit(text[i + 3]) >= 0) {
        unquoted_ += static_cast<char>(hex_digit(text[i + 2]) * 16 + hex_digit(text[i + 3]));
        i += 3;
      } else if (quote == '"' && c == '\\' && i + 1 < text.size()) {
        unquoted_ += unescaped(text[++i]);
      } else {
        unquoted_ += c;
      }
    }
    add_word(start, unquoted_.size() - start);
  }
}

request_parser::result request_parser::refuse(std::string text) {
  error_ = "Protocol error: " + std::move(text);
  return result::refused;
}

}  // namespace kv
