#pragma once
// compare: the file of a recording: what clients have sent, and when.

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weir::recording {

// A file is a row of blocks, each written by one call at the end of the file, so that several processes may
// write and what was written before a crash is whole. All numbers are little endian.
//
//   head of a block, 36 bytes
//     0  8  "WEIRREC\n"
//     8  2  version: 1
//    10  2  0: the beginning of a session, 1: events
//    12  4  bytes of the payload
//    16  8  the session: a random number of the process that writes
//    24  4  0, 1, 2 ... within the session
//    28  4  CRC-32C of the payload
//    32  4  CRC-32C of the 32 bytes before
//   payload of a session
//     0  8  its time 0, microseconds since 1970
//     8  4  1: with answers, 2: headers were redacted
//   payload of events, one after another, those of a connection in their order
//     0  1  event::kind
//     1  4  number of the connection within the session
//     5  8  microseconds since time 0
//    13  4  bytes that follow
//    17  n  the bytes
//
// A connection of which a piece was lost has no further events, and so no end.
inline constexpr std::uint16_t version = 1;
inline constexpr std::string_view magic = "WEIRREC\n";
inline constexpr std::size_t head_size = 36;
inline constexpr std::size_t event_head_size = 17;
inline constexpr std::uint32_t largest_payload = 64U * 1024 * 1024;

struct event {
  enum class kind : std::uint8_t {
    begin,        // one byte: 1 over TLS
    received,     // from the client
    input_ended,  // by FIN
    input_reset,
    sent,  // to the client
    end    // the connection is closed
  };
};

struct session_facts {
  std::int64_t began = 0;  // microseconds since 1970
  bool answers = false;
  bool redacted = false;
};

// Appends an event to a payload, or the `event_head_size` bytes before the bytes of one.
void append_event_head(std::string& payload, event::kind what, std::uint32_t connection,
                       std::chrono::microseconds at, std::size_t size);
void append_event(std::string& payload, event::kind what, std::uint32_t connection,
                  std::chrono::microseconds at, std::string_view bytes);
// Blocks as they are written.
[[nodiscard]] std::string session_block(std::uint64_t session, const session_facts& facts);
// What comes before the payload of a block, and the whole block.
[[nodiscard]] std::string events_head(std::uint64_t session, std::uint32_t number, std::string_view payload);
[[nodiscard]] std::string events_block(std::uint64_t session, std::uint32_t number, std::string_view payload);

// One connection, as it was recorded.
struct conversation {
  struct piece {
    bool from_client;
    std::chrono::microseconds at;  // since the first session of the file began
    std::string bytes;
  };
  std::uint64_t session = 0;
  std::uint32_t number = 0;
  std::chrono::microseconds began{};
  std::vector<piece> pieces;
  enum class ending : std::uint8_t {
    unknown,  // the recording has ended before it, or lost what came after the pieces
    by_client,
    by_reset,
    by_server
  } ended = ending::unknown;
  std::chrono::microseconds ended_at{};
};

struct content {
  std::vector<conversation> conversations;  // in the order in which they began
  bool answers = false;
  bool redacted = false;
  std::vector<std::string> problems;  // what could not be used, for people
};

// The text of a file. What is whole is used; `problems` tells what is not.
// Errors: std::runtime_error for a text that is no recording, or one of another version.
[[nodiscard]] content parse(std::string_view text);
// Errors: the same, with the name of the file; std::system_error.
[[nodiscard]] content read(const std::string& file);

// The file begins as a recording does.
[[nodiscard]] bool is_recording(const std::string& file) noexcept;

}  // namespace weir::recording
