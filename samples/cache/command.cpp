#include "command.hpp"

#include <algorithm>
#include <array>

#include "number.hpp"

namespace cache {
namespace {

constexpr std::string_view unknown = "ERROR";
constexpr std::string_view bad_format = "CLIENT_ERROR bad command line format";
constexpr std::string_view bad_exptime = "CLIENT_ERROR invalid exptime argument";
constexpr std::string_view bad_delta = "CLIENT_ERROR invalid numeric delta argument";
constexpr std::string_view bad_delete =
    "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]";

// False if there is none.
template <class Number>
[[nodiscard]] bool take(const std::optional<Number>& read, Number& into) noexcept {
  if (read) into = *read;
  return read.has_value();
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
    if (!take(exptime_in(exptime), out.exptime)) return wrong(bad_exptime);
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
  command out;
  if (!w.between(needed, needed + 1)) {
    out = wrong(unknown);
    out.takes = refused::session;
    return out;
  }
  out.how = how;
  out.quiet = w.end_with_noreply();
  out.key = w.at[0];
  out.takes = take(size_in(w.at[3]), out.size) ? refused::data : refused::session;
  if (out.key.size() > longest_key || !take(flags_in(w.at[1]), out.flags) ||
      !take(exptime_in(w.at[2]), out.exptime) || out.takes == refused::session ||
      (how == update::cas && !take(unsigned_in(w.at[4]), out.number)))
    out.error = bad_format;
  else
    out.what = verb::update;
  return out;
}

// incr, decr and touch: a key and a number.
template <class Number>
command parse_with_number(std::string_view rest, verb what, Number command::* number,
                          std::optional<Number> (*read)(std::string_view) noexcept,
                          std::string_view error) noexcept {
  const words w(rest);
  if (!w.between(2, 3)) return wrong(unknown);
  command out;
  out.quiet = w.end_with_noreply();
  out.key = w.at[0];
  if (out.key.size() > longest_key) return wrong(bad_format, out.quiet);
  if (!take(read(w.at[1]), out.*number)) return wrong(error, out.quiet);
  out.what = what;
  return out;
}

command parse_delete(std::string_view rest) noexcept {
  const words w(rest);
  if (!w.between(1, 3)) return wrong(unknown);
  command out;
  out.quiet = w.count > 1 && w.end_with_noreply();
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
  if (out.has_exptime && !take(exptime_in(w.at[0]), out.exptime)) return wrong(bad_exptime, out.quiet);
  out.what = verb::flush_all;
  return out;
}

command parse_verbosity(std::string_view rest) noexcept {
  const words w(rest);
  if (!w.between(1, 2)) return wrong(unknown);
  command out;
  out.quiet = w.end_with_noreply();
  if (!unsigned_in(w.at[0])) return wrong(bad_format, out.quiet);
  out.what = verb::verbosity;
  return out;
}

command parse_shutdown(std::string_view rest) noexcept {
  const words w(rest);
  command out;
  out.what = verb::shutdown;
  if (w.count > 1 || (w.count == 1 && w.at[0] != "graceful"))
    out.error = "CLIENT_ERROR invalid shutdown mode";
  return out;
}

// Not a mistake in this protocol, but a line of another one: the name of a header field, what no name of a
// command is made of, or the first line of an HTTP request. Hazard: a web page makes a browser send requests
// whose body it chooses.
bool is_foreign(std::string_view name, std::string_view rest) noexcept {
  const auto is_part_of_name = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  if (!std::ranges::all_of(name, is_part_of_name)) return true;
  const std::size_t end = rest.find_last_not_of(' ');
  if (end == std::string_view::npos) return false;
  rest = rest.substr(0, end + 1);
  return rest.substr(rest.find_last_of(' ') + 1).starts_with("HTTP/");
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
    case 2:
      if (name[0] != 'm') break;
      if (name[1] == 'n') return simple(verb::meta_noop);
      if (name[1] == 'e') return simple(verb::meta_debug, rest);
      if (rest.find_first_not_of(' ') == std::string_view::npos) {
        command out = wrong(unknown);
        if (name[1] == 's') out.takes = refused::session;
        return out;
      }
      if (name[1] == 'g') return simple(verb::meta_get, rest);
      if (name[1] == 's') return simple(verb::meta_set, rest);
      if (name[1] == 'd') return simple(verb::meta_remove, rest);
      if (name[1] == 'a') return simple(verb::meta_add, rest);
      break;
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
      if (name == "incr")
        return parse_with_number(rest, verb::incr, &command::number, unsigned_in, bad_delta);
      if (name == "decr")
        return parse_with_number(rest, verb::decr, &command::number, unsigned_in, bad_delta);
      if (name == "quit") return simple(verb::quit);
      break;
    default:
      if (name == "append") return parse_update(rest, update::append);
      if (name == "prepend") return parse_update(rest, update::prepend);
      if (name == "replace") return parse_update(rest, update::replace);
      if (name == "delete") return parse_delete(rest);
      if (name == "touch")
        return parse_with_number(rest, verb::touch, &command::exptime, exptime_in, bad_exptime);
      if (name == "flush_all") return parse_flush(rest);
      if (name == "stats") return simple(verb::stats, rest);
      if (name == "version") return simple(verb::version);
      if (name == "verbosity") return parse_verbosity(rest);
      if (name == "shutdown") return parse_shutdown(rest);
  }
  if (is_foreign(name, rest)) return simple(verb::foreign);
  return wrong(unknown);
}

}  // namespace cache
