#include "weir/connection/detail/operations.hpp"

#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "kinds.hpp"
#include "weir/base/error.hpp"

namespace weir::detail {

[[gnu::noinline]] bool ended(connection_state& c, long n, bool between_messages) noexcept {
  if (n == -EAGAIN || n == -EINTR) {
    if (!c.is_stopping() || !between_messages || c.awaits_first_bytes) {
      if (c.mode != io::wait_mode::blocking) c.readable = false;
      return false;
    }
    c.end = ending::stopping;
    return true;
  }
  if (n == 0)
    c.end = c.broken ? ending::peer_reset : ending::peer_closed;
  else
    c.end = c.fd < 0 ? ending::closed : ending::peer_reset;
  return true;
}

namespace {

bool receive_nothing(receive_operation& op, int error) noexcept {
  op.data = nullptr;
  op.size = 0;
  op.error = error;
  return true;
}

template <bool was_parked>
bool try_receive(receive_operation& op) noexcept;

// What is rare is kept out of try_receive, and is called last there: then it needs no stack frame.
template <bool was_parked>
[[gnu::noinline]] bool receive_into_new_chunk(receive_operation& op) noexcept {
  return op.on->chunks().grow() ? try_receive<was_parked>(op) : receive_nothing(op, ENOMEM);
}

template <bool was_parked>
[[gnu::noinline]] bool receive_failed(receive_operation& op, io::chunk_block* unused, long n) noexcept {
  op.on->chunks().give_back(unused);
  if (ended(*op.on, n, true)) return receive_nothing(op, 0);
  if (was_parked) op.park_reading();
  return false;
}

// The driver calls it for each event of a connection that waits in receive().
template <bool was_parked>
bool try_receive(receive_operation& op) noexcept {
  connection_state& c = *op.on;
  if (was_parked) c.reading = nullptr;
  if (c.end != ending::none) [[unlikely]]
    return receive_nothing(op, 0);
  io::chunk_block* const block = c.chunks().take_kept();
  if (block == nullptr) [[unlikely]]
    return receive_into_new_chunk<was_parked>(op);
  const long n = system_call::recv(c.fd, block->data(), block->capacity);
  if (n <= 0) [[unlikely]]
    return receive_failed<was_parked>(op, block, n);
  op.data = block->data();
  op.size = static_cast<std::uint32_t>(n);
  // Drained: do not pay to learn EAGAIN.
  if (static_cast<std::size_t>(n) < block->capacity && !c.hung_up) {
    c.readable = false;
    c.heard = true;
  }
  return true;
}

bool proceed_receive(operation& op) noexcept {
  return try_receive<true>(static_cast<receive_operation&>(op));
}

bool try_read(read_operation& op) noexcept {
  connection_state& c = *op.on;
  while (op.done < op.least) {
    if (c.end != ending::none) [[unlikely]]
      return true;
    const std::size_t room = op.size - op.done;
    const long n = system_call::recv(c.fd, op.into + op.done, room);
    if (n <= 0) return ended(c, n, op.done == 0);
    op.done += static_cast<std::size_t>(n);
    c.progressed();
    if (static_cast<std::size_t>(n) < room && !c.hung_up) {
      c.readable = false;
      c.heard = true;
      return op.done >= op.least;
    }
  }
  return true;
}

bool proceed_read(operation& op) noexcept {
  auto& self = static_cast<read_operation&>(op);
  self.on->reading = nullptr;
  if (try_read(self)) return true;
  self.park_reading();
  return false;
}

bool cancel_receive(operation& op, int error) noexcept {
  auto& self = static_cast<receive_operation&>(op);
  if (self.on->reading == &self) self.on->reading = nullptr;
  self.data = nullptr;
  self.size = 0;
  self.error = error;
  return true;
}

bool cancel_read(operation& op, int error) noexcept {
  auto& self = static_cast<read_operation&>(op);
  if (self.on->reading == &self) self.on->reading = nullptr;
  self.error = error;
  return true;
}

}  // namespace

bool cancel_write(operation& op, int error) noexcept {
  auto& self = static_cast<write_operation&>(op);
  if (self.on->writing == &self) self.on->writing = nullptr;
  self.outcome = error;
  return true;
}

const operation_kind kind_of_receive{proceed_receive, cancel_receive};
const operation_kind kind_of_read{proceed_read, cancel_read};
const operation_kind kind_of_send{proceed_writing<send_operation>, cancel_write};
const operation_kind kind_of_gather{proceed_writing<gather_operation>, cancel_write};
const operation_kind kind_of_send_file{proceed_writing<send_file_operation>, cancel_write};

void connection_operation::throw_failed(int error, const char* what) const {
  throw std::system_error(error, std::generic_category(), fmt::format("{} {}", what, on->peer().to_string()));
}

void connection_operation::throw_busy() {
  throw std::system_error(std::make_error_code(std::errc::operation_in_progress),
                          "another coroutine waits on this connection in the same direction");
}

void connection_operation::again() noexcept {
  on->progressed();
  root->schedule();
}

bool receive_operation::attempt() noexcept { return try_receive<false>(*this); }

bool read_operation::attempt() noexcept { return try_read(*this); }

bool read_exactly_operation::await_resume() const {
  if (error != 0) throw_failed(error, "read_exactly");
  if (done == least) return true;
  if (done != 0) throw std::system_error(errc::truncated, on->peer().to_string());
  return false;
}

bool write_operation::give_up(int failure) noexcept {
  if (failure == EAGAIN || failure == EINTR) return not_all_yet();
  outcome = failure == ENOMEM || failure == ENOBUFS ? failure : peer_gone;
  if (outcome == peer_gone) on->lost(failure);
  return true;
}

bool write_operation::not_all_yet() noexcept {
  if (on->mode != io::wait_mode::blocking) on->writable = false;
  return false;
}

bool send_operation::attempted(long n) noexcept {
  if (n < 0) return give_up(static_cast<int>(-n));
  data += n;
  on->progressed();
  size -= static_cast<std::size_t>(n);
  return not_all_yet();
}

bool gather_operation::attempt() noexcept {
  while (!pieces.empty()) {
    std::array<iovec, 64> parts;
    const std::size_t count = std::min(pieces.size(), parts.size());
    std::size_t total = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const std::string_view piece = i == 0 ? pieces[0].substr(skip) : pieces[i];
      parts[i] = {const_cast<char*>(piece.data()), piece.size()};
      total += piece.size();
    }
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = count;
    const ssize_t n = total == 0 ? 0 : ::sendmsg(on->fd, &message, MSG_NOSIGNAL);
    if (n < 0) return give_up(errno);
    std::size_t gone = skip + static_cast<std::size_t>(n);
    while (!pieces.empty() && gone >= pieces[0].size()) {
      gone -= pieces[0].size();
      pieces = pieces.subspan(1);
    }
    skip = gone;
    if (static_cast<std::size_t>(n) < total) return not_all_yet();
  }
  return true;
}

bool send_file_operation::attempt() noexcept {
  while (left > 0) {
    const ssize_t n = ::sendfile(on->fd, file, &offset, left);
    if (n < 0) {
      // The file's own troubles are errors; the socket's are an end.
      if (errno == EINVAL || errno == EIO || errno == EOVERFLOW || errno == ESPIPE ||
          (errno == EBADF && on->fd >= 0)) {
        outcome = errno;
        return true;
      }
      return give_up(errno);
    }
    if (n == 0) {  // the file is shorter than was promised
      outcome = ENODATA;
      return true;
    }
    left -= static_cast<std::size_t>(n);
  }
  return true;
}

}  // namespace weir::detail
