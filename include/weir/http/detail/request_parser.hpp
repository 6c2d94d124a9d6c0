#pragma once
// http: bytes become a request, or the status that refuses them.

#include <string_view>

#include "weir/http/detail/head_scanner.hpp"
#include "weir/http/limits.hpp"
#include "weir/http/request.hpp"

namespace weir::http {

// The head of one request after the other. Strict: what could be read in two ways is refused.
// No I/O, and no memory of its own.
class request_parser {
 public:
  enum class state { incomplete, complete, failed };

  // `bytes` is what has come and was not consumed: the same as at the last call, and more. When it is
  // complete `into` refers to them. After a failure nothing that follows can be trusted: answer status() and
  // close.
  [[nodiscard]] state parse(std::string_view bytes, const limits& most, request& into) noexcept;

  // Bytes to consume of a head that is complete.
  [[nodiscard]] std::size_t size() const noexcept { return skipped_ + scanner_.size(); }
  [[nodiscard]] int status() const noexcept { return status_; }
  [[nodiscard]] const char* reason() const noexcept { return reason_; }

  // For the next request.
  void reset() noexcept { *this = request_parser(); }

 private:
  state fail(request& into, int status, const char* reason) noexcept;

  head_scanner scanner_;
  std::size_t skipped_ = 0;  // the empty line that some clients send behind a body
  bool looked_at_first_line_ = false;
  int status_ = 0;
  const char* reason_ = "";
};

// Of a request whose headers are there: how its body ends and what becomes of the connection. Returns 0, or
// the status that refuses it with its reason.
struct refusal {
  int status = 0;
  const char* reason = "";
};
[[nodiscard]] refusal read_framing(const request& r, framing& into) noexcept;

}  // namespace weir::http
