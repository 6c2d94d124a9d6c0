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
  none  // it is wrong
};

struct command {
  verb what = verb::none;
  update how = update::set;
  bool quiet = false;          // noreply
  bool shows_version = false;  // gets and gats
  bool has_exptime = false;    // gat and gats, flush_all
  std::string_view key;        // of get all that are left; of stats what it asks for
  std::uint32_t flags = 0;
  std::int64_t exptime = 0;
  std::uint32_t size = 0;       // of the value that follows
  std::uint64_t number = 0;     // the version that a cas replaces; the delta of incr and decr
  std::string_view error = {};  // the reply, if it is wrong
};

inline constexpr std::size_t longest_key = 250;

// A line without its end. It is not copied: the command's key lies in it.
[[nodiscard]] command parse_command(std::string_view line) noexcept;

// The next word of `line`, which is cut off there; empty: there is none.
[[nodiscard]] std::string_view take_word(std::string_view& line) noexcept;

// The first line of `text` without its end, and what comes after it; nothing if it is not complete. The
// first `seen` bytes are known to hold no end.
struct line_split {
  std::string_view line;
  std::size_t consumed;
};
[[nodiscard]] std::optional<line_split> first_line(std::string_view text, std::size_t seen = 0) noexcept;

}  // namespace cache
