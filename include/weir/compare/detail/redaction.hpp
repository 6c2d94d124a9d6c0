#pragma once
// compare: values of HTTP's headers that a recording must not hold.

#include <string>
#include <string_view>
#include <vector>

namespace weir::recording {

// The stream of one direction. The value of each line that begins with one of the names and a colon becomes
// as many "x", so that lengths and framing stay. It knows no more of HTTP: a line of a body that looks so is
// redacted as well, and a protocol that is not HTTP has such lines by chance only.
class redaction {
 public:
  // `names` outlives it, in small letters.
  explicit redaction(const std::vector<std::string>& names) noexcept : names_(names) {}

  // Appends `bytes`, redacted, however they are split. Errors: std::bad_alloc.
  void append(std::string& to, std::string_view bytes);

 private:
  enum class state : unsigned char { name, value, hidden, line_end };

  [[nodiscard]] std::size_t read_name(std::string_view bytes);

  const std::vector<std::string>& names_;
  std::string name_;  // of the line, as far as it has come
  state now_ = state::name;
};

// Of the settings.
[[nodiscard]] std::vector<std::string> in_small_letters(std::vector<std::string> names);

}  // namespace weir::recording
