#pragma once
// http: limits on what one client may use.

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace weir::http {

// Between requests the connection's idle timeout applies instead.
struct limits {
  std::size_t head = 16384;      // bytes of the request line and all headers, at most most_head
  std::size_t headers = 100;     // at most request::most_headers
  std::uint64_t body = 1 << 20;  // bytes; a handler may ask for less
  std::chrono::milliseconds head_timeout{10000};  // from the first byte of a head to its last
  std::chrono::milliseconds body_timeout{10000};  // for each body_stretch bytes of a body
  std::chrono::milliseconds linger_timeout{
      5000};  // for reading what the client still sends after the last answer
  std::size_t unread =
      65536;  // bytes of a body that the handler left, read and dropped to keep the connection

  static constexpr std::size_t most_head = 65535;
  static constexpr std::uint64_t body_stretch = 65536;
};

}  // namespace weir::http
