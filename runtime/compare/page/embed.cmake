# cmake -D OUT=FILE -P embed.cmake: writes the page as a source file, so that a program needs no file of it.
file(READ ${CMAKE_CURRENT_LIST_DIR}/page.css style)
file(READ ${CMAKE_CURRENT_LIST_DIR}/index.html page)
string(REPLACE "/* the style */\n" "${style}" page "${page}")
file(WRITE ${OUT} "// Made by embed.cmake.
#include \"weir/compare/detail/page.hpp\"

namespace weir::compare {

std::string_view page_text() noexcept {
  return R\"page(${page})page\";
}

}  // namespace weir::compare
")
