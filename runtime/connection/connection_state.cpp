#include "weir/connection/detail/connection_state.hpp"

#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

#include "weir/base/log.hpp"
#include "weir/connection/detail/connection_table.hpp"
#include "weir/connection/detail/migration.hpp"
#include "weir/connection/detail/outbox_waiters.hpp"
#include "weir/connection/detail/unattended_wait.hpp"

namespace weir {
namespace {

// Occupies both directions of a connection without a core, so that an operation goes the way of a second one.
constexpr operation_kind kind_of_nothing{[](operation&) noexcept { return false; },
                                         [](operation&, int) noexcept { return true; }};
operation occupied{kind_of_nothing};

// The queue of a connection without a core: nothing is ever resumed there.
struct no_queue final : run_queue {
  void schedule(chain&) noexcept override {}
  void unschedule(chain&) noexcept override {}
  void deliver(remote_wake* w) noexcept override { remote_wake::free(w); }
  [[nodiscard]] asio::any_io_executor executor() const override { return {}; }
};

run_queue& nowhere() noexcept {
  static auto& queue = *new no_queue;  // never destroyed: handles may outlive everything
  return queue;
}

}  // namespace

namespace detail {

never_destroyed no_connection;

}  // namespace detail

connection_state::connection_state(connection_table& table, int socket, const peer_address& peer) noexcept
    : chain(table.home().driver()),
      place_(static_cast<std::uint32_t>(table.all().size())),
      table_(&table),
      peer_(peer) {
  fd = socket;
  driver = &table.home().driver();
  wait_begins();
  io::timer::fire = [](io::timer& t) noexcept {
    auto& c = static_cast<connection_state&>(t);
    // The handler's thread may hold a migrated connection now: nothing of it is looked at before it is held
    // here.
    c.mode == io::wait_mode::migrating ? c.check_idle() : c.on(connection_event::timer);
  };
}

connection_state::connection_state(no_core_t) noexcept : chain(nowhere()) { orphan(); }

// Its core ends before its handle does. From here on it is closed, and the handle's end frees it.
void connection_state::orphan() noexcept {
  if (table_ != nullptr) table_->forget(*this);
  delete std::exchange(migration_, nullptr);
  permit_ = {};
  table_ = nullptr;
  driver = nullptr;
  move_to(nowhere());
  phase_ = phase::ended;
  if (end == ending::none) end = ending::closed;
  readable = writable = false;  // an operation does not try: it looks for the slot, and finds it occupied
  reading = writing = &occupied;
}

bool connection_state::is_home() const noexcept { return driver == &table_->home().driver(); }

void connection_state::serve(task<> handler, permit_pool::permit permit) noexcept {
  if (phase_ == phase::opening) begin();
  permit_ = std::move(permit);
  handler_ = handler.release_to(*this);
  if (migration_ == nullptr) return resume_later(handler_);
  mode = io::wait_mode::migrating;
  wait_for_turn(handler_);
  migration_->hand_over();  // from here on a worker may hold it
}

void connection_state::begin_serving() noexcept {
  phase_ = phase::serving;
  held_ = true;
}

void connection_state::end_input(ending why) noexcept {
  if (end == ending::none) end = why;
  readable = true;  // so that the next read looks, and finds the end
  if (reading != nullptr) reading->root->schedule();
}

void connection_state::give_up_socket() noexcept {
  driver->forget(*this);  // closing does not, while a forked child or a copy keeps the socket open
  if (migration_ != nullptr) migration_->end();
  if (is_home() && mode != io::wait_mode::migrating) table_->home().timers().disarm(*this);
  wait_no_more();
  fd = -1;
  phase_ = phase::ended;
  end_input(ending::closed);
  writable = true;
  if (writing != nullptr) writing->root->schedule();
}

int connection_state::release() noexcept {
  if (!is_open()) return -1;
  driver->assert_thread("connection::release");
  const int socket = fd;
  on(connection_event::release);
  return socket;
}

void connection_state::end_socket(ending why) noexcept {
  if (end == ending::none) end = why;
  const int socket = fd;
  give_up_socket();
  ::close(socket);
}

void connection_state::close_at_once() noexcept { end_socket(ending::closed); }

void connection_state::reset_at_once() noexcept {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  end_socket(ending::closed);
  free_if_unused();
}

void connection_state::close_gracefully() noexcept {
  if (owes_ || writing != nullptr) return reset_at_once();
  int unread = 0;
  // What is known of readiness says nothing here: bytes may have come since the last batch of events.
  const bool may_have_input = end != ending::peer_closed && end != ending::peer_reset;
  if (!may_have_input || table_->cutting_ || ::ioctl(fd, FIONREAD, &unread) != 0 || unread == 0 ||
      !begin_linger())
    end_socket(ending::closed);
}

void connection_state::let_go() noexcept {
  held_ = false;
  if (is_orphan()) {
    this->~connection_state();
    block_pool::deallocate(this, sizeof *this);
    return;
  }
  free_if_unused();
}

void connection_state::let_go_and_close() noexcept {
  held_ = false;
  on(connection_event::close);
  free_if_unused();
}

void connection_state::free_if_unused() noexcept {
  if (phase_ == phase::ended && !held_ && !handler_ && table_ != nullptr) schedule();  // turn() frees it
}

bool connection_state::is_between_messages() const noexcept {
  return reading != nullptr && reading->root == this && writing == nullptr && has_no_children();
}

void connection_state::note_cut() noexcept {
  if (!is_between_messages()) owes_ = true;
}

void connection_state::cut() noexcept {
  if (mode != io::wait_mode::migrating) return on(connection_event::cut);
  cancel_at_next_wait();
  migration_->notify();  // the thread that holds it notes the cut
}

void connection_state::cut_handler() noexcept {
  if (handler_ && phase_ != phase::ended) note_cut();
  cancel();
}

// The server stops.
void connection_state::stop(std::uint32_t grace) noexcept {
  if (stopping_.exchange(true, std::memory_order_relaxed)) return;
  if (mode == io::wait_mode::migrating) return migration_->notify();
  awaits_first_bytes =
      is_open() && heard == hearing::never && static_cast<std::uint32_t>(driver->now()) - active_at < grace;
  if (!awaits_first_bytes) on(connection_event::stop);
}

void connection_state::end_grace() noexcept {
  awaits_first_bytes = false;
  on(connection_event::stop);
}

void connection_state::tell_stop() noexcept {
  if (mode == io::wait_mode::blocking) set_blocking(false);
  hung_up = true;  // a short read does not mean any more that the next one need not be tried
  readable = true;
  if (reading != nullptr) reading->root->schedule();
}

// The chain's turn in the run queue.
void connection_state::turn() {
  if (handler_) {
    if (!handler_.done())
      return mode == io::wait_mode::migrating && is_home() ? migration_->go_on() : resume();
    if (!is_home()) return migration_->leave();
    return on(connection_event::handler_end);
  }
  if (phase_ == phase::ended && !held_) {
    driver->unschedule(*this);
    table_->free(*this);
  }
}

void connection_state::end_of_handler() noexcept {
  const bool failed = handler_.promise().error != nullptr;
  if (failed) log_failure();
  if (migration_ != nullptr) {
    // Here nobody else holds it any more: from now on it waits like any other connection of this core.
    migration_->end();
    mode = io::wait_mode::loop;
    table_->home().timers().disarm(*this);
  }
  std::exchange(handler_, nullptr).destroy();  // and with it, most often, the handle: the phase may change
  if (std::exchange(parks_, false)) return failed ? close_parked() : begin_parking();
  if (phase_ == phase::lingering && wait_ == nullptr && !begin_linger()) end_socket(end);
  free_if_unused();
}

void connection_state::finished() noexcept {
  if (&home() == driver && is_home()) return schedule();
  if (&home() == driver) return migration_->leave();
  // The handler ended on another core: what is left is done where it came from.
  move_to(*driver);
  driver->deliver(remote_wake::make(*this));
}

void connection_state::describe(char* text, std::size_t size) const noexcept { peer_.write_to(text, size); }

void connection_state::log_failure() noexcept {
  std::string what = "something that is no std::exception";
  try {
    handler_.promise().take();
  } catch (const std::system_error& e) {
    if (is_cancelled() && e.code() == std::errc::operation_canceled) return;  // as it was told to
    what = e.what();
  } catch (const std::exception& e) {
    what = e.what();
  } catch (...) {
  }
  static log::limiter limit(std::chrono::milliseconds(100));
  if (const auto held_back = limit.pass())
    log::error("connection from {} closed: its handler threw: {}{}", peer_.to_string(), what,
               *held_back == 0 ? "" : fmt::format(" ({} more like this)", *held_back));
}

void connection_state::output_free() noexcept {
  output_wanted = false;
  if (core* const here = core::current()) here->local<outbox_waiters>().wake(*this);
}

}  // namespace weir
