#pragma once
// dump: text of JSON.

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

namespace weir::dump {

[[nodiscard]] inline std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      (out += '\\') += c;
    else if (static_cast<unsigned char>(c) < 0x20)
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    else
      out += c;
  }
  return out += '"';
}

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
