#pragma once
// http: the parts of an answer's head.

#include <array>
#include <span>
#include <string_view>

#include "weir/http/request.hpp"
#include "weir/http/status.hpp"

namespace weir::http {

// The status line of an answer.
class status_text {
 public:
  // Errors: std::invalid_argument if it is not 100 to 999.
  explicit status_text(int status) : text_(status_line(status)) {
    if (text_.empty()) [[unlikely]]
      compose(status);
  }
  status_text(const status_text&) = delete;
  status_text& operator=(const status_text&) = delete;
  ~status_text() = default;

  [[nodiscard]] std::string_view text() const noexcept { return text_; }

 private:
  void compose(int status);

  std::string_view text_;
  std::array<char, 16> own_;  // of a status without a reason
};

// Errors: std::invalid_argument for a character that would end the line, or a malformed name.
void check_headers(std::string_view content_type, std::span<const header> more);

[[nodiscard]] constexpr bool has_body(int status) noexcept {
  return status >= 200 && status != 204 && status != 304;
}

}  // namespace weir::http
