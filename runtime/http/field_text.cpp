#include "weir/http/field_text.hpp"

#include <array>
#include <charconv>

namespace weir::http {

namespace {

constexpr auto token_characters = [] {
  std::array<bool, 256> is{};
  for (const char c :
       std::string_view("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    is[static_cast<unsigned char>(c)] = true;
  return is;
}();

}  // namespace

std::optional<std::uint64_t> decimal(std::string_view text) noexcept {
  std::uint64_t value = 0;
  const char* const start = text.data();
  const char* const end = start + text.size();
  const auto read = std::from_chars(start, end, value);
  if (read.ec != std::errc() || read.ptr != end) return std::nullopt;
  return value;
}

bool is_token(std::string_view text) noexcept {
  for (const char c : text)
    if (!token_characters[static_cast<unsigned char>(c)]) return false;
  return !text.empty();
}

bool is_field_value(std::string_view text) noexcept {
  for (const char c : text)
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f) return false;
  return true;
}

}  // namespace weir::http
