# cmake -D OUT=FILE -D SCRIPT=chart.min.js -D LICENCE=FILE -P embed.cmake: writes the page as a source file, so that a
# program needs no file of it. The library of the charts goes in with its licence, and compressed: it is most of the page.
file(READ ${SCRIPT} library)
file(READ ${LICENCE} licence)
string(REPLACE "*/" "* /" licence "${licence}")
file(WRITE ${OUT}.js "/*\n${licence}*/\n")
file(APPEND ${OUT}.js "${library}")
execute_process(COMMAND gzip -9nc ${OUT}.js OUTPUT_FILE ${OUT}.js.gz COMMAND_ERROR_IS_FATAL ANY)

set(arrays "")
set(rows "")
function(embed path type file compressed)
  string(MAKE_C_IDENTIFIER "bytes_of${path}" name)
  file(READ ${file} bytes HEX)
  string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
  set(arrays "${arrays}constexpr unsigned char ${name}[] = {\n${bytes}};\n" PARENT_SCOPE)
  set(rows "${rows}    {\"${path}\", \"${type}\", text_of(${name}), ${compressed}},\n" PARENT_SCOPE)
endfunction()
set(here ${CMAKE_CURRENT_LIST_DIR})
embed(/ "text/html; charset=utf-8" ${here}/index.html false)
embed(/page.css "text/css; charset=utf-8" ${here}/page.css false)
embed(/page.mjs "text/javascript; charset=utf-8" ${here}/page.mjs false)
embed(/parts.mjs "text/javascript; charset=utf-8" ${here}/parts.mjs false)
embed(/charts.mjs "text/javascript; charset=utf-8" ${here}/charts.mjs false)
embed(/figures.mjs "text/javascript; charset=utf-8" ${here}/figures.mjs false)
embed(/chart.js "text/javascript; charset=utf-8" ${OUT}.js.gz true)

file(WRITE ${OUT} "// Made by embed.cmake.
#include \"weir/admin/detail/page.hpp\"

namespace weir::admin {
namespace {

${arrays}
template <std::size_t N>
std::string_view text_of(const unsigned char (&bytes)[N]) noexcept {
  return {reinterpret_cast<const char*>(bytes), N};
}

}  // namespace

std::span<const page_file> page_files() noexcept {
  static const page_file all[] = {
${rows}  };
  return all;
}

}  // namespace weir::admin
")
