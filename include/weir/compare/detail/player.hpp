#pragma once
// compare: plays a recording to a server, and looks at what it answers.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/compare/detail/recording.hpp"

namespace weir::compare {

// One connection of a recording, as it is played: what is sent, and what has to come before the next is.
struct script {
  struct step {
    std::string send;
    std::string expect;  // what was answered; of http without what differs each time
  };
  std::uint32_t number = 0;  // of the connection in its recording
  std::vector<step> steps;
};

// Of the connections that were recorded whole. Errors: std::runtime_error if the answers were not recorded.
[[nodiscard]] std::vector<script> scripts_of(const recording::content& recorded);

// An answer that is not the recorded one.
struct difference {
  std::uint32_t connection = 0;
  std::size_t offset = 0;  // of the first byte, in all that the connection got
  std::string expected;    // from there on, a few bytes
  std::string got;
};

// Headers of HTTP that differ from one answer to the next, in small letters: a recording::redaction of what
// is compared hides them.
[[nodiscard]] const std::vector<std::string>& changing_headers();

// The same bytes in hexadecimal and as text.
[[nodiscard]] std::string shown(const difference& d);

struct played {
  std::uint64_t exchanges = 0;  // steps that were answered
  std::uint64_t unanswered = 0;
  double seconds = 0;
  double p50_us = 0;
  double p99_us = 0;
  double p999_us = 0;
  std::uint64_t different = 0;  // connections with an answer that differs
  std::optional<difference> first;
};

// Each connection sends when it has its answer (closed loop), `at_once` connections at a time, again and
// again for `time`; then those that are under way are left. One that is not answered for 5 s is given up.
// Errors: std::system_error without a socket.
[[nodiscard]] played play(const std::vector<script>& all, std::uint16_t port, std::size_t at_once,
                          std::chrono::milliseconds time);

// The most connections that were open at a time.
[[nodiscard]] std::size_t most_at_once(const recording::content& recorded);

// As a load program tells it, for parse_load_output(), and lines about answers that differ.
[[nodiscard]] std::string told_of(const played& p);

}  // namespace weir::compare
