// Where an operation of a handler waits: in the event loop, in its system call, or with a worker thread.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>

#include "weir/base/error.hpp"
#include "weir/connection/detail/connection_table.hpp"
#include "weir/connection/detail/migration.hpp"

namespace weir {

void connection_state::block(std::chrono::milliseconds slice) {
  const timeval limit{.tv_sec = slice.count() / 1000, .tv_usec = slice.count() % 1000 * 1000};
  if (::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
      ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0)
    throw_system_error(errno, "SO_RCVTIMEO");
  may_block_ = true;
  reads_until_eagain = true;  // with a call that waits nothing is saved by not trying
  set_blocking(true);
}

io::wait_mode connection_state::mode_in_loop() const noexcept {
  return layered_ ? io::wait_mode::layered : io::wait_mode::loop;
}

void connection_state::set_blocking(bool on) noexcept {
  if (fd < 0) return;
  const int flags = ::fcntl(fd, F_GETFL);
  ::fcntl(fd, F_SETFL, on ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
  mode = on ? io::wait_mode::blocking : mode_in_loop();
  expect(true);
  if (on)
    table().home().timers().disarm(*this);
  else if (idle_timeout_ != 0)
    table().home().timers().arm_at(*this, driver->refresh_now() + idle_timeout_);
}

void connection_state::children_changed(bool none) noexcept {
  if (is_orphan()) return;
  if (may_block_ && phase_ == phase::serving && !is_stopping()) set_blocking(none);
  if (mode == io::wait_mode::migrating && none) leave_driver();  // it waits at its core again
}

// The driver's, for an operation whose descriptor does not wait for the loop.
void connection_state::park_elsewhere(io::descriptor& on, bool for_reading) noexcept {
  auto& c = static_cast<connection_state&>(on);
  operation& op = *(for_reading ? c.reading : c.writing);
  if (c.layered_ && !c.layer()->park(op, for_reading)) return;
  // May give the connection to another thread: do not touch it afterwards.
  if (c.mode == io::wait_mode::migrating) return c.aside_.away->park(op, for_reading);
  // A slice of a blocking call is over. The thread's timers and posts have their turn, and then the next
  // slice.
  static_cast<void>(c.end_if_idle(c.driver->refresh_now()));
  op.root->schedule();
}

void connection_state::go_on_in_reserved_place() noexcept { aside_.away->go_on_in_reserved_place(); }

void connection_state::take_pending_events() noexcept {
  if (is_cancelled()) {
    note_cut();
    return end_wait(ECANCELED);
  }
  if (is_stopping()) on(connection_event::stop);
  static_cast<void>(end_if_idle(driver->refresh_now()));
}

}  // namespace weir
