#pragma once
// compare: a recording, played to a handler in a test.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/compare/detail/recording.hpp"
#include "weir/config/settings.hpp"
#include "weir/connection/connection_handler.hpp"
#include "weir/server/service.hpp"

namespace weir {

// What goes wrong in a replay. Every choice is drawn from the seed: with the same seed, recording and handler
// the same things happen in the same order.
struct replay_faults {
  std::uint64_t seed = 0;

  // Those that change when something comes, and never what is to be answered.
  bool split = false;  // what a client sent at once comes in pieces
  bool delay = false;  // up to `most_delay` later than recorded
  bool pause = false;  // clients stop reading for a while, and the server's send buffers are small

  // Clients are independent of each other: what they send comes in any order that keeps the order of each.
  // Without it the recorded order stays, and the server has done what it can before the next client speaks.
  bool reorder = false;

  // Those after which an answer may be missing. Without `reorder` what one client misses may change what
  // others get: then replay_options::is_whole alone judges.
  bool leave = false;    // some clients close in the middle of something, and read nothing more
  bool failure = false;  // of an allocation, or of what else the test can fail: see replay_options::fail

  std::chrono::milliseconds most_delay{20};

  // Split, delay and pause.
  [[nodiscard]] static replay_faults of_timing(std::uint64_t seed);
};

struct replay_options {
  replay_faults faults = {};
  weir::settings config = {};  // of the core; and limits.idle_timeout
  // Virtual time within which the server has to end a connection whose client has ended it.
  std::chrono::milliseconds patience = std::chrono::minutes(10);
  // After faults that cost answers: whether what a client got, up to a FIN of the server, is whole. Without
  // it that has to be the beginning of what is expected, up to a place where the client spoke again.
  std::function<bool(std::string_view answers)> is_whole = {};
  // For faults.failure: from now on the n-th allocation, or system call, of this thread has to fail, once; 0:
  // none any more. The test has an operator new, or a filter, that does it. Called around what the server
  // does for one action of one client, where nothing else is called.
  std::function<void(std::uint64_t n)> fail = {};
};

struct replay_result {
  struct client {
    std::uint32_t number = 0;     // of the connection in its recording
    std::string answers;          // all that it got; of http without what differs each time
    std::vector<std::size_t> at;  // bytes of answers that it had each time when it spoke
    bool ended = false;           // by the server, or both
    bool by_reset = false;        // so that a part of an answer does not look whole
    bool left = false;            // in the middle of something: faults.leave
  };
  std::vector<client> clients;        // as the connections began
  std::string failure;                // for people, with the seed; empty: all is as it should be
  std::vector<std::string> problems;  // what of the file could not be used, for people
  std::chrono::milliseconds took{};   // of virtual time
  std::uint64_t trace = 0;            // a hash of what happened, with times: the same if the same happened

  explicit operator bool() const noexcept { return failure.empty(); }
};

// Problem: what clients really send finds faults that nobody thinks of, but it takes as long as it took them,
// and what happened once does not happen again. A replay feeds a recording (--record) to the handler as it
// is, on a core of the calling thread, in virtual time: an hour takes as long as its bytes do. What the
// clients get is compared with what was recorded, if that has answers.
//
//   const auto done = weir::replay("/var/tmp/clients", echo);
//   INFO(done.failure);
//   CHECK(done);
//
// A connection is a socket pair; its peer looks like a tcp client at 127.0.0.1. A failure is: an answer that
// differs (the first one: connection, offset, hexadecimal and text), one that looks whole and is not, a
// connection that the server does not end in `patience`, a handler that never waits again. Connections whose
// recording broke off are played as far as it goes. Headers of HTTP that differ each time (Date, Set-Cookie,
// X-Request-Id) are not compared.
// Real time stays: Asio's timers, clocks that the handler asks. Work that is offloaded has ended before time
// moves on; if it never ends, nor does the replay. Models that need threads, and other cores, are not there:
// core::pool() is null. Thread: one that has no core; what the handler does runs there, and offload() on one
// more. Lifetime: nothing is left of the handler's coroutines when it returns. Errors: std::runtime_error for
// a file that is no recording, std::system_error for files and descriptors, std::bad_alloc, what
// service_form::start throws.
[[nodiscard]] replay_result replay(const std::string& file, const connection_handler& handler,
                                   const replay_options& how = {});
[[nodiscard]] replay_result replay(const std::string& file, const service_form& what,
                                   const replay_options& how = {});
[[nodiscard]] replay_result replay(const recording::content& recorded, const service_form& what,
                                   const replay_options& how = {});

// Replays once without faults, and then with the seeds from how.faults.seed on, until one fails: `count` of
// them. With each the answers have to be those of the first replay. `make` makes the handler, with a state of
// its own, for each. The result is that of the seed that failed, or of the last.
[[nodiscard]] replay_result replay_seeds(const recording::content& recorded,
                                         const std::function<service_form()>& make, std::uint64_t count,
                                         replay_options how);
[[nodiscard]] replay_result replay_seeds(const std::string& file, const std::function<service_form()>& make,
                                         std::uint64_t count, const replay_options& how);

}  // namespace weir
