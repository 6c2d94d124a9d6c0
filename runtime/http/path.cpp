#include "weir/http/detail/path.hpp"

#include <algorithm>
#include <charconv>

#include "weir/http/field_text.hpp"

namespace weir::http {

namespace {

struct ending {
  std::string_view name;
  std::string_view type;
};

constexpr ending endings[]{
    {"avif", "image/avif"},
    {"bin", "application/octet-stream"},
    {"css", "text/css; charset=utf-8"},
    {"csv", "text/csv; charset=utf-8"},
    {"gif", "image/gif"},
    {"gz", "application/gzip"},
    {"htm", "text/html; charset=utf-8"},
    {"html", "text/html; charset=utf-8"},
    {"ico", "image/x-icon"},
    {"jpeg", "image/jpeg"},
    {"jpg", "image/jpeg"},
    {"js", "text/javascript; charset=utf-8"},
    {"json", "application/json"},
    {"map", "application/json"},
    {"md", "text/markdown; charset=utf-8"},
    {"mjs", "text/javascript; charset=utf-8"},
    {"mp3", "audio/mpeg"},
    {"mp4", "video/mp4"},
    {"ogg", "audio/ogg"},
    {"otf", "font/otf"},
    {"pdf", "application/pdf"},
    {"png", "image/png"},
    {"svg", "image/svg+xml"},
    {"tar", "application/x-tar"},
    {"toml", "application/toml"},
    {"ttf", "font/ttf"},
    {"txt", "text/plain; charset=utf-8"},
    {"wasm", "application/wasm"},
    {"wav", "audio/wav"},
    {"webm", "video/webm"},
    {"webp", "image/webp"},
    {"woff", "font/woff"},
    {"woff2", "font/woff2"},
    {"xml", "application/xml"},
    {"zip", "application/zip"},
};

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
  const std::string_view name = path.substr(path.rfind('/') + 1);
  const std::size_t dot = name.rfind('.');
  if (dot != name.npos)
    for (const ending& e : endings)
      if (same_name(e.name, name.substr(dot + 1))) return e.type;
  return "application/octet-stream";
}

}  // namespace weir::http
