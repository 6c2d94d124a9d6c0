#pragma once
// compare: what programs that make load say of it.

#include <optional>
#include <string_view>

namespace weir::compare {

struct told {
  std::optional<double> requests = {};  // in all
  std::optional<double> requests_per_second = {};
  std::optional<double> p50_us = {};
  std::optional<double> p99_us = {};
  std::optional<double> p999_us = {};
  std::optional<double> served = {};      // clients that had an answer
  std::optional<double> unanswered = {};  // requests that had none
};

// Of the output of the player of recordings, of wrk, wrk2, ab, h2load, hey, redis-benchmark,
// memtier_benchmark, and of JSON with the keys requests, requests_per_second, p50_us, p99_us, p99_9_us and
// served. What another program prints in the same words is understood too. Of several figures the last one.
[[nodiscard]] told parse_load_output(std::string_view text);

}  // namespace weir::compare
