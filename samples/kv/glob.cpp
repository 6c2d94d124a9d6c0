#include "glob.hpp"

#include <utility>

namespace kv {
namespace {

// Whether `c` is of the class whose text begins at `p`, behind its bracket; `p` moves behind the class, or to
// the end of a pattern that does not close it.
bool in_class(std::string_view pattern, std::size_t& p, char c) noexcept {
  const bool negated = p < pattern.size() && pattern[p] == '^';
  if (negated) ++p;
  bool found = false;
  for (;; ++p) {
    if (p >= pattern.size()) break;
    if (pattern[p] == '\\' && p + 1 < pattern.size()) {
      found |= pattern[++p] == c;
    } else if (pattern[p] == ']') {
      ++p;
      break;
    } else if (p + 2 < pattern.size() && pattern[p + 1] == '-') {
      auto low = static_cast<unsigned char>(pattern[p]);
      auto high = static_cast<unsigned char>(pattern[p + 2]);
      if (low > high) std::swap(low, high);
      const auto value = static_cast<unsigned char>(c);
      found |= value >= low && value <= high;
      p += 2;
    } else {
      found |= pattern[p] == c;
    }
  }
  return found != negated;
}

// Whether `c` is what the pattern means at `p`, which moves on.
bool matches_one(std::string_view pattern, std::size_t& p, char c) noexcept {
  switch (pattern[p]) {
    case '?': return ++p, true;
    case '[': return in_class(pattern, ++p, c);
    case '\\':
      if (p + 1 < pattern.size()) ++p;
      [[fallthrough]];
    default: return pattern[p++] == c;
  }
}

}  // namespace

bool matches(std::string_view pattern, std::string_view text) noexcept {
  std::size_t p = 0;
  std::size_t t = 0;
  // Of several stars only the last needs to be tried again, with one character more.
  std::size_t star = std::string_view::npos;
  std::size_t after = 0;
  for (;;) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      after = t;
    } else if (t == text.size()) {
      return p == pattern.size();
    } else if (p == pattern.size() || !matches_one(pattern, p, text[t])) {
      if (star == std::string_view::npos) return false;
      p = star + 1;
      t = ++after;
    } else {
      ++t;
    }
  }
}

}  // namespace kv
