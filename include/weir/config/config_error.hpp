#pragma once
// config: the errors of a configuration.

#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace weir {

// Every error that was found, not only the first. Each message starts with its place
// ("weir.toml:3: limits.connections: ...", "--model: ..."); what() holds all messages, one per line.
class config_error : public std::runtime_error {
 public:
  explicit config_error(std::vector<std::string> messages);

  [[nodiscard]] std::span<const std::string> messages() const noexcept { return messages_; }

 private:
  std::vector<std::string> messages_;
};

}  // namespace weir
