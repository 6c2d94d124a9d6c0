#include "weir/compare/detail/load_output.hpp"

#include <catch2/catch.hpp>

using weir::compare::parse_load_output;

TEST_CASE("wrk is understood") {
  const auto t = parse_load_output(
      "Running 2s test @ http://127.0.0.1:1/\n  Latency Distribution\n     50%  134.00us\n     75%    "
      "1.00ms\n     90%  "
      "204.00us\n     99%    1.28ms\n  20000 requests in 2.00s, 3MB read\nRequests/sec:  "
      "10012.34\nTransfer/sec:  1MB\n");
  CHECK(t.requests == 20000);
  CHECK(t.requests_per_second == 10012.34);
  CHECK(t.p50_us == 134);
  CHECK(t.p99_us == 1280);
  CHECK_FALSE(t.p999_us);
}

TEST_CASE("ab is understood") {
  const auto t = parse_load_output(
      "Requests per second:    9123.45 [#/sec] (mean)\nPercentage of the requests served within a certain "
      "time (ms)\n"
      "  50%      3\n  99%      7\n 100%     11 (longest request)\n");
  CHECK(t.requests_per_second == 9123.45);
  CHECK(t.p50_us == 3000);
  CHECK(t.p99_us == 7000);
}

TEST_CASE("redis-benchmark and h2load are understood") {
  CHECK(parse_load_output("PING_INLINE: 66666.66 requests per second, p50=0.287 msec\n").p50_us == 287);
  CHECK(parse_load_output("  throughput summary: 66666.66 requests per second\n")
            .requests_per_second.value_or(0) == Approx(66666.66));
  CHECK(parse_load_output("finished in 2.01s, 51234.50 req/s, 6.1MB/s\n").requests_per_second == 51234.5);
}

TEST_CASE("the tests of one redis-benchmark are taken together") {
  const std::string summary =
      "  throughput summary: 50000.00 requests per second\n  latency summary (msec):\n          avg       "
      "min       p50 "
      "      p95       p99       max\n        0.574     0.032     0.551     0.839     1.559     1.799\n";
  std::string other = summary;
  other.replace(other.find("50000.00"), 8, "25000.00").replace(other.find("1.559"), 5, "2.559");
  const auto t =
      parse_load_output("====== SET ======\n  20000 requests completed in 0.40 seconds\n" + other +
                        "====== GET ======\n  20000 requests completed in 0.40 seconds\n" + summary);
  CHECK(t.requests == 40000);
  CHECK(t.requests_per_second.value_or(0) == Approx(33333.33));
  CHECK(t.p50_us == 551);
  CHECK(t.p99_us == 2559);
}

TEST_CASE("keys of JSON are understood") {
  const auto t = parse_load_output(
      R"({"requests": 3, "requests_per_second": 12.5, "p50_us": 7.0, "p99_us": 9.5, "p99_9_us": 10})");
  CHECK(t.requests_per_second == 12.5);
  CHECK(t.p50_us == 7);
  CHECK(t.p99_us == 9.5);
  CHECK(t.p999_us == 10);
}

TEST_CASE("what tells nothing gives nothing") {
  for (const auto* text : {"", "done", "Requests/sec: many", "50%"})
    CHECK_FALSE(parse_load_output(text).requests_per_second);
}
