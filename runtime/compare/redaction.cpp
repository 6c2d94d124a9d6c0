#include "weir/compare/detail/redaction.hpp"

#include <algorithm>

namespace weir::recording {
namespace {

constexpr std::size_t longest_name = 256;

char small(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

// Line by line where it can: nearly all bytes are copied as they are.
void redaction::append(std::string& to, std::string_view bytes) {
  to.reserve(to.size() + bytes.size());
  while (!bytes.empty()) {
    // A line that begins with a space continues the header before it.
    if (now_ == state::line_end) now_ = bytes[0] == ' ' || bytes[0] == '\t' ? state::hidden : state::name;
    if (now_ == state::name) {
      const std::size_t size = read_name(bytes);
      to.append(bytes.substr(0, size));
      bytes.remove_prefix(size);
      continue;
    }
    const std::size_t end = bytes.find('\n');
    const bool whole = end != std::string_view::npos;
    const std::string_view line = bytes.substr(0, whole ? end + 1 : end);
    const std::size_t from = to.size();
    to.append(line);
    if (now_ == state::hidden)
      std::replace_if(
          to.begin() + static_cast<std::ptrdiff_t>(from), to.end(),
          [](char c) { return c != '\r' && c != '\n'; }, 'x');
    if (whole) now_ = now_ == state::hidden ? state::line_end : state::name;
    bytes.remove_prefix(line.size());
  }
}

// How many bytes of it belong to the name, with what ends it.
std::size_t redaction::read_name(std::string_view bytes) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const char c = bytes[i];
    if (c > ' ' && c != ':' && name_.size() < longest_name) {
      name_ += small(c);
      continue;
    }
    if (c == ':')
      now_ = std::find(names_.begin(), names_.end(), name_) != names_.end() ? state::hidden : state::value;
    else if (c != '\n')
      now_ = state::value;
    name_.clear();
    return i + 1;
  }
  return bytes.size();
}

std::vector<std::string> in_small_letters(std::vector<std::string> names) {
  for (std::string& each : names) std::transform(each.begin(), each.end(), each.begin(), small);
  return names;
}

}  // namespace weir::recording
