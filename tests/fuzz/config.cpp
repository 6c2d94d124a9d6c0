// Whatever stands in a configuration file: settings, or an error that names the place.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "weir/config/detail/command_line.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto s = weir::parse_config({reinterpret_cast<const char*>(data), size}, "fuzz.toml");
    // What is printed must be read as the same.
    if (!(weir::parse_config(weir::print_config(s), "printed.toml") == s)) std::abort();
  } catch (const weir::config_error& e) {
    if (e.messages().empty()) std::abort();
  }
  return 0;
}
