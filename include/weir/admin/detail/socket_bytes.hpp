#pragma once
// admin: what the kernel says that a connection has moved.

#include <cstdint>
#include <optional>

namespace weir::admin {

// Bytes in both directions since the socket was connected, those that the peer has confirmed; nothing if `fd`
// is no TCP socket. Thread: any.
[[nodiscard]] std::optional<std::uint64_t> bytes_moved_on(int fd) noexcept;

}  // namespace weir::admin
