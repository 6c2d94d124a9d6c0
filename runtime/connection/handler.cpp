// The handler of a connection: how it begins, goes on, is cut, and ends.
#include <system_error>
#include <utility>

#include "weir/base/log.hpp"
#include "weir/connection/detail/connection_table.hpp"
#include "weir/connection/detail/migration.hpp"

namespace weir {

void connection_state::serve(task<> handler, permit_pool::permit permit) noexcept {
  if (phase_ == phase::opening) begin();
  if (permit) {
    table().permits_ = permit.release();
    has_permit_ = true;
  }
  handler_ = handler.release_to(*this);
  if (!migrates_) return resume_later(handler_);
  mode = io::wait_mode::migrating;
  wait_for_turn(handler_);
  aside_.away->hand_over();  // from here on a worker may hold it
}

bool connection_state::is_between_messages() const noexcept {
  return reading != nullptr && reading->root == this && writing == nullptr && has_no_children();
}

void connection_state::note_cut() noexcept {
  if (!is_between_messages()) owes_ = true;
}

void connection_state::cut() noexcept {
  table().home().driver().assert_thread("connection_state::cut");
  if (mode != io::wait_mode::migrating) return on(connection_event::cut);
  cancel_at_next_wait();
  aside_.away->notify();  // the thread that holds it notes the cut
}

void connection_state::cut_handler() noexcept {
  if (handler_) note_cut();
  cancel();
}

// The chain's turn in the run queue.
void connection_state::turn() {
  if (handler_) {
    if (!handler_.done())
      return mode == io::wait_mode::migrating && is_home() ? aside_.away->go_on() : resume();
    if (!is_home()) return aside_.away->leave();
    return on(connection_event::handler_end);
  }
  if (phase_ == phase::parked)
    return on(parked_wait_failed_ ? connection_event::wait_failed : connection_event::input);
  if (phase_ == phase::ended && !held_) {
    driver->unschedule(*this);
    table().free(*this);
  }
}

void connection_state::end_of_handler() noexcept {
  const bool failed = handler_.promise().error != nullptr;
  if (failed) log_failure();
  if (migrates_) {
    // Here no other thread holds it any more: from now on it waits like any other connection of this core.
    aside_.away->end();
    mode = mode_in_loop();
    table().home().timers().disarm(*this);
  }
  std::exchange(handler_, nullptr).destroy();  // and with it, most often, the handle: the phase may change
  if (parks_) {
    parks_ = false;
    return failed ? close_parked() : begin_parking();
  }
  if (phase_ == phase::lingering && lingering_wait() == nullptr && !begin_linger()) end_socket(end);
  free_if_unused();
}

void connection_state::finished() noexcept {
  if (&home() == driver && is_home()) return schedule();
  if (&home() == driver) return aside_.away->leave();
  // The handler ended on another core: what is left is done where it came from.
  remote_wake* const w = remote_wake::depart(*this);
  move_to(*driver);
  driver->deliver(w);
}

void connection_state::log_failure() noexcept {
  const auto tell = [this](const char* what) {
    static log::limiter limit(std::chrono::milliseconds(100));
    const auto held_back = limit.pass();
    if (!held_back) return;
    if (*held_back == 0)
      log::error("connection from {} closed: its handler threw: {}", peer(), what);
    else
      log::error("connection from {} closed: its handler threw: {} ({} more like this)", peer(), what,
                 *held_back);
  };
  try {
    handler_.promise().take();
  } catch (const std::system_error& e) {
    if (!is_cancelled() || e.code() != std::errc::operation_canceled)
      tell(e.what());  // else as it was told to
  } catch (const std::exception& e) {
    tell(e.what());
  } catch (...) {
    tell("something that is no std::exception");
  }
}

}  // namespace weir
