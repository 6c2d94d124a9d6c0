#pragma once
// http: bytes become a request, or the status that refuses them.

#include <string_view>

#include "weir/http/detail/head_scanner.hpp"
#include "weir/http/limits.hpp"
#include "weir/http/request.hpp"

namespace weir::http {

// Parses the heads of successive requests. Strict: a head that could be read in two ways is refused. Does no
// I/O and owns no memory.
class request_parser {
 public:
  enum class state { incomplete, complete, failed };

  // `bytes` is everything received and not consumed: the bytes of the last call, and more. When the head is
  // complete, `into` refers to them. After a failure the end of the request is unknown: answer status() and
  // close.
  [[nodiscard]] state parse(std::string_view bytes, const limits& most, request& into) noexcept;

  // Bytes of a complete head, to be consumed.
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

// A host name or address, with or without a port. It may be empty.
[[nodiscard]] bool is_host(std::string_view text) noexcept;

// How the body of a parsed head ends and whether the connection is kept. Returns status 0, or the status that
// refuses the request, with the reason.
struct refusal {
  int status = 0;
  const char* reason = "";
};
[[nodiscard]] refusal read_framing(const request& r, framing& into) noexcept;

}  // namespace weir::http
