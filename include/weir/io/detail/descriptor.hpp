#pragma once
// io: one socket as the event loop sees it: what is known of its readiness and who waits for it.

#include <cstdint>

#include "weir/task/detail/chain.hpp"

namespace weir::io {

class readiness_driver;

// How an operation that cannot go on at once waits. What does not wait for the loop is never registered, so
// that the driver sees it where it would register it: the others pay nothing.
enum class wait_mode : std::uint8_t {
  loop,       // for an event of the driver
  blocking,   // in the system call itself, for a slice of time; then others have their turn
  migrating,  // the coroutine is a visitor on another thread: its connection knows
};

// Lifetime: its address is the cookie of the epoll set; it stays where it is until the batch of events in
// which it was closed is over (see readiness_driver::schedule).
// Thread: its driver's.
struct descriptor {
  enum class watch : std::uint8_t { none, reads, both };

  int fd = -1;
  // Cached readiness: true until a system call says otherwise, so that an operation tries first.
  bool readable = true;
  // When bytes of the peer were last received. Written beside `readable`, so that both cost one store.
  enum class hearing : std::uint8_t { never, before_wait, since_wait } heard = hearing::never;
  bool writable = true;
  bool sent = false;  // something, since an operation last began to wait for bytes
  bool hung_up = false;  // sticky: data and FIN may come as one edge, then a short read is not the end
  bool level = false;    // level-triggered: reported until it is read; unregistered when nobody reads
  watch watched = watch::none;
  wait_mode mode = wait_mode::loop;
  std::uint32_t active_at = 0;  // driver's now(), low bits, when an operation last finished
  readiness_driver* driver = nullptr;
  operation* reading = nullptr;  // the operations that wait, at most one for each direction
  operation* writing = nullptr;
};

}  // namespace weir::io
