// Asio's own sources, compiled once.
#include <asio.hpp>

// Asio 1.22 forgot a semicolon that is only missed when small blocks are not recycled, as under a sanitizer.
#define aligned_delete(pointer) aligned_delete(pointer);
#include <asio/impl/handler_alloc_hook.ipp>
#undef aligned_delete

#include <asio/impl/src.hpp>

#include "weir/base/detail/asio_version.hpp"

template <>
const char weir::built_with_asio<ASIO_VERSION>::in_library = 0;
