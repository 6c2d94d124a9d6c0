#pragma once
// compare: what the clients of a replay do, and when: a pure function of the recording, the faults and their
// seed.

#include <chrono>
#include <cstdint>
#include <string_view>
#include <vector>

#include "weir/compare/detail/recording.hpp"
#include "weir/compare/replay.hpp"

namespace weir::compare {

struct client_action {
  enum class kind : std::uint8_t {
    open,
    send,
    pause,   // reads no more
    go_on,   // reads again
    finish,  // ends its output, and reads on
    leave    // closes, whatever has not been read
  };
  std::chrono::microseconds at{};  // since the recording began
  std::uint32_t client = 0;        // place of its conversation
  kind what = kind::open;
  bool alone = true;            // the server acts on it before anything else happens
  bool begins = false;          // of send: what the client sent at once begins here
  std::string_view bytes = {};  // of send; of the recording
  int room = 0;                 // of open: bytes of the server's send buffer; 0: the system's choice
  std::uint64_t failure = 0;    // of which call, while the server acts on it; 0: none
};

// In the order in which they are done. The recording outlives them.
[[nodiscard]] std::vector<client_action> plan_of(const recording::content& recorded, const replay_faults& f);

}  // namespace weir::compare
