#pragma once
// config: numbers, sizes and durations as people write them.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace weir {

// A value that does not fit is the largest or smallest that does: beyond every range.

// "16", nothing else around it.
[[nodiscard]] std::optional<std::int64_t> parse_integer(std::string_view text) noexcept;

// "16384", "16KiB", "1.5MiB", "1GiB" in bytes. KB and K are refused: they may mean 1000.
[[nodiscard]] std::optional<std::int64_t> parse_size(std::string_view text) noexcept;
[[nodiscard]] std::string print_size(std::int64_t bytes);

// "250ms", "60s", "1.5s", "1h30m": units from the largest to the smallest. A bare number is none: its unit
// would be a guess. A part of a millisecond is none: it would be lost.
[[nodiscard]] std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) noexcept;
[[nodiscard]] std::string print_duration(std::chrono::milliseconds d);

// Permission bits, "0600" or "600".
[[nodiscard]] std::optional<std::uint32_t> parse_mode(std::string_view text) noexcept;

}  // namespace weir
