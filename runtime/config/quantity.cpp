#include "quantity.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <span>

namespace weir {
namespace {

struct unit {
  std::string_view name;
  std::int64_t factor;
};

constexpr std::array<unit, 4> size_units{{{"", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}}};
constexpr std::array<unit, 4> duration_units{{{"h", 3'600'000}, {"m", 60'000}, {"s", 1000}, {"ms", 1}}};

constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();

std::string_view take_digits(std::string_view& text) noexcept {
  const auto end = std::min(text.find_first_not_of("0123456789"), text.size());
  const auto digits = text.substr(0, end);
  text.remove_prefix(end);
  return digits;
}

// Takes "1.5KiB" off the front of `text`, and the unit's row with all before it off `units`. Nothing if there
// is none, or a fraction that does not come to a whole number.
std::optional<std::int64_t> take_term(std::string_view& text, std::span<const unit>& units) noexcept {
  const auto whole = take_digits(text);
  std::string_view decimals;
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    decimals = take_digits(text);
    if (decimals.empty() || decimals.size() > 9) return std::nullopt;
  }
  if (whole.empty()) return std::nullopt;
  const auto end = std::min(text.find_first_of("0123456789."), text.size());
  const auto name = text.substr(0, end);
  const auto found = std::find_if(units.begin(), units.end(), [&](const unit& u) { return u.name == name; });
  if (found == units.end()) return std::nullopt;
  text.remove_prefix(end);
  units = units.subspan(static_cast<std::size_t>(found - units.begin()) + 1);

  std::int64_t scale = 1;  // at most 10^9, and a factor is below 2^31: no product of the two overflows
  std::int64_t numerator = 0;
  for (const char c : decimals) {
    numerator = numerator * 10 + (c - '0');
    scale *= 10;
  }
  if (numerator * found->factor % scale != 0) return std::nullopt;
  const auto fraction = numerator * found->factor / scale;
  const auto number = *parse_integer(whole);
  if (number > (most - fraction) / found->factor) return most;
  return number * found->factor + fraction;
}

}  // namespace

std::optional<std::int64_t> parse_integer(std::string_view text) noexcept {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (end != text.data() + text.size() || error == std::errc::invalid_argument) return std::nullopt;
  if (error == std::errc::result_out_of_range)
    return text.front() == '-' ? std::numeric_limits<std::int64_t>::min() : most;
  return number;
}

std::optional<std::int64_t> parse_size(std::string_view text) noexcept {
  std::span<const unit> units = size_units;
  const auto bytes = take_term(text, units);
  return text.empty() ? bytes : std::nullopt;
}

std::string print_size(std::int64_t bytes) {
  for (auto each = size_units.rbegin(); each != size_units.rend(); ++each)
    if (bytes >= each->factor && bytes % each->factor == 0)
      return fmt::format("{}{}", bytes / each->factor, each->name);
  return fmt::format("{}", bytes);
}

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) noexcept {
  std::span<const unit> units = duration_units;  // those that may still come
  std::int64_t sum = 0;
  do {
    const auto term = take_term(text, units);
    if (!term) return std::nullopt;
    sum = *term > most - sum ? most : sum + *term;
  } while (!text.empty());
  return std::chrono::milliseconds(sum);
}

std::string print_duration(std::chrono::milliseconds d) {
  const auto count = static_cast<std::int64_t>(d.count());
  if (count == 0) return "0s";
  if (count % 3'600'000 == 0) return fmt::format("{}h", count / 3'600'000);
  // A lone minute reads better as 60s.
  if (count % 60'000 == 0 && count > 60'000) return fmt::format("{}m", count / 60'000);
  if (count % 1000 == 0) return fmt::format("{}s", count / 1000);
  return fmt::format("{}ms", count);
}

std::optional<std::uint32_t> parse_mode(std::string_view text) noexcept {
  std::uint32_t mode = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), mode, 8);
  if (error != std::errc() || end != text.data() + text.size() || text.size() < 3 || text.size() > 4)
    return std::nullopt;
  return mode;
}

}  // namespace weir
