#pragma once
// io: one socket as the event loop sees it: its cached readiness and the operations that wait for it.

#include <cstdint>

#include "weir/task/detail/chain.hpp"

namespace weir::io {

class driver;

// How an operation waits that cannot complete at once. Descriptors that do not wait for the loop are never
// registered; the driver tests the mode where it would register one, so that those that do wait for the loop
// pay nothing.
enum class wait_mode : std::uint8_t {
  loop,       // for an event of the driver
  blocking,   // in the system call, for a slice of time; then other chains have a turn
  migrating,  // the handler may run on other threads: the connection decides where it waits
  layered,    // for an event of the driver, at a layer that changes the bytes
};

// Lifetime: its address is the cookie of the epoll set; it stays where it is until the batch of events in
// which it was closed is over (see driver::schedule).
// Thread: its driver's.
struct descriptor {
  // What operations need not ask the driver for, because it is under way.
  enum class watch : std::uint8_t { none, reads, both };

  int fd = -1;
  // Cached readiness: true until a system call says otherwise, so that an operation tries first.
  bool readable = true;
  // When bytes of the peer were last received. Written beside `readable`, so that both cost one store.
  enum class hearing : std::uint8_t { never, before_wait, since_wait } heard = hearing::never;
  bool writable = true;
  bool sent = false;  // something, since an operation last began to wait for bytes
  // A short read does not clear `readable`: data and FIN may have come as one edge, or there was urgent data,
  // before which a read ends, or the end of the input is to be noticed (a stop), or a call that waits makes
  // trying cost nothing.
  bool reads_until_eagain = false;
  bool level = false;  // level-triggered: reported until it is read; unregistered when no operation reads
  watch watched = watch::none;
  wait_mode mode = wait_mode::loop;
  std::uint32_t active_at = 0;  // driver's now(), low bits, when an operation last finished
  io::driver* driver = nullptr;
  operation* reading = nullptr;  // the operations that wait, at most one for each direction
  operation* writing = nullptr;
};

}  // namespace weir::io
