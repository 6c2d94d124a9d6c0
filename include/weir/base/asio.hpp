#pragma once
// base: the one door to Asio. Nothing else in weir includes an Asio header, so what differs between
// Asio releases is told here and nowhere else.

#include <asio.hpp>
#include <asio/co_spawn.hpp>
#include <asio/steady_timer.hpp>

#include "weir/base/detail/asio_version.hpp"

namespace weir {

using error_code = asio::error_code;

template <>
const char built_with_asio<ASIO_VERSION>::in_library;

// Makes every program refer to it: eight bytes of data, no code.
[[gnu::used, gnu::retain]] inline const char* const asio_in_library =
    &built_with_asio<ASIO_VERSION>::in_library;

}  // namespace weir

// Asio defines these in its separately compiled sources. GCC and clang mangle their names differently (what
// depends on a template parameter, [temp.dep]), so clang's programs would not find those of a library that
// GCC compiled. Each source file has its own.
template <>
inline asio::any_io_executor asio::any_io_executor::require(const execution::blocking_t::never_t& p,
                                                            int) const {
  return static_cast<const base_type&>(*this).require(p);
}
template <>
inline asio::any_io_executor asio::any_io_executor::prefer(const execution::blocking_t::possibly_t& p,
                                                           int) const {
  return static_cast<const base_type&>(*this).prefer(p);
}
template <>
inline asio::any_io_executor asio::any_io_executor::prefer(const execution::outstanding_work_t::tracked_t& p,
                                                           int) const {
  return static_cast<const base_type&>(*this).prefer(p);
}
template <>
inline asio::any_io_executor asio::any_io_executor::prefer(
    const execution::outstanding_work_t::untracked_t& p, int) const {
  return static_cast<const base_type&>(*this).prefer(p);
}
template <>
inline asio::any_io_executor asio::any_io_executor::prefer(const execution::relationship_t::fork_t& p,
                                                           int) const {
  return static_cast<const base_type&>(*this).prefer(p);
}
template <>
inline asio::any_io_executor asio::any_io_executor::prefer(const execution::relationship_t::continuation_t& p,
                                                           int) const {
  return static_cast<const base_type&>(*this).prefer(p);
}
