#pragma once
// connection: the phases of a connection's life, and what may happen in each.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace weir {

// A connection is in exactly one phase. Whether a handle exists and whether a handler runs are separate
// facts.
enum class phase : std::uint8_t {
  opening,    // it has a socket and no handler yet; connect() may be under way
  serving,    // a handler, or the holder of the handle, uses it
  lingering,  // closed by this side: FIN is sent, and input is discarded until the peer's end or for 5 s
  parked,     // open without a handler; the next input starts one
  leaving,    // parked while the server stops: another process is to take it and had no room yet
  ended       // it has no socket; the memory lives until the handle and the handler are gone
};

// What happens to a connection. Input, an end and an error while a handler serves go to the operation that
// waits for them; `input` here is what comes when no handler waits.
enum class connection_event : std::uint8_t {
  serve,        // a handler begins
  input,        // bytes, FIN or an error have come, and no operation of a handler waits for them
  timer,        // the connection's timer has expired
  stop,         // the server stops
  cut,          // the server waits no longer
  close,        // close()
  reset,        // abort()
  drop,         // the handle is gone
  park,         // the handle is gone by park()
  release,      // the socket goes elsewhere
  handler_end,  // the handler has ended, and the connection is on its core
};

[[nodiscard]] constexpr std::string_view name_of(phase p) noexcept {
  constexpr std::string_view names[] = {"opening", "serving", "lingering", "parked", "leaving", "ended"};
  return names[static_cast<std::size_t>(p)];
}

[[nodiscard]] constexpr std::string_view name_of(connection_event e) noexcept {
  constexpr std::string_view names[] = {"serve", "input", "timer", "stop",    "cut",        "close",
                                        "reset", "drop",  "park",  "release", "handler_end"};
  return names[static_cast<std::size_t>(e)];
}

}  // namespace weir
