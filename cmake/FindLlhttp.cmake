# Finds llhttp, of which Debian ships the sources in node-llhttp. Defines Llhttp_FOUND, Llhttp_VERSION and
# Llhttp::llhttp, a static library that the project builds itself.
find_path(Llhttp_INCLUDE_DIR NAMES llhttp/llhttp.h PATHS /usr/share/include)
find_path(Llhttp_SOURCE_DIR NAMES llhttp.c PATHS /usr/share/llhttp)
if(Llhttp_INCLUDE_DIR)
  file(STRINGS ${Llhttp_INCLUDE_DIR}/llhttp/llhttp.h _llhttp_version REGEX "^#define LLHTTP_VERSION_(MAJOR|MINOR|PATCH) ")
  list(TRANSFORM _llhttp_version REPLACE "[^0-9]" "")
  list(JOIN _llhttp_version "." Llhttp_VERSION)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Llhttp REQUIRED_VARS Llhttp_SOURCE_DIR Llhttp_INCLUDE_DIR VERSION_VAR Llhttp_VERSION)
mark_as_advanced(Llhttp_INCLUDE_DIR Llhttp_SOURCE_DIR)

if(Llhttp_FOUND AND NOT TARGET Llhttp::llhttp)
  add_library(weir_llhttp STATIC ${Llhttp_SOURCE_DIR}/api.c ${Llhttp_SOURCE_DIR}/http.c ${Llhttp_SOURCE_DIR}/llhttp.c)
  add_library(Llhttp::llhttp ALIAS weir_llhttp)
  target_include_directories(weir_llhttp SYSTEM PUBLIC $<BUILD_INTERFACE:${Llhttp_INCLUDE_DIR}>)
  # Its sources include their header by its bare name.
  target_include_directories(weir_llhttp PRIVATE ${Llhttp_INCLUDE_DIR}/llhttp)
  target_compile_definitions(weir_llhttp PRIVATE LLHTTP_STRICT_MODE=1)
  set_target_properties(weir_llhttp PROPERTIES POSITION_INDEPENDENT_CODE ON)
endif()
