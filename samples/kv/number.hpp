#pragma once
// kv: numbers in text, by the rules that clients know: no spaces, no plus, no leading zeros.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace kv {

// Nothing if `text` is not exactly what the number would be printed as, or is out of range.
[[nodiscard]] std::optional<std::int64_t> integer_of(std::string_view text) noexcept;

// Decimal or hexadecimal, with or without an exponent, or an infinity; nothing for anything else.
[[nodiscard]] std::optional<long double> real_of(std::string_view text) noexcept;

// Text of a number, on the stack.
template <std::size_t Size>
struct number_text {
  char digits[Size];
  std::size_t size;
  [[nodiscard]] std::string_view view() const noexcept { return {digits, size}; }
};
[[nodiscard]] number_text<24> text_of(std::int64_t value) noexcept;
// As few of 17 decimals as tell the value, and no exponent.
[[nodiscard]] number_text<5120> text_of(long double value) noexcept;

}  // namespace kv
