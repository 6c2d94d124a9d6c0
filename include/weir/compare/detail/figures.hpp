#pragma once
// compare: what was measured of each candidate, and what it says.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "weir/compare/detail/candidates.hpp"

namespace weir::compare {

// Of one run. What was not told, or cannot be known, is absent.
struct run_figures {
  std::string failed = {};  // why there are no figures
  double seconds = 0;
  std::optional<double> requests = {};
  std::optional<double> requests_per_second = {};
  std::optional<double> p50_us = {};
  std::optional<double> p99_us = {};
  std::optional<double> p999_us = {};
  double cpu_us = 0;    // of the server, without its start and stop
  double switches = 0;  // likewise
  double bytes_in = 0;
  double bytes_out = 0;
  std::uint64_t served = 0;   // connections that were accepted
  std::uint64_t starved = 0;  // clients that were seen to wait for that, whenever it was looked
  std::uint64_t threads = 0;
  std::uint64_t memory = 0;
  std::string different = {};  // of a recording: answers that are not the recorded ones; empty: none is known
  bool is_open_loop = false;   // requests came when they were due, however fast the server was
  double unanswered = 0;       // requests

  // Requests/s, or bytes/s where nobody has counted requests.
  [[nodiscard]] double rate() const noexcept {
    return requests_per_second ? *requests_per_second : seconds > 0 ? (bytes_in + bytes_out) / seconds : 0;
  }
  // What is compared; more is better. In an open loop the load decides the rate, and the server how long
  // clients wait.
  [[nodiscard]] double merit() const noexcept {
    return !is_open_loop ? rate() : p99_us.value_or(0) > 0 ? 1e6 / *p99_us : 0;
  }
  // 99 of 100 requests have an answer: where fewer have, p99 is not known.
  [[nodiscard]] bool keeps_up() const noexcept {
    return !is_open_loop || unanswered <= (requests.value_or(0) + unanswered) / 100;
  }
  // Requests, or bytes.
  [[nodiscard]] double amount() const noexcept { return requests.value_or(rate() * seconds); }
};

struct measured {
  candidate what;
  std::vector<run_figures> runs;  // one for each round; empty if it was refused

  [[nodiscard]] bool failed() const noexcept;
  // The run whose merit is in the middle: its figures belong together. Not of a candidate that has failed.
  [[nodiscard]] const run_figures& typical() const;
  // Every client was accepted in each run, and had its answers.
  [[nodiscard]] bool serves_everybody() const noexcept;
  // The largest merit divided by the smallest, less 1.
  [[nodiscard]] double spread() const noexcept;
};

struct comparison_facts {
  std::string program = {};
  std::string load = {};
  std::string kernel = {};
  std::size_t cpus = 0;         // of the machine
  std::size_t server_cpus = 0;  // that servers had
  bool shared_cpus = true;      // with the load
  double busy = 0;              // load average before the first run
  std::size_t rounds = 0;
  double took = 0;     // seconds
  unsigned speed = 0;  // of a recording: percent of its own speed; 0: closed loop
};

// What to take, why, and what may be wrong with that.
struct advice {
  const measured* best = nullptr;  // null: nothing can be advised
  bool is_certain = false;         // another run would say the same, as far as the figures tell
  std::string text;
};

// A pure decision. Candidates whose merits differ by less than `equal`, or by less than their own runs do,
// are not told apart: of those the one with the least CPU per request is taken, and of those that are as
// cheap the one with the fewest threads, then with the least memory. It is certain if it is the same with
// bounds that are half as wide, and half as wide again.
inline constexpr double equal = 0.10;
[[nodiscard]] advice advise(const std::vector<measured>& all, const comparison_facts& facts);

[[nodiscard]] std::string table_of(const std::vector<measured>& all);
[[nodiscard]] std::string json_of(const std::vector<measured>& all, const comparison_facts& facts,
                                  const advice& what);
// A page that needs nothing else.
[[nodiscard]] std::string page_of(const std::string& json);

}  // namespace weir::compare
