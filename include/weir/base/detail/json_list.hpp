#pragma once
// base: a list of JSON.

#include <cstddef>
#include <string>
#include <type_traits>

namespace weir {

// Calls `write` for each element, which appends it to `out`. A `write` that returns false has left its
// element out, whatever it has appended.
template <class List, class Write>
void write_list(std::string& out, const List& all, Write write) {
  out += '[';
  bool first = true;
  for (const auto& each : all) {
    const std::size_t before = out.size();
    if (!first) out += ',';
    if constexpr (std::is_void_v<decltype(write(each))>) {
      write(each);
    } else if (!write(each)) {
      out.resize(before);
      continue;
    }
    first = false;
  }
  out += ']';
}

}  // namespace weir
