#pragma once
// base: a program compiled with other Asio headers than the library does not link.

namespace weir {

// Problem: Asio's classes lie partly in the library and partly in the program, and their layout changes from
// one release to the next; a program that mixes two of them crashes at its first connection. The library
// defines `in_library` for its own ASIO_VERSION alone, and asio.hpp refers to the one of the program's.
template <int Version>
struct built_with_asio {
  static const char in_library;
};

}  // namespace weir
