# What `cmake --install` puts where, so that find_package(weir) and pkg-config find it.
include(CMakePackageConfigHelpers)

set(weir_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/weir)
set(weir_pkgconfig_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
get_target_property(weir_type weir TYPE)

install(TARGETS weir weir_http weir_llhttp weir_tls EXPORT weirTargets)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/weir DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN *.hpp)
install(EXPORT weirTargets NAMESPACE weir:: DESTINATION ${weir_package_dir})
# Debian ships no CMake package for these.
install(FILES ${PROJECT_SOURCE_DIR}/cmake/FindAsio.cmake ${PROJECT_SOURCE_DIR}/cmake/FindHwloc.cmake
  ${PROJECT_SOURCE_DIR}/cmake/FindLiburing.cmake
  DESTINATION ${weir_package_dir}/modules)

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/weirConfig.cmake.in ${PROJECT_BINARY_DIR}/weirConfig.cmake
  INSTALL_DESTINATION ${weir_package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/weirConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/weirConfig.cmake ${PROJECT_BINARY_DIR}/weirConfigVersion.cmake
  DESTINATION ${weir_package_dir})

# The same for pkg-config, from the definitions of the target itself. clang must be told of coroutines,
# and telling GCC does no harm.
file(RELATIVE_PATH weir_pc_to_prefix /p/${weir_pkgconfig_dir} /p)
get_target_property(weir_pc_definitions weir INTERFACE_COMPILE_DEFINITIONS)
list(PREPEND weir_pc_definitions ASIO_STANDALONE ASIO_HAS_STD_ALIGNED_ALLOC=1 ASIO_HAS_CO_AWAIT=1 ASIO_HAS_STD_COROUTINE=1)
list(TRANSFORM weir_pc_definitions PREPEND -D)
list(JOIN weir_pc_definitions " " weir_pc_definitions)
# What the library is made with is linked by name, not required as packages: `pkg-config --static` would follow them to
# libraries that Debian has no archive of (hwloc's libudev), and no header of weir includes theirs.
set(weir_pc_libs "-lspdlog -lhwloc -luring")
get_target_property(weir_toml_type tomlplusplus::tomlplusplus TYPE)
if(NOT weir_toml_type STREQUAL "INTERFACE_LIBRARY")
  string(APPEND weir_pc_libs " -ltomlplusplus")
endif()
set(weir_pc_libs_private "")
if(NOT weir_type STREQUAL "STATIC_LIBRARY")
  set(weir_pc_libs_private ${weir_pc_libs})
  set(weir_pc_libs "")
endif()
configure_file(${PROJECT_SOURCE_DIR}/cmake/weir.pc.in ${PROJECT_BINARY_DIR}/weir.pc @ONLY)
configure_file(${PROJECT_SOURCE_DIR}/cmake/weir-http.pc.in ${PROJECT_BINARY_DIR}/weir-http.pc @ONLY)
configure_file(${PROJECT_SOURCE_DIR}/cmake/weir-tls.pc.in ${PROJECT_BINARY_DIR}/weir-tls.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/weir.pc ${PROJECT_BINARY_DIR}/weir-http.pc ${PROJECT_BINARY_DIR}/weir-tls.pc
  DESTINATION ${weir_pkgconfig_dir})
