#pragma once
// http: where the head of a message ends, found before it is parsed.

#include <cstddef>
#include <string_view>

namespace weir::http {

// Problem: requests can be smuggled where two parsers disagree on the end of a line. Here a line ends with CR
// LF only; a head with another control character than these and TAB, or with a line that continues the one
// before it, is refused. Each byte is scanned once, in whatever pieces it comes.
class head_scanner {
 public:
  enum class state { incomplete, complete, invalid };

  // `bytes` is the head as far as it has come: the same bytes as at the last call, and more.
  [[nodiscard]] state scan(std::string_view bytes) noexcept;

  // Bytes of the request line with its CR LF; 0 while it is not complete.
  [[nodiscard]] std::size_t first_line() const noexcept { return first_line_; }
  // Lines that are complete, the first one included.
  [[nodiscard]] std::size_t lines() const noexcept { return lines_; }
  // Bytes of the head, with the empty line at its end, once it is complete.
  [[nodiscard]] std::size_t size() const noexcept { return at_; }

 private:
  std::size_t at_ = 0;    // everything before it has been looked at
  std::size_t line_ = 0;  // where the present line starts
  std::size_t first_line_ = 0;
  std::size_t lines_ = 0;
};

}  // namespace weir::http
