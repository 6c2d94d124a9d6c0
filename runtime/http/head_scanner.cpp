#include "weir/http/detail/head_scanner.hpp"

#include <bit>
#include <cstdint>
#include <cstring>

namespace weir::http {

namespace {

// The first control character at or behind `from`, eight bytes at a time.
std::size_t find_control(std::string_view text, std::size_t from) noexcept {
  if constexpr (std::endian::native == std::endian::little) {
    constexpr std::uint64_t ones = ~std::uint64_t(0) / 255;
    while (from + 8 <= text.size()) {
      std::uint64_t word;
      std::memcpy(&word, text.data() + from, 8);
      // The lowest byte that is marked is below 0x20; those above it may be marked by its borrow.
      const std::uint64_t below = (word - ones * 0x20) & ~word & (ones * 0x80);
      if (below != 0) return from + static_cast<std::size_t>(std::countr_zero(below)) / 8;
      from += 8;
    }
  }
  while (from < text.size() && static_cast<unsigned char>(text[from]) >= 0x20) ++from;
  return from;
}

}  // namespace

head_scanner::state head_scanner::scan(std::string_view bytes) noexcept {
  for (;;) {
    at_ = find_control(bytes, at_);
    if (at_ == bytes.size()) return state::incomplete;
    if (bytes[at_] == '\t') {
      ++at_;
      continue;
    }
    if (bytes[at_] != '\r') return state::invalid;
    if (at_ + 1 == bytes.size()) return state::incomplete;
    if (bytes[at_ + 1] != '\n') return state::invalid;
    const bool is_empty = at_ == line_;
    const char first = bytes[line_];
    at_ += 2;
    if (is_empty) return lines_ == 0 ? state::invalid : state::complete;
    if (first == ' ' || first == '\t') return state::invalid;
    if (++lines_ == 1) first_line_ = at_;
    line_ = at_;
  }
}

}  // namespace weir::http
