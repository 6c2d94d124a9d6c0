#pragma once
// cache: a line of the memcached text protocol, as a value.

#include <cstdint>
#include <optional>
#include <string_view>

#include "store.hpp"

namespace cache {

enum class verb : std::uint8_t {
  get,  // and gets, gat, gats
  update,
  incr,
  decr,
  remove,
  touch,
  flush_all,
  stats,
  version,
  verbosity,
  quit,
  shutdown,
  meta_get,  // and the others whose names have two letters: `key` is the rest of the line
  meta_set,
  meta_remove,
  meta_add,
  meta_noop,
  meta_debug,
  foreign,  // of another protocol
  none      // an error
};

// What a line that was refused takes with it. Hazard: what follows it may be a value, in which nothing must
// be taken for a command.
enum class refused : std::uint8_t {
  line,
  data,     // and the value behind it, of `size` bytes
  session,  // and everything else: it is not known where the value ends
};

struct command {
  verb what = verb::none;
  update how = update::set;
  bool quiet = false;          // noreply
  bool shows_version = false;  // gets and gats
  bool has_exptime = false;    // gat and gats, flush_all
  std::string_view key;        // of get, all keys that are left; of stats, its argument
  std::uint32_t flags = 0;
  std::int64_t exptime = 0;
  std::uint32_t size = 0;       // of the value that follows
  std::uint64_t number = 0;     // the version that a cas replaces; the delta of incr and decr
  std::string_view error = {};  // the reply, if the line is wrong
  refused takes = refused::line;
};

inline constexpr std::size_t longest_key = 250;

// Whether no line of this protocol starts with `first`: a control character, or a byte beyond ASCII, as the
// binary protocol, TLS and others send it.
[[nodiscard]] constexpr bool starts_no_line(char first) noexcept {
  const auto byte = static_cast<unsigned char>(first);
  return (byte < 0x20 && byte != '\r' && byte != '\n') || byte >= 0x7f;
}

// Parses a line without its end. The line is not copied: the command's key is a view of it.
[[nodiscard]] command parse_command(std::string_view line) noexcept;

// Removes the next word from `line` and returns it; empty if there is none.
[[nodiscard]] std::string_view take_word(std::string_view& line) noexcept;

// The first line of `text` without its end, and the text after it; nullopt if the line is incomplete. The
// first `seen` bytes are known to hold no line end.
struct line_split {
  std::string_view line;
  std::size_t consumed;
};
[[nodiscard]] std::optional<line_split> first_line(std::string_view text, std::size_t seen = 0) noexcept;

}  // namespace cache
