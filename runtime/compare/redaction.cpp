#include "weir/compare/detail/redaction.hpp"

#include <algorithm>
#include <cstring>

namespace weir::recording {
namespace {

constexpr std::size_t longest_name = 256;

char small(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

redaction::redaction(const std::vector<std::string>& names) noexcept : names_(names) {
  for (const std::string& each : names) first_letters_ |= 1U << (static_cast<unsigned char>(each[0]) & 31);
}

// In place, behind one copy of all: nearly all bytes stay as they are.
void redaction::append(std::string& to, std::string_view bytes) {
  const std::size_t began = to.size();
  to.append(bytes);
  char* const all = to.data();
  const std::size_t size = to.size();
  for (std::size_t at = began; at < size;) {
    // A line that begins with a space continues the header before it.
    if (now_ == state::line_end) now_ = all[at] == ' ' || all[at] == '\t' ? state::hidden : state::name;
    if (now_ == state::name && (!name_.empty() || may_begin_hidden(all[at]))) {
      at = read_name({all, size}, at);
      continue;
    }
    const void* const found = std::memchr(all + at, '\n', size - at);
    const std::size_t end =
        found == nullptr ? size : static_cast<std::size_t>(static_cast<const char*>(found) - all);
    const bool hides = now_ == state::hidden;
    for (; hides && at < end; ++at)
      if (all[at] != '\r') all[at] = 'x';
    if (found == nullptr)
      now_ = hides ? state::hidden : state::value;
    else
      now_ = hides ? state::line_end : state::name;
    at = end + 1;
  }
}

// Where it goes on: behind what ends the name of a line, or at the end; in a line that is not hidden,
// anywhere.
std::size_t redaction::read_name(std::string_view text, std::size_t at) {
  if (name_.empty() && !may_be_hidden(text.substr(at))) {
    now_ = state::value;
    return at;
  }
  std::size_t end = at;
  while (end < text.size() && text[end] > ' ' && text[end] != ':') ++end;
  const std::string_view part = text.substr(at, end - at);
  if (end == text.size()) {
    name_.append(part.substr(0, longest_name - std::min(name_.size(), longest_name)));
    return end;
  }
  if (!name_.empty()) name_.append(part.substr(0, longest_name - std::min(name_.size(), longest_name)));
  // Also with a space before the colon, which no server should take.
  if (text[end] != '\n')
    now_ = is_hidden(name_.empty() ? part : std::string_view(name_)) ? state::hidden : state::value;
  name_.clear();
  return end + 1;
}

// Of a line that is not empty. The first letters tell nearly every line apart.
bool redaction::may_be_hidden(std::string_view line) const noexcept {
  const char first = small(line.front());
  return std::any_of(names_.begin(), names_.end(), [line, first](const std::string& each) {
    if (each.front() != first) return false;
    const std::size_t size = std::min(each.size(), line.size());
    std::size_t same = 1;
    while (same < size && small(line[same]) == each[same]) ++same;
    return same == size;
  });
}

bool redaction::is_hidden(std::string_view name) const noexcept {
  return std::any_of(names_.begin(), names_.end(), [name](const std::string& each) {
    return each.size() == name.size() &&
           std::equal(each.begin(), each.end(), name.begin(), [](char a, char b) { return a == small(b); });
  });
}

std::vector<std::string> in_small_letters(std::vector<std::string> names) {
  for (std::string& each : names) std::transform(each.begin(), each.end(), each.begin(), small);
  return names;
}

}  // namespace weir::recording
