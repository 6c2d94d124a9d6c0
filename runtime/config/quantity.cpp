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
constexpr std::array<unit, 4> duration_units{{{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}}};

std::optional<std::int64_t> parse_with_unit(std::string_view text, std::span<const unit> units) noexcept {
  const auto digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const auto number = parse_integer(text.substr(0, digits));
  if (!number) return std::nullopt;
  for (const auto& each : units)
    if (each.name == text.substr(digits)) {
      if (*number > std::numeric_limits<std::int64_t>::max() / each.factor) return std::nullopt;
      return *number * each.factor;
    }
  return std::nullopt;
}

}  // namespace

std::optional<std::int64_t> parse_integer(std::string_view text) noexcept {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<std::int64_t> parse_size(std::string_view text) noexcept {
  return parse_with_unit(text, size_units);
}

std::string print_size(std::int64_t bytes) {
  for (auto each = size_units.rbegin(); each != size_units.rend(); ++each)
    if (bytes >= each->factor && bytes % each->factor == 0)
      return fmt::format("{}{}", bytes / each->factor, each->name);
  return fmt::format("{}", bytes);
}

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) noexcept {
  const auto count = parse_with_unit(text, duration_units);
  if (!count) return std::nullopt;
  return std::chrono::milliseconds(*count);
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
