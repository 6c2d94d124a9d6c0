# Finds standalone Asio, for which Debian ships no CMake package. Defines Asio_FOUND, Asio_VERSION and Asio::asio.
find_path(Asio_INCLUDE_DIR NAMES asio/version.hpp)
if(Asio_INCLUDE_DIR)
  file(STRINGS ${Asio_INCLUDE_DIR}/asio/version.hpp _asio_version REGEX "^#define ASIO_VERSION [0-9]+")
  string(REGEX MATCH "[0-9]+" _asio_version "${_asio_version}")
  math(EXPR _asio_major "${_asio_version} / 100000")
  math(EXPR _asio_minor "${_asio_version} / 100 % 1000")
  math(EXPR _asio_patch "${_asio_version} % 100")
  set(Asio_VERSION ${_asio_major}.${_asio_minor}.${_asio_patch})
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Asio REQUIRED_VARS Asio_INCLUDE_DIR VERSION_VAR Asio_VERSION)
mark_as_advanced(Asio_INCLUDE_DIR)

if(Asio_FOUND AND NOT TARGET Asio::asio)
  find_package(Threads REQUIRED)
  add_library(Asio::asio INTERFACE IMPORTED)
  target_include_directories(Asio::asio SYSTEM INTERFACE ${Asio_INCLUDE_DIR})
  target_compile_definitions(Asio::asio INTERFACE ASIO_STANDALONE)
  # Or Asio 1.22 decides by what was included before it, and one file frees with delete what another took with malloc.
  target_compile_definitions(Asio::asio INTERFACE ASIO_HAS_STD_ALIGNED_ALLOC=1)
  # clang does not announce coroutines to Asio 1.22 by itself.
  target_compile_definitions(Asio::asio INTERFACE $<$<CXX_COMPILER_ID:Clang>:ASIO_HAS_CO_AWAIT=1;ASIO_HAS_STD_COROUTINE=1>)
  target_link_libraries(Asio::asio INTERFACE Threads::Threads)
endif()
