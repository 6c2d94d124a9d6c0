#include "weir/connection/detail/stream_layer.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "weir/base/detail/system_call.hpp"
#include "weir/connection/detail/connection_state.hpp"

namespace weir {

std::size_t stream_layer::take_early(void* into, std::size_t size) noexcept {
  const std::size_t n = early_.copy(static_cast<char*>(into), size);
  early_.erase(0, n);
  return n;
}

void stream_layer::attach(connection_state& c) noexcept {
  on_ = &c;
  socket_ = {};
  socket_.fd = c.fd;
  socket_.reads_until_eagain = c.reads_until_eagain;
  // A worker whose connections are read by their cores makes no system call.
  if (c.mode == io::wait_mode::migrating) expect(c.readable);
  event_.root = &c;
}

bool stream_layer::park(operation& op, bool& for_reading) noexcept {
  const operation_kind* const layered = op.kind->layered;
  const bool first = layered != nullptr && layered != op.kind;
  bool ready = for_reading ? may_have_input() : socket_.writable;
  if (layered != nullptr) {
    op.kind = layered;
  } else {  // it has looked at the socket itself
    (for_reading ? socket_.readable : socket_.writable) = false;
    ready = false;
  }
  if (on_->mode == io::wait_mode::blocking ? first : ready) {
    op.root->schedule();
    return false;
  }
  if (on_->mode == io::wait_mode::layered) {
    watch(for_reading);
    return false;
  }
  if (has_unsent()) for_reading = false;
  return true;
}

void stream_layer::watch(bool for_reading) noexcept {
  io::driver& driver = *on_->driver;
  socket_.driver = &driver;
  if (for_reading) driver.park_reading(socket_, event_);
  if (!for_reading || has_unsent()) driver.park_writing(socket_, event_);
}

void stream_layer::leave_driver() noexcept {
  on_->driver->forget(socket_);
  socket_.reading = socket_.writing = nullptr;
}

// Called by the driver. Resuming may migrate the connection, or end its life at the next turn: the last
// thing.
bool stream_layer::event(operation& op) noexcept {
  stream_layer& self = *static_cast<event_operation&>(op).of;
  connection_state& c = *self.on_;
  if (!c.driver->tries_first()) self.expect(true);  // a ring does not say which direction it was
  const bool flushed = self.socket_.writable && self.has_unsent() && self.flush() == 0;
  if (flushed && self.shuts_) ::shutdown(c.fd, SHUT_WR);
  operation* const reading = flushed || self.may_have_input() ? c.reading : nullptr;
  operation* const writing = self.socket_.writable ? c.writing : nullptr;
  if (reading != nullptr && writing != nullptr && reading != writing) writing->root->schedule();
  if (reading != nullptr)
    chain::proceed(*reading);
  else if (writing != nullptr)
    chain::proceed(*writing);
  return false;  // there is no coroutine of its own to resume
}

// The kernel refuses the socket, or the connection's core goes.
bool stream_layer::wait_failed(operation& op, int error) noexcept {
  connection_state& c = *static_cast<event_operation&>(op).of->on_;
  if (error == 0) return true;
  operation* const reading = c.reading;
  operation* const writing = c.writing;
  if (reading != nullptr) reading->root->wait_failed(*reading, error);
  if (writing != nullptr && writing != reading) writing->root->wait_failed(*writing, error);
  return true;
}

long stream_layer::socket_recv(void* into, std::size_t size) noexcept {
  const bool blocks = on_->mode == io::wait_mode::blocking;
  if (on_->fd < 0) return -EBADF;
  if (!blocks && !socket_.readable) return -EAGAIN;
  long n;
  do n = system_call::recv(on_->fd, into, size);
  while (n == -EINTR && !blocks);
  if (blocks) return n == -EINTR ? -EAGAIN : n;
  if (n == -EAGAIN || (n > 0 && static_cast<std::size_t>(n) < size && !socket_.reads_until_eagain))
    socket_.readable = false;
  return n;
}

long stream_layer::socket_send(const void* from, std::size_t size, int flags) noexcept {
  const bool blocks = on_->mode == io::wait_mode::blocking;
  if (on_->fd < 0) return -EBADF;
  if (!blocks && !socket_.writable) return -EAGAIN;
  long n;
  do n = system_call::send(on_->fd, from, size, flags);
  while (n == -EINTR && !blocks);
  if (blocks) return n == -EINTR ? -EAGAIN : n;
  if (n == -EAGAIN || (n > 0 && static_cast<std::size_t>(n) < size)) socket_.writable = false;
  return n;
}

void stream_layer::acknowledge() noexcept {
  const int on = 1;
  ::setsockopt(on_->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);  // a unix socket has no such thing
}

}  // namespace weir
