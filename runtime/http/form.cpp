#include "weir/http/form.hpp"

#include <fmt/format.h>

#include <charconv>
#include <stdexcept>

#include "weir/http/field_text.hpp"

namespace weir::http {

namespace {

// The byte of an escape at the start of `text`.
std::optional<char> escaped(std::string_view text) noexcept {
  unsigned char byte = 0;
  if (text.size() < 3 || text[0] != '%') return std::nullopt;
  const auto read = std::from_chars(text.data() + 1, text.data() + 3, byte, 16);
  if (read.ec != std::errc() || read.ptr != text.data() + 3) return std::nullopt;
  return static_cast<char>(byte);
}

std::string decoded_field(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const auto byte = escaped(text);
    out += byte ? *byte : text[0] == '+' ? ' ' : text[0];
    text.remove_prefix(byte ? 3 : 1);
  }
  return out;
}

// What comes before the next `end`, which is removed from `text` with it.
std::string_view take_until(std::string_view& text, char end) noexcept {
  const std::size_t at = std::min(text.find(end), text.size());
  const std::string_view out = text.substr(0, at);
  text.remove_prefix(std::min(at + 1, text.size()));
  return out;
}

// No space, quote, comma, semicolon or backslash. Source: RFC 6265, 4.1.1.
bool is_cookie_text(std::string_view text) noexcept {
  for (const char c : text)
    if (c <= ' ' || c >= 0x7f || c == '"' || c == ',' || c == ';' || c == '\\') return false;
  return true;
}

bool is_attribute(std::string_view text) noexcept {
  return is_field_value(text) && text.find(';') == text.npos;
}

}  // namespace

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const auto byte = escaped(text);
    if (!byte && text[0] == '%') return std::nullopt;
    out += byte ? *byte : text[0];
    text.remove_prefix(byte ? 3 : 1);
  }
  return out;
}

form::form(std::string_view text) {
  while (!text.empty()) {
    std::string_view value = take_until(text, '&');
    if (value.empty()) continue;
    const std::string_view name = take_until(value, '=');
    fields_.emplace_back(decoded_field(name), decoded_field(value));
  }
}

std::optional<std::string_view> form::find(std::string_view name) const noexcept {
  for (const auto& [its, value] : fields_)
    if (its == name) return value;
  return std::nullopt;
}

std::optional<std::string_view> cookie_value(std::string_view header, std::string_view name) noexcept {
  while (!header.empty()) {
    std::string_view value = trimmed(take_until(header, ';'));
    if (value.find('=') == value.npos || trimmed(take_until(value, '=')) != name) continue;
    value = trimmed(value);
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
      value = value.substr(1, value.size() - 2);
    return value;
  }
  return std::nullopt;
}

std::string cookie::text() const {
  if (!is_token(name) || !is_cookie_text(value) || !is_attribute(path) || !is_attribute(same_site))
    throw std::invalid_argument("a cookie with a character that it may not have");
  std::string out = fmt::format("{}={}", name, value);
  if (!path.empty()) out += fmt::format("; Path={}", path);
  if (max_age) out += fmt::format("; Max-Age={}", max_age->count());
  if (secure) out += "; Secure";
  if (http_only) out += "; HttpOnly";
  if (!same_site.empty()) out += fmt::format("; SameSite={}", same_site);
  return out;
}

}  // namespace weir::http
