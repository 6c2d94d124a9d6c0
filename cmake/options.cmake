# What a build of weir may vary, and the warnings that every target of the project is built with.
option(WEIR_BUILD_SAMPLES "Build the sample servers" ${PROJECT_IS_TOP_LEVEL})
option(WEIR_BUILD_TESTS "Build the tests" ${PROJECT_IS_TOP_LEVEL})
option(WEIR_BUILD_BENCH "Build the benchmarks and the peers that they compare with" OFF)
option(WEIR_BUILD_FUZZ "Build the fuzz targets; needs clang and a sanitizer with fuzzer-no-link" OFF)
option(WEIR_POOLS "Recycle coroutine frames and chunks; off lets sanitizers see every use after free" ON)
set(WEIR_SANITIZE "" CACHE STRING "Sanitizers for every target of the project, such as address,undefined")

add_library(weir_build INTERFACE)
target_compile_options(weir_build INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion)
target_compile_features(weir_build INTERFACE cxx_std_20 c_std_11)
if(WEIR_SANITIZE)
  target_compile_options(weir_build INTERFACE -fsanitize=${WEIR_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(weir_build INTERFACE -fsanitize=${WEIR_SANITIZE})
  if(WEIR_SANITIZE MATCHES undefined)
    # The check of the dynamic type opens a pipe to look whether memory can be read: where a test has taken every
    # descriptor it reports faults that are not there.
    target_compile_options(weir_build INTERFACE -fno-sanitize=vptr)
  endif()
endif()
