#pragma once
// http: status codes, and the exception that becomes one.

#include <stdexcept>
#include <string>
#include <string_view>

namespace weir::http {

// "Not Found"; empty for an unknown code.
[[nodiscard]] std::string_view reason_of(int status) noexcept;

// "HTTP/1.1 404 Not Found\r\n"; empty for an unknown code, whose line has no reason.
[[nodiscard]] std::string_view status_line(int status) noexcept;

// Thrown by a handler before it has answered: the client gets this status and the text.
class error : public std::runtime_error {
 public:
  explicit error(int code, std::string_view text = {})
      : std::runtime_error(std::string(text.empty() ? reason_of(code) : text)), status_(code) {}
  [[nodiscard]] int status() const noexcept { return status_; }

 private:
  int status_;
};

}  // namespace weir::http
