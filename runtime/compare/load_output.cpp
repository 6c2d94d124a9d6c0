#include "weir/compare/detail/load_output.hpp"

#include <algorithm>
#include <charconv>
#include <numeric>
#include <regex>
#include <string>
#include <vector>

namespace weir::compare {
namespace {

std::optional<double> number(const std::string& text) {
  double out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(out) : std::nullopt;
}

double factor(const std::string& unit) {
  return unit == "us" ? 1 : unit == "s" || unit == "secs" ? 1e6 : 1e3;
}

// All matches of an expression: a number, and behind it perhaps its unit.
std::vector<double> all(const std::string& text, const char* of) {
  std::vector<double> out;
  const std::regex expression(of, std::regex::multiline);
  for (std::sregex_iterator at(text.begin(), text.end(), expression), end; at != end; ++at)
    if (const auto value = number((*at)[1]))
      out.push_back(at->size() > 2 ? *value * factor((*at)[2]) : *value);
  return out;
}

// The last match of any of the expressions.
std::optional<double> last(const std::string& text, std::initializer_list<const char*> expressions) {
  std::optional<double> out;
  for (const char* const each : expressions)
    if (const auto found = all(text, each); !found.empty()) out = found.back();
  return out;
}

// redis-benchmark makes one test after another, each of as many requests: what they are together, and the
// slowest.
void add_tests_of_redis(const std::string& text, told& out) {
  const auto rates = all(text, R"(([\d.]+) requests per second)");
  if (rates.empty()) return;
  double time = 0;  // for one request of each
  for (const double rate : rates) time += rate > 0 ? 1 / rate : 0;
  if (time > 0) out.requests_per_second = static_cast<double>(rates.size()) / time;
  if (const auto counts = all(text, R"((\d+) requests completed in)"); !counts.empty())
    out.requests = std::accumulate(counts.begin(), counts.end(), 0.0);
  const auto slowest = [&text](const char* of, std::optional<double>& to) {
    if (const auto found = all(text, of); !found.empty())
      to = 1000 * *std::max_element(found.begin(), found.end());
  };
  slowest(R"(avg +min +p50 +p95 +p99 +max\s+[\d.]+ +[\d.]+ +([\d.]+))", out.p50_us);
  slowest(R"(avg +min +p50 +p95 +p99 +max\s+(?:[\d.]+ +){4}([\d.]+))", out.p99_us);
}

}  // namespace

told parse_load_output(std::string_view given) {
  const std::string text(given);
  told out;
  out.requests = last(text, {R"((\d+) requests in )", R"(Complete requests:\s+(\d+))",
                             R"(requests: \d+ total, .* (\d+) done)", R"("requests":\s*(\d+))"});
  out.requests_per_second = last(text, {R"(Requests/sec:\s+([\d.]+))", R"(Requests per second:\s+([\d.]+))",
                                        R"(finished in .*, ([\d.]+) req/s)", R"(^Totals\s+([\d.]+))",
                                        R"("requests_per_second":\s*([\d.]+))"});
  // wrk --latency: "50%   1.23ms"; hey: "50%% in 0.0012 secs"; ab: "  50%      3", in ms.
  const auto quantile = [&](const std::string& percent, const char* short_name, const std::string& key) {
    const std::string of_wrk = "^\\s+" + percent + "0*%\\s+([\\d.]+)(us|ms|s)\\s*$";
    const std::string of_hey = "^\\s+" + percent + "%+ in ([\\d.]+) (secs)";
    const std::string of_ab = "^\\s+" + percent + "%\\s+([\\d.]+)()\\s*$";
    const std::string of_redis = std::string(short_name) + "=([\\d.]+)( msec)";
    const std::string of_json = "\"" + key + "\":\\s*([\\d.]+)";
    return last(text, {of_wrk.c_str(), of_hey.c_str(), of_ab.c_str(), of_redis.c_str(), of_json.c_str()});
  };
  out.p50_us = quantile("50(?:\\.0)?", "p50", "p50_us");
  out.p99_us = quantile("99(?:\\.0)?", "p99", "p99_us");
  out.served = last(text, {R"("served":\s*(\d+))"});
  out.unanswered = last(text, {R"(^unanswered: (\d+)$)"});
  out.p999_us = quantile("99\\.9", "p99.9", "p99_9_us");
  add_tests_of_redis(text, out);
  return out;
}

}  // namespace weir::compare
