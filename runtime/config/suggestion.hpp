#pragma once
// config: what a misspelt word, or the word of another server, was probably meant to be.

#include <span>
#include <string>
#include <string_view>

namespace weir {

// "; did you mean "limits.connections"?" if one of `candidates` is near to `wrong`, otherwise empty.
[[nodiscard]] std::string suggestion(std::string_view wrong, std::span<const std::string> candidates);

// What other servers call a thing that weir calls otherwise: the text that leads to weir's option and to its
// key.
struct foreign_word {
  std::string_view word;
  std::string_view option;
  std::string_view key;
};

// Null for a word that is none. Leading dashes count for nothing.
[[nodiscard]] const foreign_word* find_foreign_word(std::string_view word) noexcept;

}  // namespace weir
