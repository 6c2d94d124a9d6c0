#pragma once
// base: a duration as a parameter, whatever its unit: a longer one than the clock can hold becomes the
// longest.

#include <chrono>
#include <compare>
#include <concepts>
#include <cstdint>
#include <limits>
#include <ratio>
#include <type_traits>
#include <utility>

namespace weir {

// Problem: std::chrono converts units without looking. seconds::max() as the nanoseconds of a clock is -1
// second, and a wait that was meant to last for ever ends at once. A parameter of this type takes a duration
// of any unit and type and keeps it in nanoseconds, rounded up; what does not fit becomes max(), which is 292
// years.
class saturated_duration {
 public:
  using nanoseconds = std::chrono::duration<std::int64_t, std::nano>;

  template <class Rep, class Period>
    requires std::is_arithmetic_v<Rep>
  constexpr saturated_duration(std::chrono::duration<Rep, Period> d) noexcept : value_(convert(d)) {}

  [[nodiscard]] static constexpr saturated_duration max() noexcept { return nanoseconds::max(); }

  [[nodiscard]] constexpr nanoseconds value() const noexcept { return value_; }

  // Zero or less.
  [[nodiscard]] constexpr bool is_over() const noexcept { return value_.count() <= 0; }

  // Milliseconds, rounded up; 0 for what is negative.
  [[nodiscard]] constexpr std::uint64_t milliseconds() const noexcept {
    return is_over() ? 0 : (static_cast<std::uint64_t>(value_.count()) - 1) / 1'000'000 + 1;
  }

  constexpr auto operator<=>(const saturated_duration&) const = default;

 private:
  template <class Rep, class Period>
  static constexpr nanoseconds convert(std::chrono::duration<Rep, Period> d) noexcept {
    using unit = std::ratio_divide<Period, std::nano>;
    constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
    const Rep count = d.count();
    if constexpr (std::floating_point<Rep>) {
      const long double exact = static_cast<long double>(count) * unit::num / unit::den;
      if (exact >= static_cast<long double>(most)) return nanoseconds::max();
      if (exact <= -static_cast<long double>(most)) return -nanoseconds::max();
      if (!(exact == exact)) return nanoseconds::zero();  // not a number
      const auto cut = static_cast<std::int64_t>(exact);
      return nanoseconds(static_cast<long double>(cut) < exact ? cut + 1 : cut);
    } else {
      using wide = std::common_type_t<Rep, std::int64_t>;
      constexpr auto step = static_cast<wide>(unit::den);
      if (std::cmp_greater(count / step, most)) return nanoseconds::max();
      const auto whole = static_cast<std::int64_t>(count / step);
      if (whole >= most / unit::num) return nanoseconds::max();
      if (whole <= -(most / unit::num)) return -nanoseconds::max();
      const auto rest = static_cast<std::int64_t>(count % step) * unit::num;
      return nanoseconds(whole * unit::num + (rest > 0 ? (rest - 1) / unit::den + 1 : rest / unit::den));
    }
  }

  nanoseconds value_;
};

}  // namespace weir
