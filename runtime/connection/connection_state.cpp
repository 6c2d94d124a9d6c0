// Longer than others: each way in which a connection may end looks at what the other ways have left.
#include "weir/connection/detail/connection_state.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>

#include "weir/base/detail/system_call.hpp"
#include "weir/base/error.hpp"
#include "weir/base/log.hpp"
#include "weir/base/unique_fd.hpp"
#include "weir/connection/detail/migration.hpp"

namespace weir {

namespace {

// How often it is looked whether a connection is idle whose handler runs on other threads.
constexpr std::chrono::seconds idle_check_interval(1);

// When another process is asked again to take a connection.
constexpr std::chrono::milliseconds give_again(5);

}  // namespace

connection_state::connection_state(connection_table& table, int socket, const peer_address& peer) noexcept
    : chain(table.home().driver()),
      place_(static_cast<std::uint32_t>(table.all().size())),
      table_(table),
      peer_(peer) {
  fd = socket;
  driver = &table.home().driver();
  active_at = static_cast<std::uint32_t>(driver->now());
  io::timer::fire = [](io::timer& t) noexcept { static_cast<connection_state&>(t).check_idle(); };
}

void connection_state::serve(task<> handler, permit_pool::permit permit) noexcept {
  permit_ = std::move(permit);
  handler_ = handler.release_to(*this);
  if (migration_ == nullptr) return resume_later(handler_);
  wait_for_turn(handler_);
  migration_->hand_over();
}

void connection_state::go_on() noexcept { migration_->go_on(); }

bool connection_state::is_home() const noexcept { return driver == &table_.home().driver(); }

void connection_state::run_handler_on(worker_queue& at) {
  migration_ = at.migrate(*this);
  mode = io::wait_mode::migrating;
  table_.home().timers().arm(*this, idle_check_interval);
}

void connection_state::block(std::chrono::milliseconds slice) {
  const timeval limit{.tv_sec = slice.count() / 1000, .tv_usec = slice.count() % 1000 * 1000};
  if (::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
      ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0)
    throw_system_error(errno, "SO_RCVTIMEO");
  may_block_ = true;
  hung_up = true;  // with a call that waits nothing is saved by not trying
  set_blocking(true);
}

void connection_state::set_blocking(bool on) noexcept {
  if (fd < 0) return;
  const int flags = ::fcntl(fd, F_GETFL);
  ::fcntl(fd, F_SETFL, on ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
  mode = on ? io::wait_mode::blocking : io::wait_mode::loop;
  readable = writable = true;
  if (on)
    table_.home().timers().disarm(*this);
  else if (idle_timeout_ != 0)
    table_.home().timers().arm_at(*this, driver->refresh_now() + idle_timeout_);
}

void connection_state::children_changed(bool is) noexcept {
  if (may_block_ && !is_stopping()) set_blocking(is);
  if (migration_ != nullptr && is) driver->forget(*this);  // it waits at its core again
}

void connection_state::park_elsewhere(io::descriptor& on, bool for_reading) noexcept {
  auto& c = static_cast<connection_state&>(on);
  operation& op = *(for_reading ? c.reading : c.writing);
  if (c.mode == io::wait_mode::migrating) return c.migration_->park(op, for_reading);
  // A slice of a blocking call is over. The thread's timers and posts have their turn, and then the next
  // slice.
  (for_reading ? c.reading : c.writing) = nullptr;
  const std::uint64_t waited = c.driver->refresh_now() - c.io::timer::expiry;  // free: the timer is not armed
  if (c.idle_timeout_ != 0 && waited >= c.idle_timeout_) {
    if (for_reading)
      c.end = ending::idle;
    else
      c.close_socket(ending::idle);
  }
  op.root->schedule();
}

bool connection_state::is_idle(std::uint64_t now) const noexcept {
  return idle_timeout_ != 0 && static_cast<std::uint32_t>(now) - active_at >= idle_timeout_;
}

void connection_state::cut() noexcept {
  if (is_lingering()) return end_linger();
  if (unattended_ != nullptr) return wait_no_more(), drop();
  if (migration_ == nullptr) return cancel();
  cancel_at_next_wait();
  migration_->notify();
}

void connection_state::take_pending_events() noexcept {
  if (is_cancelled()) return end_wait(ECANCELED);
  if (is_stopping()) stop_here();
  if ((reading != nullptr || writing != nullptr) && is_idle(driver->refresh_now())) end_idle();
}

void connection_state::end_input(ending why) noexcept {
  if (end == ending::none) end = why;
  readable = true;  // so that the next read looks, and finds the end
  if (reading != nullptr) reading->root->schedule();
}

void connection_state::close_socket(ending why) noexcept {
  if (end == ending::none) end = why;
  if (const int socket = release_socket(); socket >= 0) ::close(socket);
}

int connection_state::release_socket() noexcept {
  if (fd < 0) return -1;
  driver->forget(*this);  // closing does not, while a forked child or a copy keeps the socket open
  if (migration_ != nullptr) migration_->end();
  const int socket = std::exchange(fd, -1);
  end_input(ending::closed);
  writable = true;
  if (writing != nullptr) writing->root->schedule();
  if (is_home()) table_.home().timers().disarm(*this);
  return socket;
}

void connection_state::reset_socket() noexcept {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close_socket(ending::closed);
}

void connection_state::describe(char* text, std::size_t size) const noexcept { peer_.write_to(text, size); }

// Waits for input without a handler. Its line is the state's own chain, which has no coroutine then: it is
// never resumed.
struct connection_state::unattended_operation : operation {
  unattended_operation(connection_state& c, const operation_kind& k) noexcept : operation(k), on(&c) {
    root = &c;
  }
  static connection_state& of(operation& op) noexcept {
    connection_state& c = *static_cast<unattended_operation&>(op).on;
    c.reading = nullptr;
    return c;
  }
  // Throws input away until the peer's end.
  static bool linger(operation& op) noexcept { return of(op).linger_step(); }
  // Has somebody else found for it.
  static bool wake(operation& op) noexcept {
    of(op).end_parking();
    return false;
  }
  static bool cancel(operation&, int) noexcept { return true; }
  static constexpr operation_kind kind_of_linger{&linger, &cancel};
  static constexpr operation_kind kind_of_parking{&wake, &cancel};

  connection_state* on;
};

bool connection_state::wait_unattended(const operation_kind& kind) noexcept {
  try {
    unattended_ = new (block_pool::allocate(sizeof(unattended_operation))) unattended_operation(*this, kind);
    return true;
  } catch (...) {
    return false;
  }
}

void connection_state::wait_no_more() noexcept {
  if (reading == unattended_) reading = nullptr;
  block_pool::deallocate(std::exchange(unattended_, nullptr), sizeof(unattended_operation));
}

bool connection_state::is_lingering() const noexcept {
  return unattended_ != nullptr && unattended_->kind == &unattended_operation::kind_of_linger;
}

void connection_state::stop(std::uint32_t grace) noexcept {
  if (stopping_.exchange(true, std::memory_order_relaxed)) return;
  if (migration_ != nullptr && handler_) return migration_->notify();
  awaits_first_bytes = !heard && static_cast<std::uint32_t>(driver->now()) - active_at < grace;
  if (awaits_first_bytes) return;
  if (mode == io::wait_mode::blocking) set_blocking(false);
  stop_here();
}

void connection_state::end_grace() noexcept {
  awaits_first_bytes = false;
  stop_here();
}

void connection_state::stop_here() noexcept {
  hung_up = true;  // a short read does not mean any more that the next one need not be tried
  readable = true;
  if (reading != nullptr) reading->root->schedule();
  if (fd < 0) cancel();  // the socket was given away: only its coroutine can be told
}

void connection_state::close_gracefully(ending why) noexcept {
  int unread = 0;
  // What is known of readiness says nothing here: bytes may have come since the last batch of events.
  const bool may_have_input = fd >= 0 && end != ending::peer_closed && end != ending::peer_reset;
  if (!may_have_input || table_.cutting_ || reading != nullptr || writing != nullptr ||
      ::ioctl(fd, FIONREAD, &unread) != 0 || unread == 0)
    return close_socket(why);
  if (!is_home()) {  // the rest is done there, when the handler has ended
    end_input(why);
    ::shutdown(fd, SHUT_WR);
    return;
  }
  if (mode == io::wait_mode::blocking) set_blocking(false);
  if (!wait_unattended(unattended_operation::kind_of_linger)) return close_socket(why);
  end_input(why);
  ::shutdown(fd, SHUT_WR);
  idle_timeout_ = 0;
  table_.home().timers().arm(*this, std::chrono::seconds(5));
  linger_step();
}

bool connection_state::linger_step() noexcept {
  io::chunk_block* const scratch = chunks().take();
  long n = -ENOMEM;
  for (int i = 0; scratch != nullptr && i < 16; ++i) {
    n = system_call::recv(fd, scratch->data(), scratch->capacity);
    if (n <= 0) break;
  }
  if (scratch != nullptr) io::chunk_block::release(scratch);
  if (n > 0) {
    schedule();  // there is more; others first
  } else if (n == -EAGAIN) {
    readable = false;
    driver->park_reading(*this, *unattended_);
  } else {
    end_linger();
  }
  return false;
}

void connection_state::end_linger() noexcept {
  wait_no_more();
  close_socket(end);
  schedule();
}

void connection_state::park() noexcept {
  if (!handler_) return drop();
  parked_ = true;
}

bool connection_state::has_unread_input() const noexcept {
  char byte;
  return ::recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

// The handler has ended.
void connection_state::begin_parking() noexcept {
  parked_ = false;
  if (fd < 0 || end != ending::none || is_cancelled()) return drop();
  if (mode != io::wait_mode::loop || may_block_) return table_.parking_.wake(*this);
  if (table_.parking_.at_once || is_stopping() || readable) return end_parking();
  if (!wait_unattended(unattended_operation::kind_of_parking)) return drop();
  active_at = static_cast<std::uint32_t>(driver->now());
  driver->park_reading(*this, *unattended_);
}

// Bytes have come, or its time has, or the server stops; or it shall be asked for the first time.
void connection_state::end_parking() noexcept {
  if (unattended_ != nullptr) wait_no_more();
  if (end != ending::none || is_cancelled()) return drop();
  if (table_.parking_.give_away && (table_.parking_.at_once || is_stopping())) {
    const auto given = table_.parking_.give_away(fd);
    if (given == parking::given::yes) {
      close_socket(ending::closed);
      return drop();
    }
    // Whoever stops has no time to wait for bytes.
    if (given == parking::given::not_now && is_stopping() &&
        wait_unattended(unattended_operation::kind_of_parking))
      return table_.home().timers().arm(*this, give_again);
  }
  if (has_unread_input()) return table_.parking_.wake(*this);
  if (is_stopping() || hung_up) return drop();
  readable = false;
  if (!wait_unattended(unattended_operation::kind_of_parking)) return drop();
  active_at = static_cast<std::uint32_t>(driver->now());
  driver->park_reading(*this, *unattended_);
}

void connection_state::drop() noexcept {
  close_gracefully(ending::closed);
  held_ = false;
  if (!handler_) schedule();
}

void connection_state::set_idle_timeout(std::chrono::milliseconds t) {
  idle_timeout_ = static_cast<std::uint32_t>(std::clamp<std::int64_t>(t.count(), 0, UINT32_MAX / 2));
  if (mode != io::wait_mode::loop) return;  // looked at from time to time
  auto& timers = table_.home().timers();
  if (idle_timeout_ == 0) return timers.disarm(*this);
  active_at = static_cast<std::uint32_t>(driver->now());
  timers.arm_at(*this, driver->now() + idle_timeout_);
}

void connection_state::check_idle() noexcept {
  if (is_lingering()) return end_linger();
  if (unattended_ != nullptr && is_stopping()) return end_parking();
  const auto now = table_.home().driver().refresh_now();
  if (mode == io::wait_mode::migrating) {
    table_.home().timers().arm(*this, idle_check_interval);
    if (!migration_->hold_if_here()) return;  // its worker looks
    if (!is_idle(now)) return migration_->hold_no_more();
    end = ending::idle;
    if (writing != nullptr) close_socket(ending::idle);
    return migration_->go_on();
  }
  const auto idle = static_cast<std::uint32_t>(now) - active_at;
  const bool waiting = reading != nullptr || writing != nullptr;
  // A handler that waits for something else than this socket is not idle.
  if (!waiting || idle < idle_timeout_) {
    table_.home().timers().arm_at(*this, now + (waiting ? idle_timeout_ - idle : idle_timeout_));
    return;
  }
  end_idle();
}

void connection_state::end_idle() noexcept {
  end_input(ending::idle);
  if (writing != nullptr) close_socket(ending::idle);  // a peer that does not read gets nothing more
}

void connection_state::finished() noexcept {
  if (&home() == driver && is_home()) return schedule();
  if (&home() == driver) return migration_->leave();
  // The handler ended on another core: what is left is done where it came from.
  move_to(*driver);
  driver->deliver(remote_wake::make(*this));
}

void connection_state::turn() {
  if (handler_ && handler_.done()) {
    if (!is_home()) return migration_->leave();
    const bool failed = handler_.promise().error != nullptr;
    if (failed) log_failure();
    std::exchange(handler_, nullptr).destroy();  // and with it, most often, the handle
    if (parked_ && !failed) return begin_parking();
    if (migration_ != nullptr) {
      migration_->end();
      mode = io::wait_mode::loop;
    }
    if (parked_) return drop();
  }
  if (handler_) return migration_ != nullptr && is_home() ? migration_->go_on() : resume();
  // Closed on another thread, with input that nobody has read.
  if (!held_ && fd >= 0 && unattended_ == nullptr) return close_gracefully(ending::closed), schedule();
  if (is_lingering()) {
    if (readable) linger_step();
  } else if (unattended_ != nullptr) {
    end_parking();
  } else if (!held_) {
    driver->unschedule(*this);
    table_.free(*this);
  }
}

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

connection_table::connection_table(core& home) noexcept : home_(home) {
  home.driver().when_elsewhere(connection_state::park_elsewhere);
}

void connection_table::cut() noexcept {
  cutting_ = true;
  for (connection_state* c : open_) c->cut();
}

connection_table::~connection_table() {
  cutting_ = true;
  // What still waits is destroyed: each frame is first detached from what it waits for. All frames go before
  // the first state does, because a handler may hold other connections than its own.
  for (connection_state* c : open_) {
    c->abandon();
    if (c->handler_) std::exchange(c->handler_, nullptr).destroy();
  }
  while (!open_.empty()) {
    connection_state& c = *open_.back();
    if (c.unattended_ != nullptr) c.wait_no_more();
    c.close_socket(ending::closed);
    c.home().unschedule(c);
    free(c);
  }
}

connection_state& connection_table::open(int fd, const peer_address& peer) {
  unique_fd guard(fd);
  open_.push_back(nullptr);
  void* memory = nullptr;
  try {
    memory = block_pool::allocate(sizeof(connection_state));
  } catch (...) {
    open_.pop_back();
    throw;
  }
  open_.pop_back();
  auto* const c = new (memory) connection_state(*this, guard.release(), peer);
  open_.push_back(c);  // has room
  return *c;
}

void connection_table::free(connection_state& c) noexcept {
  if (freed_ && c.permit_) freed_(c.peer_);
  open_.back()->place_ = c.place_;
  open_[c.place_] = open_.back();
  open_.pop_back();
  if (c.migration_ != nullptr) {
    home_.timers().disarm(c);
    delete c.migration_;
  }
  c.~connection_state();
  block_pool::deallocate(&c, sizeof c);
}

}  // namespace weir
