#include "weir/compare/detail/load_output.hpp"

#include <charconv>
#include <regex>
#include <string>

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

// The last match of any of the expressions: a number, and behind it perhaps its unit.
std::optional<double> last(const std::string& text, std::initializer_list<const char*> expressions) {
  std::optional<double> out;
  for (const char* const each : expressions) {
    const std::regex expression(each, std::regex::multiline);
    for (std::sregex_iterator at(text.begin(), text.end(), expression), end; at != end; ++at)
      if (const auto value = number((*at)[1])) out = at->size() > 2 ? *value * factor((*at)[2]) : *value;
  }
  return out;
}

}  // namespace

told parse_load_output(std::string_view given) {
  const std::string text(given);
  told out;
  out.requests =
      last(text, {R"((\d+) requests in )", R"(Complete requests:\s+(\d+))", R"((\d+) requests completed in)",
                  R"(requests: \d+ total, .* (\d+) done)", R"("requests":\s*(\d+))"});
  out.requests_per_second =
      last(text, {R"(Requests/sec:\s+([\d.]+))", R"(Requests per second:\s+([\d.]+))",
                  R"(finished in .*, ([\d.]+) req/s)", R"(([\d.]+) requests per second)",
                  R"(^Totals\s+([\d.]+))", R"("requests_per_second":\s*([\d.]+))"});
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
  return out;
}

}  // namespace weir::compare
