#pragma once
// base: the processor's instruction for CRC-32C, where it has one.

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace weir::detail {

#if defined(__x86_64__)

[[nodiscard]] inline bool has_crc_instruction() noexcept { return __builtin_cpu_supports("sse4.2") != 0; }

// Goes on from `crc`, without the complements at its beginning and end. Only if has_crc_instruction().
[[nodiscard, gnu::target("sse4.2")]] inline std::uint32_t crc_by_instruction(std::uint32_t crc,
                                                                             const char* bytes,
                                                                             std::size_t size) noexcept {
  std::uint64_t c = crc;
  for (; size >= 8; bytes += 8, size -= 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes, 8);
    c = __builtin_ia32_crc32di(c, word);
  }
  auto out = static_cast<std::uint32_t>(c);
  for (; size > 0; ++bytes, --size) out = __builtin_ia32_crc32qi(out, static_cast<unsigned char>(*bytes));
  return out;
}

#else

[[nodiscard]] constexpr bool has_crc_instruction() noexcept { return false; }
[[nodiscard]] inline std::uint32_t crc_by_instruction(std::uint32_t crc, const char*, std::size_t) noexcept {
  return crc;
}

#endif

}  // namespace weir::detail
