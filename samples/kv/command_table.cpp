#include "command_table.hpp"

#include <cstring>

namespace kv {

command_table::command_table() {
  for (const auto& some : {string_commands(), number_commands(), bit_commands(), key_commands(),
                           expiry_commands(), server_commands(), client_commands()})
    all_.insert(all_.end(), some.begin(), some.end());
  for (const command& each : all_) {
    const folded name = fold(each.name);
    std::size_t place = place_of(name);
    while (table_[place].what != nullptr) place = (place + 1) % places;
    table_[place] = {name, &each};
  }
}

command_table::folded command_table::fold(std::string_view name) noexcept {
  std::array<std::uint64_t, 2> halves{};
  std::memcpy(halves.data(), name.data(), name.size());
  constexpr std::uint64_t small = 0x2020202020202020;
  return {halves[0] | small, halves[1] | small, name.size()};
}

std::size_t command_table::place_of(const folded& name) noexcept {
  const std::uint64_t mixed = (name.first ^ (name.second << 7)) * 0x9e3779b97f4a7c15;
  return mixed >> 55;
}

const command* command_table::find(std::string_view name) const noexcept {
  if (name.size() > longest_name || name.empty()) return nullptr;
  const folded wanted = fold(name);
  for (std::size_t place = place_of(wanted); table_[place].what != nullptr; place = (place + 1) % places)
    if (table_[place].name == wanted) return table_[place].what;
  return nullptr;
}

}  // namespace kv
