#include "weir/base/duration.hpp"

#include <catch2/catch.hpp>

#include <limits>

using weir::saturated_duration;
using namespace std::chrono_literals;

TEST_CASE("a duration of any unit is kept in nanoseconds, rounded up") {
  CHECK(saturated_duration(2s).value() == 2s);
  CHECK(saturated_duration(3ns).value() == 3ns);
  CHECK(saturated_duration(-1h).value() == -1h);
  CHECK(saturated_duration(std::chrono::duration<double>(0.25)).value() == 250ms);
  CHECK(saturated_duration(std::chrono::duration<double, std::nano>(1.5)).value() == 2ns);
  using picoseconds = std::chrono::duration<int, std::pico>;
  CHECK(saturated_duration(picoseconds(1)).value() == 1ns);
  CHECK(saturated_duration(picoseconds(-1)).value() == 0ns);
  using small_minutes = std::chrono::duration<signed char, std::ratio<60>>;
  CHECK(saturated_duration(small_minutes(2)).value() == 2min);
  using thirds = std::chrono::duration<int, std::ratio<1, 3>>;
  CHECK(saturated_duration(thirds(1)).value() == 333'333'334ns);
}

TEST_CASE("a duration that does not fit is the longest, of any unit and either sign") {
  const saturated_duration longest = saturated_duration::max();
  CHECK(saturated_duration(std::chrono::hours::max()) == longest);
  CHECK(saturated_duration(std::chrono::seconds::max()) == longest);
  CHECK(saturated_duration(std::chrono::milliseconds::max()) == longest);
  CHECK(saturated_duration(std::chrono::nanoseconds::max()) == longest);
  CHECK(saturated_duration(std::chrono::duration<std::uint64_t, std::nano>::max()) == longest);
  CHECK(saturated_duration(std::chrono::duration<std::uint64_t, std::pico>::max()) < longest);
  CHECK(saturated_duration(std::chrono::duration<double>(1e300)) == longest);
  CHECK(saturated_duration(std::chrono::duration<double>(std::numeric_limits<double>::infinity())) ==
        longest);
  CHECK(saturated_duration(std::chrono::seconds::min()).is_over());
  CHECK(saturated_duration(std::chrono::duration<float>(-1e30F)).is_over());
  CHECK(
      saturated_duration(std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN())).is_over());
}

TEST_CASE("milliseconds are rounded up and never negative") {
  CHECK(saturated_duration(1ns).milliseconds() == 1);
  CHECK(saturated_duration(1ms).milliseconds() == 1);
  CHECK(saturated_duration(1ms + 1ns).milliseconds() == 2);
  CHECK(saturated_duration(0s).milliseconds() == 0);
  CHECK(saturated_duration(-5s).milliseconds() == 0);
  CHECK(saturated_duration(40 * 24h).milliseconds() == 3'456'000'000);
  CHECK(saturated_duration(std::chrono::hours::max()).milliseconds() == 9'223'372'036'855);
}

static_assert(saturated_duration(1s).milliseconds() == 1000, "usable in constant expressions");
