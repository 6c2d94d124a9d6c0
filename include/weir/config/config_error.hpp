#pragma once
// config: what is wrong with what the user asked for.

#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace weir {

// Everything that was found wrong, not only the first. Each message starts with the place to mend
// ("weir.toml:3: limits.connections: ...", "--model: ..."); what() is all of them, one per line.
class config_error : public std::runtime_error {
 public:
  explicit config_error(std::vector<std::string> messages);

  [[nodiscard]] std::span<const std::string> messages() const noexcept { return messages_; }

 private:
  std::vector<std::string> messages_;
};

}  // namespace weir
