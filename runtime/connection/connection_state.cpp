#include "weir/connection/detail/connection_state.hpp"

#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <new>
#include <utility>

#include "kinds.hpp"
#include "weir/connection/detail/connection_table.hpp"
#include "weir/connection/detail/migration.hpp"
#include "weir/connection/detail/no_connection.hpp"
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
  alignas(no_queue) static std::byte place[sizeof(no_queue)];
  static auto& queue = *new (place) no_queue;  // never destroyed: handles may outlive everything
  return queue;
}

}  // namespace

namespace detail {

never_destroyed no_connection;

}  // namespace detail

connection_state::connection_state(connection_table& table, int socket, kept_peer peer) noexcept
    : chain(table.home().driver()), peer_(std::move(peer)) {
  fd = socket;
  driver = &table.home().driver();
  readable = driver->tries_first();
  wait_begins();
  began_at(driver->now());
  io::timer::fire = [](io::timer& t) noexcept {
    auto& c = static_cast<connection_state&>(t);
    // The handler's thread may hold a migrated connection now: nothing of it is looked at before it is held
    // here.
    c.mode == io::wait_mode::migrating ? c.check_idle() : c.on(connection_event::timer);
  };
}

connection_state::connection_state(no_core_t) noexcept : chain(nowhere()) { orphan(); }

permit_pool::permit connection_state::take_permit() noexcept {
  if (!has_permit_) return {};
  has_permit_ = false;
  return permit_pool::adopt(table().permits_);
}

// The table counts it no more.
void connection_state::leave_table() noexcept {
  connection_table& t = table();
  if (t.freed_ && has_permit_) t.freed_(edge() != nullptr && edge()->counts_later ? peer_address() : peer());
  t.home().timers().disarm(*this);
  if (connection_edge* const e = edge()) e->opening.leave(*this);
  if (migrates_) delete aside_.away;
  migrates_ = false;
  static_cast<void>(take_permit());
}

// Its core ends before its handle does. From here on it is closed, and the handle's end frees it.
void connection_state::orphan() noexcept {
  if (driver != nullptr) leave_table();
  if (connection_edge* const e = edge()) e->tap.reset();  // of a server that may end before the handle
  driver = nullptr;
  move_to(nowhere());
  phase_ = phase::ended;
  if (end == ending::none) end = ending::closed;
  readable = writable = false;  // an operation does not try: it looks for the slot, and finds it occupied
  reading = writing = &occupied;
}

departure connection_state::leaves() const noexcept { return is_orphan() ? departure::no : table().leaves(); }

bool connection_state::is_home() const noexcept { return driver == &table().home().driver(); }

void connection_state::begin_serving() noexcept {
  phase_ = phase::serving;
  held_ = true;
}

void connection_state::end_input(ending why) noexcept {
  if (end == ending::none) end = why;
  readable = true;  // so that the next read looks, and finds the end
  if (reading != nullptr) reading->root->schedule();
}

// Of those that a server has accepted. What has not ended goes on elsewhere.
void connection_state::count_end() noexcept {
  static_assert(static_cast<int>(observe::figure::closed) - static_cast<int>(observe::figure::peer_closed) ==
                static_cast<int>(ending::closed) - static_cast<int>(ending::peer_closed));
  if (!has_permit_) return;
  const auto which = static_cast<unsigned>(observe::figure::peer_closed) + static_cast<unsigned>(end) -
                     static_cast<unsigned>(ending::peer_closed);
  driver->counted()[end == ending::none ? observe::figure::moved : static_cast<observe::figure>(which)].add(
      1);
}

void connection_state::give_up_socket() noexcept {
  count_end();
  leave_driver();  // closing does not, while a forked child or a copy keeps the socket open
  if (migrates_) aside_.away->end();
  if (is_home() && mode != io::wait_mode::migrating) table().home().timers().disarm(*this);
  wait_no_more();
  fd = -1;
  phase_ = phase::ended;
  end_input(ending::closed);
  writable = true;
  if (writing != nullptr) writing->root->schedule();
}

int connection_state::release(std::string& unread) {
  if (!is_open()) return -1;
  assert_thread("connection::release");
  detail::take_read_ahead(*this, unread);
  // What a layer that changes nothing was given by the ring before it.
  for (char byte = 0; layered_ && !layer()->is_secret() && layer()->holds_input();)
    if (layer()->recv(&byte, 1) == 1) unread += byte;
  return release();
}

int connection_state::release() noexcept {
  if (!is_open()) return -1;
  assert_thread("connection::release");
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
  driver->disarm(*this);  // what comes while a ring lets go of the socket is unread as well
  if (layered_) {
    layer()->expect(true);
    layer()->end_output();
  }
  const bool has_unsent = layered_ && layer()->has_unsent();
  int unread = 0;
  // Bytes that a ring has read ahead are unread, and the peer may be sending more. What is known of readiness
  // says nothing here: bytes may have come since the last batch of events.
  const bool may_have_input = end != ending::peer_closed && end != ending::peer_reset;
  const bool lingers =
      has_unsent || (may_have_input &&
                     (driver->holds_input(*this) || (::ioctl(fd, FIONREAD, &unread) == 0 && unread != 0)));
  if (!lingers || table().cutting_ || !begin_linger()) end_socket(ending::closed);
}

void connection_state::let_go() noexcept {
  held_ = false;
  if (is_orphan()) return state_slab::give_back_orphan(*this);
  free_if_unused();
}

void connection_state::let_go_and_close() noexcept {
  held_ = false;
  on(connection_event::close);
  free_if_unused();
}

void connection_state::free_if_unused() noexcept {
  if (phase_ == phase::ended && !held_ && !handler_ && !is_orphan()) schedule();  // turn() frees it
}

// The server stops.
void connection_state::stop(std::uint32_t grace) noexcept {
  table().home().driver().assert_thread("connection_state::stop");
  if (stopping_.exchange(true, std::memory_order_relaxed)) return;
  if (mode == io::wait_mode::migrating) return aside_.away->notify();
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
  // A short read does not mean any more that the next one need not be tried.
  reads_until_eagain = true;
  if (layered_) {
    layer()->read_until_eagain();
    layer()->expect(true);
  } else {
    driver->look_again(*this);
  }
  if (reading != nullptr) reading->root->schedule();
}

void connection_state::describe(char* text, std::size_t size) const noexcept { peer().write_to(text, size); }

void connection_state::name_into(chain_name& name) const noexcept {
  const peer_address of = peer();
  static_assert(sizeof of == sizeof name.peer);
  std::memcpy(name.peer.data(), &of, sizeof of);
  name.root = resume_function_of(handler_);
}

void connection_state::output_free() noexcept {
  output_wanted = false;
  if (core* const here = core::current()) here->local<outbox_waiters>().wake(*this);
}

}  // namespace weir
