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
  using microseconds = std::chrono::microseconds;  // since the first of the recording's connections began

  struct step {
    std::string send;
    std::string expect;  // what was answered; of http without what differs each time
    microseconds due{};  // the server has read the first of `send`
  };
  std::uint32_t number = 0;  // of the connection in its recording
  std::vector<step> steps;
  microseconds began{};
  microseconds left{};  // the client has closed it; zero: the server has
};

// Of the connections that were recorded whole, in the order in which they began.
// Errors: std::runtime_error if the answers were not recorded.
[[nodiscard]] std::vector<script> scripts_of(const recording::content& recorded);

// From the first beginning to the last event.
[[nodiscard]] std::chrono::microseconds length_of(const std::vector<script>& all);

inline constexpr std::size_t most_shown = 32;  // bytes of an answer that differs

// An answer that is not the recorded one.
struct difference {
  std::uint32_t connection = 0;
  std::size_t offset = 0;  // of the first byte, in all that the connection got
  std::string expected;    // from there on, a few bytes
  std::string got;
  std::size_t repetition = 0;  // the recording had been played so often before
};

// Headers of HTTP that differ from one answer to the next, in small letters: a recording::redaction of what
// is compared hides them.
[[nodiscard]] const std::vector<std::string>& changing_headers();

// The same bytes in hexadecimal and as text.
[[nodiscard]] std::string shown(const difference& d);

// When connections begin and send.
struct pace {
  // Closed loop: so many connections at a time, and each sends when it has its answer.
  std::size_t at_once = 1;
  // Open loop, unless 0: connections begin, send and leave when they did, in percent of the recorded speed.
  // What is due on a connection that still waits for an answer is sent after that, because it may depend on
  // it.
  unsigned percent = 0;
};

struct played {
  std::uint64_t exchanges = 0;   // steps that were answered
  std::uint64_t unanswered = 0;  // and that were not
  double seconds = 0;
  // Closed loop: from the sending of a step to the end of its answer. Open loop: from when the step was due,
  // so that a server that stalls is charged for all that was due meanwhile; a step without an answer
  // counts as if it came at the end.
  double p50_us = 0;
  double p99_us = 0;
  double p999_us = 0;
  std::uint64_t different = 0;  // connections with an answer that differs
  std::optional<difference> first;
};

// The recording, again and again for `time`. Closed loop: what is under way then is left. Open loop: what was
// due until then may take 1 s more. A connection that is not answered for 5 s is given up. Errors:
// std::system_error without a socket.
[[nodiscard]] played play(const std::vector<script>& all, std::uint16_t port, const pace& how,
                          std::chrono::milliseconds time);

// The most connections that were open at a time.
[[nodiscard]] std::size_t most_at_once(const recording::content& recorded);

// As a load program tells it, for parse_load_output(), and lines about answers that differ.
[[nodiscard]] std::string told_of(const played& p);

}  // namespace weir::compare
