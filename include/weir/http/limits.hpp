#pragma once
// http: limits on what one client may use.

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace weir::http {

// Between requests the connection's idle timeout applies instead. http::run makes each of them a key of the
// configuration.
struct limits {
  std::size_t head = 32768;      // bytes of the request line and all headers, at most most_head
  std::size_t headers = 1000;    // at most most_headers
  std::uint64_t body = 1 << 20;  // bytes; a handler may ask for less
  std::chrono::milliseconds head_timeout{10000};  // from the first byte of a head to its last
  std::chrono::milliseconds body_timeout{30000};  // without a byte of a body
  // A body that is waited for has come at this rate on average, in bytes per second, once the grace is over.
  std::uint64_t body_rate = 500;                // 0: at any rate
  std::chrono::milliseconds body_grace{30000};  // from the first wait for the body
  std::chrono::milliseconds linger_timeout{
      5000};  // for reading what the client still sends after the last answer
  std::size_t unread =
      65536;  // bytes of a body that the handler left, read and dropped to keep the connection

  static constexpr std::size_t most_head = 65535;
  static constexpr std::size_t most_headers = 8192;
};

}  // namespace weir::http
