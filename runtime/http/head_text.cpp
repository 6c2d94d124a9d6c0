#include "head_text.hpp"

#include <fmt/format.h>

#include <stdexcept>

#include "weir/http/field_text.hpp"
#include "weir/http/status.hpp"

namespace weir::http {

std::string_view line_of(int status) {
  const std::string_view line = status_line(status);
  if (line.empty()) throw std::invalid_argument(fmt::format("HTTP has no status {}", status));
  return line;
}

void check_headers(std::string_view content_type, std::span<const header> more) {
  if (!is_field_value(content_type)) throw std::invalid_argument("a content type with a control character");
  for (const header& h : more)
    if (!is_token(h.name) || !is_field_value(h.value))
      throw std::invalid_argument("a header with a character that it may not have");
}

}  // namespace weir::http
