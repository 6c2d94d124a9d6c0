#include "weir/observe/detail/log_linear.hpp"

#include <catch2/catch.hpp>

#include <memory>
#include <random>

using namespace weir::observe;

TEST_CASE("a bucket of a log-linear histogram is at most a sixteenth of its lower bound wide") {
  for (std::size_t i = 0; i < log_linear::buckets; ++i) {
    const auto lower = log_linear::lower_bound(i);
    const auto next = log_linear::lower_bound(i + 1);
    REQUIRE(next > lower);
    REQUIRE(next - lower <= std::max<std::uint64_t>(1, lower / 16));
    REQUIRE(log_linear::bucket_of(lower) == i);
    REQUIRE(log_linear::bucket_of(next - 1) == i);
  }
  CHECK(log_linear::lower_bound(log_linear::buckets) == log_linear::largest + 1);
  CHECK(log_linear::bucket_of(UINT64_MAX) == log_linear::buckets - 1);
}

TEST_CASE("a quantile is at most 3.2 percent off, and histograms add up") {
  std::mt19937_64 random(7);
  const auto one = std::make_unique<shared_histogram>();
  const auto other = std::make_unique<shared_histogram>();
  std::vector<std::uint64_t> values;
  for (int i = 0; i < 20'000; ++i) {
    const std::uint64_t value = random() >> (22 + random() % 40);
    values.push_back(value);
    (i % 3 == 0 ? one : other)->record(value);
  }
  std::sort(values.begin(), values.end());
  const auto view = std::make_unique<histogram_view>();
  CHECK(view->quantile(0.5) == 0);
  view->add(*one);
  view->add(*other);
  CHECK(view->count() == values.size());
  std::uint64_t sum = 0;
  for (const auto v : values) sum += v;
  CHECK(view->sum() == sum);
  for (const double q : {0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const auto exact = static_cast<double>(values[static_cast<std::size_t>(std::ceil(q * 20'000)) - 1]);
    CHECK(std::abs(static_cast<double>(view->quantile(q)) - exact) <= exact * 0.032 + 1);
  }
  for (const unsigned bits : {4U, 10U, 20U, 30U})
    CHECK(view->below(std::uint64_t{1} << bits) ==
          static_cast<std::uint64_t>(
              std::lower_bound(values.begin(), values.end(), std::uint64_t{1} << bits) - values.begin()));
}
