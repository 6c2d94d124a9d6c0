#pragma once
// http: dates in the form of HTTP.

#include <ctime>
#include <optional>
#include <string_view>

namespace weir::http {

inline constexpr std::size_t date_size = 29;  // "Sun, 06 Nov 1994 08:49:37 GMT"

// Writes `date_size` characters.
void write_date(char* to, std::time_t when) noexcept;

// The present date. Each thread caches the text and formats it once a second.
void write_date_of_now(char* to) noexcept;

// Reads the form that write_date() writes, and the two obsolete ones of RFC 850 and asctime(3).
[[nodiscard]] std::optional<std::time_t> parse_date(std::string_view text) noexcept;

}  // namespace weir::http
