#include "weir/admin/detail/exposition.hpp"

#include <catch2/catch.hpp>

#include <memory>

using namespace weir::admin;
using Catch::Matchers::Contains;
using weir::observe::histogram_view;
using weir::observe::shared_histogram;

TEST_CASE("a counter has the suffix where each dialect wants it") {
  for (const auto d : {exposition::dialect::text, exposition::dialect::openmetrics}) {
    exposition to(d);
    to.family("a_bytes", exposition::kind::counter, "bytes", "What it is.");
    to.sample("x=\"1\"", std::uint64_t{7});
    const std::string text = std::move(to).take();
    if (d == exposition::dialect::text)
      CHECK(text ==
            "# HELP a_bytes_total What it is.\n# TYPE a_bytes_total counter\na_bytes_total{x=\"1\"} 7\n");
    else
      CHECK(text ==
            "# HELP a_bytes What it is.\n# TYPE a_bytes counter\n# UNIT a_bytes bytes\n"
            "a_bytes_total{x=\"1\"} 7\n# EOF\n");
  }
}

TEST_CASE("the buckets of a histogram are sums, and end with all") {
  const auto h = std::make_unique<shared_histogram>();
  h->record(500);
  h->record(5'000);
  h->record(5'000'000'000);
  histogram_view view;
  view.add(*h);
  exposition to(exposition::dialect::text);
  to.family("t_seconds", exposition::kind::histogram, "seconds", "Time.");
  to.sample("w=\"0\"", view, 1e-9);
  const std::string text = std::move(to).take();
  CHECK_THAT(text, Contains("t_seconds_bucket{w=\"0\",le=\"1.024e-06\"} 1\n"));
  CHECK_THAT(text, Contains("t_seconds_bucket{w=\"0\",le=\"1.6384e-05\"} 2\n"));
  CHECK_THAT(text, Contains("t_seconds_bucket{w=\"0\",le=\"+Inf\"} 3\n"));
  CHECK_THAT(text, Contains("t_seconds_count{w=\"0\"} 3\n"));
  CHECK_THAT(text, Contains("t_seconds_sum{w=\"0\"} 5.0000055"));
}

TEST_CASE("a help text is one line") { CHECK(exposition::escaped_help("a\\b\nc") == "a\\\\b c"); }
