#include "head_text.hpp"

#include <fmt/format.h>

#include <stdexcept>

#include "weir/http/field_text.hpp"

namespace weir::http {

void status_text::compose(int status) {
  if (status < 100 || status > 999) throw std::invalid_argument(fmt::format("HTTP has no status {}", status));
  text_ = {own_.data(), fmt::format_to(own_.data(), "HTTP/1.1 {} \r\n", status)};
}

void check_headers(std::string_view content_type, std::span<const header> more) {
  if (!is_field_value(content_type)) throw std::invalid_argument("a content type with a control character");
  for (const header& h : more)
    if (!is_token(h.name) || !is_field_value(h.value))
      throw std::invalid_argument("a header with a character that it may not have");
}

}  // namespace weir::http
