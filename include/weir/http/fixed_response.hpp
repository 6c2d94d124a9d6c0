#pragma once
// http: an answer that is the same for every request.

#include <span>
#include <string>
#include <string_view>

#include "weir/http/request.hpp"

namespace weir::http {

// Built once; sending it copies its bytes and the date.
// Thread: any; it is immutable.
class fixed_response {
 public:
  // `status` is 200 to 999. Errors: std::invalid_argument for a header that would break the message, or
  // another status.
  fixed_response(int status, std::string_view content_type, std::string_view body,
                 std::span<const header> more = {});

  [[nodiscard]] std::string_view text() const noexcept { return text_; }
  [[nodiscard]] std::size_t date_at() const noexcept { return date_at_; }
  [[nodiscard]] int status() const noexcept { return status_; }
  // The headers between the date and the empty line; and the body.
  [[nodiscard]] std::string_view headers() const noexcept {
    return text().substr(headers_at_, body_at_ - 2 - headers_at_);
  }
  [[nodiscard]] std::string_view body() const noexcept { return text().substr(body_at_); }

 private:
  int status_;
  std::string text_;
  std::size_t date_at_;
  std::size_t headers_at_;
  std::size_t body_at_;
};

}  // namespace weir::http
