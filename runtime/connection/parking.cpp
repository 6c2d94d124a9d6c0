// A parked connection is open and has no handler. Its next bytes start one, here or where the table's wake()
// says.
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "weir/connection/detail/connection_table.hpp"
#include "weir/connection/detail/unattended_wait.hpp"

namespace weir {
namespace {

// When another process that had no room is asked again.
constexpr std::chrono::milliseconds offer_interval(5);

}  // namespace

void connection_state::park_after_handler() noexcept {
  if (!handler_) return let_go_and_close();  // no server has accepted it
  held_ = false;
  parks_ = true;
}

// The handler has ended.
void connection_state::begin_parking() noexcept {
  if (!is_open()) return free_if_unused();
  if (end != ending::none || is_cancelled() || owes_) return close_parked();
  phase_ = phase::parked;
  wait_begins();
  // Where I/O blocks or handlers migrate nothing is saved by waiting here.
  if (may_block_ || migrates_) return table().parking_.wake(*this);
  const bool has_input = driver->stop_reading_ahead(*this);
  table().parking_.at_once || is_stopping() || readable || has_input ||
          (layered_ && layer()->may_have_input())
      ? wake_parked()
      : wait_parked();
}

void connection_state::wait_parked() noexcept {
  if (aside_.parked == nullptr) aside_.parked = parked_wait::make(*this);
  if (aside_.parked == nullptr) return close_parked();
  if (idle_timeout_ != 0) table().home().timers().arm_at(*this, driver->now() + idle_timeout_);
  aside_.parked->park();
}

// Input has come, or may have; or the server stops.
void connection_state::wake_parked() noexcept {
  // Bytes that are in this process already are served in it.
  const bool holds_input = layered_ ? layer()->holds_input() : driver->holds_input(*this);
  if (!holds_input && give_away()) return;
  char byte;
  ssize_t n = 1;
  if (!holds_input) do
      n = ::recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
  const bool nothing_yet = n < 0 && errno == EAGAIN;
  if (n > 0) {
    wait_no_more();
    table().parking_.wake(*this);  // starts a handler, or gives the socket to another core
  } else if (nothing_yet && !is_stopping()) {
    wait_parked();
  } else {
    close_parked();
  }
}

// Offers it to another process, when it is time to. True if this process has nothing to do with it any more,
// or not until it is offered again.
bool connection_state::give_away() noexcept {
  if (!table().parking_.give_away || !(table().parking_.at_once || is_stopping())) return false;
  if (edge() != nullptr) return false;  // which no other process can have
  const auto given = table().parking_.give_away(fd);
  if (given == parking::given::yes) {
    wait_no_more();
    const int socket = fd;
    give_up_socket();
    ::close(socket);
    free_if_unused();
    return true;
  }
  if (given == parking::given::never || !is_stopping()) return false;
  wait_no_more();
  phase_ = phase::leaving;
  table().home().timers().arm(*this, offer_interval);
  return true;
}

void connection_state::offer_again() noexcept {
  phase_ = phase::parked;
  wake_parked();
}

void connection_state::check_idle_parked() noexcept {
  if (!is_idle(driver->refresh_now())) {
    if (idle_timeout_ != 0) table().home().timers().arm_at(*this, driver->now() + idle_timeout_);
    return;
  }
  end = ending::idle;
  close_parked();
}

void connection_state::close_parked() noexcept {
  wait_no_more();
  if (phase_ == phase::ended) return free_if_unused();
  phase_ = phase::serving;  // a close means the same there
  close_gracefully();
  free_if_unused();
}

}  // namespace weir
