#pragma once
// http: what the heads of answers are made of.

#include <span>
#include <string_view>

#include "weir/http/request.hpp"

namespace weir::http {

// Errors: std::invalid_argument for a status that has no name.
[[nodiscard]] std::string_view line_of(int status);

// Errors: std::invalid_argument for what would end a line, or is no name.
void check_headers(std::string_view content_type, std::span<const header> more);

[[nodiscard]] constexpr bool has_body(int status) noexcept {
  return status >= 200 && status != 204 && status != 304;
}

}  // namespace weir::http
