#include "weir/http/detail/path.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace weir::http {

namespace {

struct ending {
  std::string_view name;
  std::string_view type;
};

// Of Debian's list of media types: cmake/MediaTypes.cmake.
constexpr ending endings[]{
#include "media_types.inc"
};

// What that list does not know, or knows as something that no browser asks for.
constexpr ending of_the_web[]{
    {"map", "application/json"}, {"toml", "application/toml"}, {"ts", "video/mp2t"}};

static_assert(std::ranges::is_sorted(endings, {}, &ending::name));

}  // namespace

std::optional<std::string> file_path(std::string_view path) {
  path.remove_prefix(std::min(path.find_first_not_of('/'), path.size()));
  std::string out;
  out.reserve(path.size());
  while (!path.empty()) {
    if (path[0] != '%') {
      out += path[0];
      path.remove_prefix(1);
      continue;
    }
    unsigned char decoded = 0;
    const char* const digits = path.data() + 1;
    if (path.size() < 3 || std::from_chars(digits, digits + 2, decoded, 16).ptr != digits + 2)
      return std::nullopt;
    if (decoded == 0 || decoded == '/') return std::nullopt;
    out += static_cast<char>(decoded);
    path.remove_prefix(3);
  }
  return out;
}

std::string_view content_type_of(std::string_view path) noexcept {
  constexpr std::string_view unknown = "application/octet-stream";
  const std::string_view name = path.substr(path.rfind('/') + 1);
  const std::size_t dot = name.rfind('.');
  if (dot == name.npos) return unknown;
  std::array<char, 16> lower{};
  const std::string_view last = name.substr(dot + 1);
  if (last.size() > lower.size()) return unknown;
  std::ranges::transform(last, lower.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  const std::string_view wanted(lower.data(), last.size());
  for (const ending& e : of_the_web)
    if (e.name == wanted) return e.type;
  const auto at = std::ranges::lower_bound(endings, wanted, {}, &ending::name);
  return at != std::end(endings) && at->name == wanted ? at->type : unknown;
}

}  // namespace weir::http
