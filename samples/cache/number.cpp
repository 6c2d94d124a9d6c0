#include "number.hpp"

#include <charconv>
#include <limits>

namespace cache {
namespace {

[[nodiscard]] constexpr bool is_space(char c) noexcept { return c == ' ' || (c >= '\t' && c <= '\r'); }

template <class Number>
[[nodiscard]] std::optional<Number> read(std::string_view word) noexcept {
  while (!word.empty() && is_space(word.front())) word.remove_prefix(1);
  if (word.starts_with('+')) {
    word.remove_prefix(1);
    if (word.starts_with('-')) return std::nullopt;
  }
  Number value = 0;
  const char* const end = word.data() + word.size();
  const auto [stopped, error] = std::from_chars(word.data(), end, value);
  if (error != std::errc() || (stopped != end && !is_space(*stopped))) return std::nullopt;
  return value;
}

}  // namespace

std::optional<std::int64_t> signed_in(std::string_view word) noexcept { return read<std::int64_t>(word); }

std::optional<std::uint64_t> unsigned_in(std::string_view word) noexcept {
  if (const auto value = read<std::uint64_t>(word)) return value;
  // "-18446744073709551615" is 1: C negates, and memcached refuses only what then looks negative.
  while (!word.empty() && is_space(word.front())) word.remove_prefix(1);
  if (word.size() < 2 || word[0] != '-' || word[1] < '0' || word[1] > '9') return std::nullopt;
  const auto value = read<std::uint64_t>(word.substr(1));
  if (!value || static_cast<std::int64_t>(0 - *value) < 0) return std::nullopt;
  return 0 - *value;
}

std::optional<std::int64_t> detail::exptime_in(std::string_view word) noexcept {
  const auto value = signed_in(word);
  if (!value) return std::nullopt;
  return static_cast<std::int32_t>(*value);
}

std::optional<std::uint32_t> detail::flags_in(std::string_view word) noexcept {
  const auto value = unsigned_in(word);
  if (!value) return std::nullopt;
  return static_cast<std::uint32_t>(*value);
}

std::optional<std::uint32_t> detail::size_in(std::string_view word) noexcept {
  const auto value = signed_in(word);
  if (!value) return std::nullopt;
  const auto size = static_cast<std::int32_t>(*value);
  if (size < 0 || size > std::numeric_limits<std::int32_t>::max() - 2) return std::nullopt;
  return static_cast<std::uint32_t>(size);
}

}  // namespace cache
