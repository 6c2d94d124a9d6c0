#include "histogram.hpp"

#include <catch2/catch.hpp>

TEST_CASE("a percentile is within 1.6 % of the value recorded") {
  for (std::uint64_t value = 1; value < 3'600'000'000'000; value = value * 5 / 4 + 1) {
    histogram h;
    h.record(value);
    h.record(value * 2);
    const auto found = h.percentile(0.25);
    INFO(value);
    CHECK(found >= value);
    CHECK(static_cast<double>(found) <= static_cast<double>(value) * 1.016);
  }
}

TEST_CASE("percentiles follow the order of the records") {
  histogram h;
  for (std::uint64_t i = 1; i <= 100; ++i) h.record(i);
  CHECK(h.percentile(0.5) == 51);
  CHECK(h.percentile(0.99) == 100);
  CHECK(h.max() == 100);
}

TEST_CASE("a value beyond an hour is counted, not lost") {
  histogram h;
  h.record(~std::uint64_t{0});
  CHECK(h.percentile(0.5) > 3'600'000'000'000);
  CHECK(h.max() == ~std::uint64_t{0});
}

TEST_CASE("an empty histogram answers zero") { CHECK(histogram{}.percentile(0.5) == 0); }
