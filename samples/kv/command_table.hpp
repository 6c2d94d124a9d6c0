#pragma once
// kv: commands by their name.

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "command.hpp"

namespace kv {

class command_table {
 public:
  command_table();

  // Capital and small letters are the same. Null if there is none.
  [[nodiscard]] const command* find(std::string_view name) const noexcept;

  [[nodiscard]] std::span<const command> all() const noexcept { return all_; }

 private:
  static constexpr std::size_t longest_name = 16;
  static constexpr std::size_t places = 512;

  // A name in two words, so that it is compared at once.
  struct folded {
    std::uint64_t first;
    std::uint64_t second;
    std::size_t size;
    bool operator==(const folded&) const = default;
  };
  struct entry {
    folded name;
    const command* what = nullptr;
  };

  [[nodiscard]] static folded fold(std::string_view name) noexcept;
  [[nodiscard]] static std::size_t place_of(const folded& name) noexcept;

  std::vector<command> all_;
  std::array<entry, places> table_{};
};

}  // namespace kv
