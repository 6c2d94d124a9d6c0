#pragma once
// dump: a list of JSON.

#include <string>
#include <utility>

namespace weir::dump {

template <class List, class Write>
void write_list(std::string& out, const List& all, Write write) {
  out += '[';
  bool first = true;
  for (const auto& each : all) {
    if (!std::exchange(first, false)) out += ',';
    write(each);
  }
  out += ']';
}

}  // namespace weir::dump
