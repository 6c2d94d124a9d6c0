#include "command.hpp"

#include <charconv>
#include <optional>

#include <fmt/format.h>

#include "terminal/line.hpp"

namespace cart {
namespace {

// A number of things, and nothing else: "3kg" is none. Nothing if it is none.
std::optional<long> count_in(std::string_view word) {
  long count = 0;
  const char* const end = word.data() + word.size();
  const auto [stopped, error] = std::from_chars(word.data(), end, count);
  if (error != std::errc() || stopped != end || count <= 0) return std::nullopt;
  return count;
}

}  // namespace

command parse(std::string_view line) {
  if (line == "show") return {command::kind::show};
  if (line == "empty") return {command::kind::empty};
  if (line == "ready") return {command::kind::ready};
  if (!line.starts_with("add ")) return {command::kind::unknown};
  line.remove_prefix(4);
  const std::size_t space = line.rfind(' ');
  const auto count = count_in(space == line.npos ? std::string_view() : line.substr(space + 1));
  if (space == 0 || !count || !terminal::is_printable(line)) return {command::kind::wrong_add};
  return {command::kind::add, std::string(line.substr(0, space)), *count};
}

std::string text_of(const items& all) {
  std::string out;
  for (const auto& [item, count] : all) out += fmt::format("{} {}\n", item, count);
  return out + ".\n";
}

}  // namespace cart
