#pragma once
// cache: numbers in text as memcached reads them, that is as C does: with a sign, and up to a white space.

#include <cstdint>
#include <optional>
#include <string_view>

namespace cache {

namespace detail {

// Most numbers are a few digits and nothing else. Nothing: look closer.
[[nodiscard]] inline std::optional<std::uint32_t> few_digits(std::string_view word) noexcept {
  if (word.empty() || word.size() > 9) return std::nullopt;
  std::uint32_t value = 0;
  for (const char c : word) {
    const auto digit = static_cast<std::uint32_t>(c - '0');
    if (digit > 9) return std::nullopt;
    value = value * 10 + digit;
  }
  return value;
}

[[nodiscard]] std::optional<std::int64_t> exptime_in(std::string_view word) noexcept;
[[nodiscard]] std::optional<std::uint32_t> flags_in(std::string_view word) noexcept;
[[nodiscard]] std::optional<std::uint32_t> size_in(std::string_view word) noexcept;

}  // namespace detail

// Nothing if it is none, or beyond 64 bits.
[[nodiscard]] std::optional<std::int64_t> signed_in(std::string_view word) noexcept;
// The same, and "-1" is 18446744073709551615 for C but no number here.
[[nodiscard]] std::optional<std::uint64_t> unsigned_in(std::string_view word) noexcept;

// An exptime: what is beyond 32 bits is cut off.
[[nodiscard]] inline std::optional<std::int64_t> exptime_in(std::string_view word) noexcept {
  if (const auto few = detail::few_digits(word)) return *few;
  return detail::exptime_in(word);
}
// Flags of an item: likewise.
[[nodiscard]] inline std::optional<std::uint32_t> flags_in(std::string_view word) noexcept {
  if (const auto few = detail::few_digits(word)) return few;
  return detail::flags_in(word);
}
// The size of a value: likewise, and then at most 2^31-3.
[[nodiscard]] inline std::optional<std::uint32_t> size_in(std::string_view word) noexcept {
  if (const auto few = detail::few_digits(word)) return few;
  return detail::size_in(word);
}

}  // namespace cache
