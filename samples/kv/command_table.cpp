#include "command_table.hpp"

#include <cstring>

namespace kv {

command_table::command_table() {
  for (const auto& some :
       {string_commands(), number_commands(), bit_commands(), key_commands(), expiry_commands(),
        transaction_commands(), pubsub_commands(), connection_commands(), client_commands(),
        config_commands(), command_commands(), server_commands()})
    all_.insert(all_.end(), some.begin(), some.end());
  for (const command& each : all_) {
    const folded name = fold(each.name);
    std::size_t place = place_of(name);
    while (table_[place].what != nullptr) place = (place + 1) % places;
    table_[place] = {name, &each};
  }
}

// `name` has 1 to longest_name bytes. Loads that overlap instead of a loop.
command_table::folded command_table::fold(std::string_view name) noexcept {
  const auto load = [&name]<class Word>(Word word, std::size_t at) {
    std::memcpy(&word, name.data() + at, sizeof word);
    return std::uint64_t{word};
  };
  const std::size_t size = name.size();
  std::uint64_t first = 0;
  std::uint64_t second = 0;
  if (size > 8) {
    first = load(std::uint64_t{}, 0);
    second = load(std::uint64_t{}, size - 8) >> (8 * (16 - size));
  } else if (size >= 4) {
    first = load(std::uint32_t{}, 0) | load(std::uint32_t{}, size - 4) << (8 * (size - 4));
  } else {
    for (const std::size_t at : {std::size_t{0}, size / 2, size - 1})
      first |= load(std::uint8_t{}, at) << (8 * at);
  }
  constexpr std::uint64_t small = 0x2020202020202020;
  return {first | small, second | small, size};
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
