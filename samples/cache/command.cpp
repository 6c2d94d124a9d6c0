#include "command.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <limits>

namespace cache {
namespace {

constexpr std::string_view unknown = "ERROR";
constexpr std::string_view bad_format = "CLIENT_ERROR bad command line format";
constexpr std::string_view bad_exptime = "CLIENT_ERROR invalid exptime argument";
constexpr std::string_view bad_delta = "CLIENT_ERROR invalid numeric delta argument";
constexpr std::string_view bad_delete =
    "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]";

template <class Number>
[[nodiscard]] bool read(std::string_view word, Number& into) noexcept {
  const char* const end = word.data() + word.size();
  const auto [stopped, error] = std::from_chars(word.data(), end, into);
  return error == std::errc() && stopped == end;
}

// The words behind the name, of which no command but get has more than six.
struct words {
  std::array<std::string_view, 7> at;
  std::size_t count = 0;

  explicit words(std::string_view rest) noexcept {
    while (count < at.size() && !(at[count] = take_word(rest)).empty()) ++count;
  }
  [[nodiscard]] bool between(std::size_t least, std::size_t most) const noexcept {
    return count >= least && count <= most;
  }
  [[nodiscard]] bool end_with_noreply() const noexcept { return count != 0 && at[count - 1] == "noreply"; }
};

command wrong(std::string_view error, bool quiet = false) noexcept {
  command out;
  out.error = error;
  out.quiet = quiet;
  return out;
}

command parse_get(std::string_view rest, bool shows_version, bool touches) noexcept {
  command out;
  out.shows_version = shows_version;
  out.has_exptime = touches;
  if (touches) {
    const std::string_view exptime = take_word(rest);
    if (exptime.empty()) return wrong(unknown);
    if (!read(exptime, out.exptime)) return wrong(bad_exptime);
  }
  out.key = rest;
  if (!touches && rest.find_first_not_of(' ') == std::string_view::npos) return wrong(unknown);
  // What is no longer than a key holds no longer one.
  while (rest.size() > longest_key)
    if (take_word(rest).size() > longest_key) return wrong(bad_format);
  out.what = verb::get;
  return out;
}

command parse_update(std::string_view rest, update how) noexcept {
  const std::size_t needed = how == update::cas ? 5 : 4;
  const words w(rest);
  if (!w.between(needed, needed + 1)) return wrong(unknown);
  command out;
  out.how = how;
  out.quiet = w.end_with_noreply();
  out.key = w.at[0];
  if (out.key.size() > longest_key || !read(w.at[1], out.flags) || !read(w.at[2], out.exptime) ||
      !read(w.at[3], out.size) || out.size > std::numeric_limits<std::int32_t>::max() ||
      (how == update::cas && !read(w.at[4], out.number)))
    return wrong(bad_format, out.quiet);
  out.what = verb::update;
  return out;
}

// incr, decr and touch: a key and a number.
template <class Number>
command parse_with_number(std::string_view rest, verb what, Number command::* number,
                          std::string_view error) noexcept {
  const words w(rest);
  if (!w.between(2, 3)) return wrong(unknown);
  command out;
  out.quiet = w.end_with_noreply();
  out.key = w.at[0];
  if (out.key.size() > longest_key) return wrong(bad_format, out.quiet);
  if (!read(w.at[1], out.*number)) return wrong(error, out.quiet);
  out.what = what;
  return out;
}

command parse_delete(std::string_view rest) noexcept {
  const words w(rest);
  if (!w.between(1, 3)) return wrong(unknown);
  command out;
  out.quiet = w.end_with_noreply();
  out.key = w.at[0];
  if (out.key.size() > longest_key) return wrong(bad_format, out.quiet);
  // A time of 0 is what very old clients send.
  const bool right = w.count == 1 || (w.count == 2 && (w.at[1] == "0" || out.quiet)) ||
                     (w.count == 3 && w.at[1] == "0" && out.quiet);
  if (!right) return wrong(bad_delete, out.quiet);
  out.what = verb::remove;
  return out;
}

command parse_flush(std::string_view rest) noexcept {
  const words w(rest);
  if (!w.between(0, 2)) return wrong(unknown);
  command out;
  out.quiet = w.end_with_noreply();
  out.has_exptime = w.count > (out.quiet ? 1U : 0U);
  if (out.has_exptime && !read(w.at[0], out.exptime)) return wrong(bad_exptime, out.quiet);
  out.what = verb::flush_all;
  return out;
}

command parse_verbosity(std::string_view rest) noexcept {
  const words w(rest);
  if (!w.between(1, 2)) return wrong(unknown);
  command out;
  out.quiet = w.end_with_noreply();
  out.what = verb::verbosity;
  return out;
}

command simple(verb what, std::string_view rest = {}) noexcept {
  command out;
  out.what = what;
  out.key = rest;
  return out;
}

}  // namespace

// Words are short: a loop costs less than a call of memchr.
std::string_view take_word(std::string_view& line) noexcept {
  const char* at = line.data();
  const char* const end = at + line.size();
  while (at != end && *at == ' ') ++at;
  const char* const start = at;
  while (at != end && *at != ' ') ++at;
  line = {at, static_cast<std::size_t>(end - at)};
  return {start, static_cast<std::size_t>(at - start)};
}

std::optional<line_split> first_line(std::string_view text, std::size_t seen) noexcept {
  const std::size_t end = text.find('\n', seen);
  if (end == std::string_view::npos) return std::nullopt;
  const bool has_return = end != 0 && text[end - 1] == '\r';
  return line_split{text.substr(0, end - (has_return ? 1 : 0)), end + 1};
}

command parse_command(std::string_view line) noexcept {
  std::string_view rest = line;
  const std::string_view name = take_word(rest);
  switch (name.size()) {
    case 3:
      if (name == "get") return parse_get(rest, false, false);
      if (name == "set") return parse_update(rest, update::set);
      if (name == "add") return parse_update(rest, update::add);
      if (name == "cas") return parse_update(rest, update::cas);
      if (name == "gat") return parse_get(rest, false, true);
      break;
    case 4:
      if (name == "gets") return parse_get(rest, true, false);
      if (name == "gats") return parse_get(rest, true, true);
      if (name == "incr") return parse_with_number(rest, verb::incr, &command::number, bad_delta);
      if (name == "decr") return parse_with_number(rest, verb::decr, &command::number, bad_delta);
      if (name == "quit") return simple(verb::quit);
      break;
    default:
      if (name == "append") return parse_update(rest, update::append);
      if (name == "prepend") return parse_update(rest, update::prepend);
      if (name == "replace") return parse_update(rest, update::replace);
      if (name == "delete") return parse_delete(rest);
      if (name == "touch") return parse_with_number(rest, verb::touch, &command::exptime, bad_exptime);
      if (name == "flush_all") return parse_flush(rest);
      if (name == "stats") return simple(verb::stats, rest);
      if (name == "version") return simple(verb::version);
      if (name == "verbosity") return parse_verbosity(rest);
      if (name == "shutdown") return simple(verb::shutdown, rest);
  }
  return wrong(unknown);
}

}  // namespace cache
