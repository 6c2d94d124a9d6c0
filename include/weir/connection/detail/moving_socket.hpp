#pragma once
// connection: what is noted when bytes move, or are waited for.

#include <cstddef>
#include <cstdint>

#include "weir/io/detail/descriptor.hpp"
#include "weir/io/detail/driver.hpp"

namespace weir {

// A descriptor without members of its own. Thread: the one that holds the connection.
struct moving_socket : io::descriptor {
  // Idle time counts from now. `moved_slowly`: the same where the thread may have been in a system call that
  // blocks since the driver last looked at the clock.
  void wait_begins() noexcept { active_at = static_cast<std::uint32_t>(driver->now()); }
  void wait_to_read_begins() noexcept {
    sent = false;
    wait_begins();
  }
  void wait_to_write_begins() noexcept {
    if (heard == hearing::since_wait) heard = hearing::before_wait;
    wait_begins();
  }
  void moved_slowly() noexcept {
    active_at =
        static_cast<std::uint32_t>(mode == io::wait_mode::blocking ? driver->refresh_now() : driver->now());
  }
  // A read has drained the socket: do not pay to learn EAGAIN.
  void drained() noexcept {
    readable = false;
    heard = hearing::since_wait;
  }

  // Bytes have moved: they are counted.
  void has_received(std::size_t n) noexcept { driver->counted()[observe::figure::received_bytes].add(n); }
  void has_sent(std::size_t n) noexcept { driver->counted()[observe::figure::sent_bytes].add(n); }
};

}  // namespace weir
