#pragma once
// config: what a misspelt word was probably meant to be.

#include <span>
#include <string>
#include <string_view>

namespace weir {

// "; did you mean "limits.connections"?" if one of `candidates` is near to `wrong`, otherwise empty.
[[nodiscard]] std::string suggestion(std::string_view wrong, std::span<const std::string> candidates);

}  // namespace weir
