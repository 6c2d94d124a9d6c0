// A socket lingers after a close with unread input: a plain close would make the kernel send RST, which
// destroys the last reply on its way to the peer.
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include "weir/base/detail/system_call.hpp"
#include "weir/connection/detail/connection_table.hpp"
#include "weir/connection/detail/migration.hpp"
#include "weir/connection/detail/unattended_wait.hpp"

namespace weir {
namespace {

constexpr std::chrono::seconds most_lingering(5);
constexpr int reads_per_turn = 16;

}  // namespace

// False if it cannot: there is no memory. On a worker's thread it only begins: the socket is read when the
// handler has ended and the connection is on its core again.
bool connection_state::begin_linger() noexcept {
  if (table().cutting_) return false;
  if (mode == io::wait_mode::blocking) set_blocking(false);
  if (is_home() && !wait_unattended()) return false;
  const bool begun = phase_ == phase::lingering;
  phase_ = phase::lingering;
  if (!begun) {
    end_input(ending::closed);
    reading = nullptr;  // its operation is in the run queue, and finds the end
    shut_output();
    static_cast<void>(driver->stop_reading_ahead(*this));
  }
  if (lingering_wait() == nullptr) return true;
  table().home().timers().arm(*this, most_lingering);
  linger_step();
  return true;
}

void connection_state::linger_step() noexcept {
  io::chunk_block* const scratch = chunks().take();
  long n = -ENOMEM;
  for (int i = 0; scratch != nullptr && i < reads_per_turn; ++i) {
    n = system_call::recv(fd, scratch->data(), scratch->capacity);
    if (n <= 0) break;
    has_received(static_cast<std::size_t>(n));
  }
  if (scratch != nullptr) io::chunk_block::release(scratch);
  if (n > 0 || n == -EINTR)
    lingering_wait()->look_again();
  else if (n == -EAGAIN)
    lingering_wait()->park();
  else
    end_linger();
}

void connection_state::end_linger() noexcept {
  end_socket(ending::closed);
  free_if_unused();
}

void connection_state::cut_linger() noexcept {
  cancel();  // a handler may run on
  end_linger();
}

unattended_wait*& connection_state::lingering_wait() noexcept {
  return migrates_ ? aside_.away->lingers : aside_.lingers;
}

bool connection_state::wait_unattended() noexcept {
  unattended_wait*& wait = lingering_wait();
  if (wait == nullptr) wait = unattended_wait::make(*this);
  return wait != nullptr;
}

void connection_state::wait_no_more() noexcept {
  if (phase_ == phase::parked && !migrates_) {
    if (aside_.parked != nullptr) std::exchange(aside_.parked, nullptr)->end();
  } else if (unattended_wait*& wait = lingering_wait(); wait != nullptr) {
    std::exchange(wait, nullptr)->end();
  }
}

}  // namespace weir
