#pragma once
// http: the grammar that header fields share: case-insensitive names, lists with commas.

#include <cstdint>
#include <optional>
#include <string_view>

namespace weir::http {

// Equal, ignoring the case of ASCII letters.
[[nodiscard]] constexpr bool same_name(std::string_view a, std::string_view b) noexcept {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i] != b[i] && lower(a[i]) != lower(b[i])) return false;
  return true;
}

// Without spaces and tabs at both ends.
[[nodiscard]] constexpr std::string_view trimmed(std::string_view text) noexcept {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Removes the next element of a list "a, b,c" from `list` and returns it trimmed. Empty elements are skipped;
// an empty result is the end.
[[nodiscard]] constexpr std::string_view next_element(std::string_view& list) noexcept {
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    const std::string_view element = trimmed(list.substr(0, comma));
    list.remove_prefix(comma == list.npos ? list.size() : comma + 1);
    if (!element.empty()) return element;
  }
  return {};
}

// The value of decimal digits and nothing else; nullopt if there are none or the value does not fit.
[[nodiscard]] std::optional<std::uint64_t> decimal(std::string_view text) noexcept;

// A valid method or field name.
[[nodiscard]] bool is_token(std::string_view text) noexcept;

// A valid field value: no character that could end the line.
[[nodiscard]] bool is_field_value(std::string_view text) noexcept;

}  // namespace weir::http
