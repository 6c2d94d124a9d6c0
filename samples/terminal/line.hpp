#pragma once
// chat and cart: lines that people type, and that are shown to others.

#include <string>
#include <string_view>

namespace terminal {

// A line without the return that telnet sends before its end.
[[nodiscard]] std::string_view without_return(std::string_view line) noexcept;

// Whether a terminal only shows it: UTF-8 without control characters.
[[nodiscard]] bool is_printable(std::string_view text) noexcept;

// What is not printable becomes a question mark. Hazard: control characters make a terminal do what they say.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace terminal
