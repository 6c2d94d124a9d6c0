#pragma once
// http: decodes a chunked body.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace weir::http {

// Strict: a size is 1 to 16 hexadecimal digits, followed by CR LF or by extensions, ";name" or ";name=value"
// with a token or a quoted string and without spaces; lines end with CR LF. All extensions of a body together
// have at most most_extensions bytes, all trailers most_trailers. Both are checked and dropped.
class chunk_decoder {
 public:
  enum class state : std::uint8_t { more, done, failed };

  static constexpr std::uint16_t most_extensions = 16384;
  static constexpr std::uint16_t most_trailers = 8192;

  struct piece {
    std::size_t consumed = 0;  // bytes of the input that have been processed
    std::string_view data;     // in the input
    chunk_decoder::state state = state::more;
  };

  // Decodes from the front of `bytes`, at most one contiguous part of the data. If nothing is consumed, it
  // needs more bytes.
  [[nodiscard]] piece take(std::string_view bytes) noexcept;

 private:
  enum class at : std::uint8_t {
    size_start,
    size,
    extension_start,
    extension_name,
    value_start,
    value,
    quoted,
    escaped,
    quoted_end,
    size_end,
    data,
    data_end,
    data_end_lf,
    trailer_start,
    trailer,
    trailer_end,
    last_lf,
    done,
    failed
  };
  void step(unsigned char c) noexcept;
  void step_extension(unsigned char c) noexcept;

  at at_ = at::size_start;
  std::uint8_t digits_ = 0;
  std::uint16_t extensions_ = 0;  // bytes so far
  std::uint16_t trailers_ = 0;
  std::uint64_t left_ = 0;  // of the present chunk
};

}  // namespace weir::http
