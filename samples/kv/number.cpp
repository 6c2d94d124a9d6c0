#include "number.hpp"

#include <cctype>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace kv {

std::optional<std::int64_t> integer_of(std::string_view text) noexcept {
  std::int64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  const std::string_view digits = text.substr(text.front() == '-' ? 1 : 0);
  if (digits.front() == '0' && text.size() > 1) return std::nullopt;
  return value;
}

std::optional<long double> real_of(std::string_view text) noexcept {
  char terminated[5120];
  if (text.empty() || text.size() >= sizeof terminated ||
      std::isspace(static_cast<unsigned char>(text.front())))
    return std::nullopt;
  std::memcpy(terminated, text.data(), text.size());
  terminated[text.size()] = '\0';
  char* stop = nullptr;
  errno = 0;
  const long double value = std::strtold(terminated, &stop);
  const bool is_out_of_range = errno == ERANGE && (std::isinf(value) || value == 0);
  if (stop != terminated + text.size() || std::isnan(value) || is_out_of_range) return std::nullopt;
  return value;
}

number_text<24> text_of(std::int64_t value) noexcept {
  number_text<24> out;
  out.size = static_cast<std::size_t>(std::to_chars(out.digits, out.digits + sizeof out.digits, value).ptr -
                                      out.digits);
  return out;
}

number_text<5120> text_of(long double value) noexcept {
  number_text<5120> out;
  std::string_view text(
      out.digits, static_cast<std::size_t>(std::snprintf(out.digits, sizeof out.digits, "%.17Lf", value)));
  text = text.substr(0, text.find_last_not_of('0') + 1);
  if (text.ends_with('.')) text.remove_suffix(1);
  if (text == "-0") {
    out.digits[0] = '0';
    text = text.substr(0, 1);
  }
  out.size = text.size();
  return out;
}

}  // namespace kv
