#include "weir/compare/detail/redaction.hpp"

#include <algorithm>

namespace weir::recording {
namespace {

constexpr std::size_t longest_name = 256;

char small(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

void redaction::append(std::string& to, std::string_view bytes) {
  to.reserve(to.size() + bytes.size());
  for (const char c : bytes) {
    // A line that begins with a space continues the header before it.
    if (now_ == state::line_end) now_ = c == ' ' || c == '\t' ? state::hidden : state::name;
    if (c == '\n') {
      to += c;
      now_ = now_ == state::hidden ? state::line_end : state::name;
      name_.clear();
      continue;
    }
    to += now_ == state::hidden && c != '\r' ? 'x' : c;
    if (now_ != state::name) continue;
    if (c == ':')
      now_ = std::find(names_.begin(), names_.end(), name_) != names_.end() ? state::hidden : state::value;
    else if (c <= ' ' || name_.size() == longest_name)
      now_ = state::value;
    else
      name_ += small(c);
  }
}

std::vector<std::string> in_small_letters(std::vector<std::string> names) {
  for (std::string& each : names) std::transform(each.begin(), each.end(), each.begin(), small);
  return names;
}

}  // namespace weir::recording
