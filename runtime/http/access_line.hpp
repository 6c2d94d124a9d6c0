#pragma once
// http: the text of a line of the access log.

#include <cstddef>
#include <ctime>
#include <string_view>

#include "weir/http/access_log.hpp"

namespace weir::http {

// Long parts are cut, with "..." behind them: a line has a limit, so that several processes can append to one
// file.
inline constexpr std::size_t longest_access_line = 4000;

// Writes a line of that size at most, with its '\n', and returns its end. `now`: as of CLOCK_REALTIME.
[[nodiscard]] char* put_access_line(char* to, access_format as, const access_entry& e,
                                    const ::timespec& now) noexcept;

// `text` as it stands between quotation marks: each `"`, `\`, control character and byte that is no ASCII as
// \xXX, as nginx does. At most `most` bytes, which there must be room for.
[[nodiscard]] char* put_escaped(char* to, std::string_view text, std::size_t most) noexcept;

// The same as of a JSON string: what is not UTF-8 is U+FFFD.
[[nodiscard]] char* put_json(char* to, std::string_view text, std::size_t most) noexcept;

}  // namespace weir::http
