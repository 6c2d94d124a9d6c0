#pragma once
// compare: the checksum of a block of a recording.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "weir/base/detail/crc_instruction.hpp"

namespace weir::recording {

namespace detail {

// Eight bytes at a time: table k is the effect of a byte that k bytes follow.
[[nodiscard]] constexpr std::array<std::array<std::uint32_t, 256>, 8> make_crc_tables() noexcept {
  std::array<std::array<std::uint32_t, 256>, 8> t{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = (c >> 1) ^ ((c & 1) != 0 ? 0x82f6'3b78U : 0U);
    t[0][i] = c;
  }
  for (std::size_t k = 1; k < 8; ++k)
    for (std::size_t i = 0; i < 256; ++i) t[k][i] = (t[k - 1][i] >> 8) ^ t[0][t[k - 1][i] & 0xff];
  return t;
}

inline constexpr auto crc_tables = make_crc_tables();

// Goes on from `crc`, without the complements at its beginning and end.
[[nodiscard]] inline std::uint32_t crc_by_tables(std::uint32_t crc, const char* bytes,
                                                 std::size_t size) noexcept {
  const auto& t = crc_tables;
  for (; size >= 8; bytes += 8, size -= 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes, 8);
    word ^= crc;
    crc = 0;
    for (std::size_t k = 0; k < 8; ++k) crc ^= t[7 - k][(word >> (8 * k)) & 0xff];
  }
  for (; size > 0; ++bytes, --size)
    crc = (crc >> 8) ^ t[0][(crc ^ static_cast<unsigned char>(*bytes)) & 0xff];
  return crc;
}

}  // namespace detail

// CRC-32C (Castagnoli) of the bytes, little endian.
[[nodiscard]] inline std::uint32_t crc32c(const char* bytes, std::size_t size) noexcept {
  constexpr std::uint32_t begin = 0xffff'ffffU;
  return ~(weir::detail::has_crc_instruction() ? weir::detail::crc_by_instruction(begin, bytes, size)
                                               : detail::crc_by_tables(begin, bytes, size));
}

}  // namespace weir::recording
