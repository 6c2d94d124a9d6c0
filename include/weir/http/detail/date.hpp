#pragma once
// http: dates as HTTP writes them.

#include <ctime>
#include <optional>
#include <string_view>

namespace weir::http {

inline constexpr std::size_t date_size = 29;  // "Sun, 06 Nov 1994 08:49:37 GMT"

// Writes `date_size` characters.
void write_date(char* to, std::time_t when) noexcept;

// The same for now. The text is kept for each thread, and made once a second.
void write_date_of_now(char* to) noexcept;

// In the form that write_date() writes; the two that are obsolete are not read.
[[nodiscard]] std::optional<std::time_t> parse_date(std::string_view text) noexcept;

}  // namespace weir::http
