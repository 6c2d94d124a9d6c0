#pragma once
// kv: patterns as KEYS and SCAN have them.

#include <string_view>

namespace kv {

// `*`, `?`, `[abc]`, `[^a-z]`, and `\` before what is meant as it stands. The time that it takes grows with
// the product of both lengths at worst, not beyond.
[[nodiscard]] bool matches(std::string_view pattern, std::string_view text) noexcept;

}  // namespace kv
