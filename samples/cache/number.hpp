#pragma once
// cache: numbers in text as memcached reads them, that is as C does: with a sign, and up to a white space.

#include <cstdint>
#include <optional>
#include <string_view>

namespace cache {

// Nothing if it is none, or beyond 64 bits.
[[nodiscard]] std::optional<std::int64_t> signed_in(std::string_view word) noexcept;
// The same, and "-1" is 18446744073709551615 for C but no number here.
[[nodiscard]] std::optional<std::uint64_t> unsigned_in(std::string_view word) noexcept;

// An exptime: what is beyond 32 bits is cut off.
[[nodiscard]] std::optional<std::int64_t> exptime_in(std::string_view word) noexcept;
// Flags of an item: likewise.
[[nodiscard]] std::optional<std::uint32_t> flags_in(std::string_view word) noexcept;
// The size of a value: likewise, and then at most 2^31-3.
[[nodiscard]] std::optional<std::uint32_t> size_in(std::string_view word) noexcept;

}  // namespace cache
