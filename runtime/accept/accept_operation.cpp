#include "weir/accept/detail/accept_operation.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

namespace weir::detail {
namespace {

constexpr operation_kind kind_of_accept{
    .proceed =
        [](operation& op) noexcept {
          auto& self = static_cast<accept_operation&>(op);
          self.on->reading = nullptr;
          // Ready again right after the last accept: there is a burst.
          self.on->burst |= self.on->driver->batch() == self.on->parked_in + 1;
          if (self.attempt()) return true;
          self.park();
          return false;
        },
    .cancel =
        [](operation& op, int error) noexcept {
          auto& self = static_cast<accept_operation&>(op);
          if (self.on->reading == &self) self.on->reading = nullptr;
          self.outcome.error = error;
          return true;
        },
};

constexpr operation_kind kind_of_client{
    .proceed =
        [](operation& op) noexcept {
          static_cast<client_operation&>(op).on->reading = nullptr;
          return true;
        },
    .cancel =
        [](operation& op, int) noexcept {
          auto& self = static_cast<client_operation&>(op);
          if (self.on->reading == &self) self.on->reading = nullptr;
          return true;
        },
};

}  // namespace

client_operation::client_operation(listening_descriptor& l) noexcept : operation(kind_of_client), on(&l) {}

accept_operation::accept_operation(listening_descriptor& l, permit_pool& g, bool refuse_excess) noexcept
    : operation(kind_of_accept), on(&l), permits(&g), refuse(refuse_excess) {}

bool accept_operation::attempt() noexcept {
  permit_pool::permit permit = permits->try_acquire();
  if (!permit && !refuse) {
    outcome.error = EUSERS;
    return true;
  }
  sockaddr_storage address;
  socklen_t size = sizeof address;
  const int fd = ::accept4(on->fd, reinterpret_cast<sockaddr*>(&address), &size,
                           on->blocks_clients ? SOCK_CLOEXEC : SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) {
    if (on->mode == io::wait_mode::blocking && (errno == EAGAIN || errno == EINTR)) return false;
    if (errno == EAGAIN) {
      on->burst = false;
      return on->readable = false;
    }
    outcome.error = errno;
    return true;
  }
  outcome = {0, fd, peer_address::from(reinterpret_cast<const sockaddr*>(&address), size),
             static_cast<bool>(permit)};
  static_cast<void>(permit.release());  // the awaiting coroutine makes it a permit again
  on->readable = on->burst || on->mode == io::wait_mode::blocking;
  return true;
}

void accept_operation::park() noexcept {
  if (on->mode == io::wait_mode::blocking) return root->schedule();
  on->driver->assert_thread("accept_operation::park");
  on->parked_in = on->driver->batch();
  on->driver->park_reading(*on, *this);
}

}  // namespace weir::detail
