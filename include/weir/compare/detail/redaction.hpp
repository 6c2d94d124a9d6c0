#pragma once
// compare: values of HTTP's headers that a recording must not hold.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weir::recording {

// The stream of one direction. What follows one of the names at the beginning of a line becomes
// as many "x", so that lengths and framing stay. It knows no more of HTTP: a line of a body that looks so is
// redacted as well, and a protocol that is not HTTP has such lines by chance only.
class redaction {
 public:
  // `names` outlives it, in small letters.
  explicit redaction(const std::vector<std::string>& names) noexcept;

  // Appends `bytes`, redacted, however they are split. Errors: std::bad_alloc.
  void append(std::string& to, std::string_view bytes);

 private:
  enum class state : unsigned char { name, value, hidden, line_end };

  [[nodiscard]] std::size_t read_name(std::string_view text, std::size_t at);
  [[nodiscard]] bool may_be_hidden(std::string_view line) const noexcept;
  [[nodiscard]] bool may_begin_hidden(char c) const noexcept {
    return ((first_letters_ >> (static_cast<unsigned char>(c) & 31)) & 1) != 0;
  }
  [[nodiscard]] bool is_hidden(std::string_view name) const noexcept;

  const std::vector<std::string>& names_;
  std::uint32_t first_letters_ = 0;  // bits, by the low five bits of a letter
  std::string name_;                 // of the line, where its beginning came before
  state now_ = state::name;
};

// Of the settings.
[[nodiscard]] std::vector<std::string> in_small_letters(std::vector<std::string> names);

}  // namespace weir::recording
