#pragma once
// admin: the live page, which is a part of the program.

#include <cstddef>
#include <span>
#include <string_view>

namespace weir::admin {

struct page_file {
  std::string_view path;  // as it is asked for
  std::string_view type;
  std::string_view bytes;
  bool is_gzip;
};

// What a browser needs to show the page, "/" among it. It holds no figures: the page asks for /status. Its
// source is runtime/admin/page; the library that draws its charts is Debian's libjs-chart.js.
[[nodiscard]] std::span<const page_file> page_files() noexcept;

}  // namespace weir::admin
