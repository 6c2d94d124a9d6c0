#pragma once
// http: the parts of an answer's head.

#include <span>
#include <string_view>

#include "weir/http/request.hpp"

namespace weir::http {

// Errors: std::invalid_argument for a status that has no name.
[[nodiscard]] std::string_view line_of(int status);

// Errors: std::invalid_argument for a character that would end the line, or a malformed name.
void check_headers(std::string_view content_type, std::span<const header> more);

[[nodiscard]] constexpr bool has_body(int status) noexcept {
  return status >= 200 && status != 204 && status != 304;
}

}  // namespace weir::http
