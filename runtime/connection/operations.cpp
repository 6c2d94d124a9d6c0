#include "weir/connection/detail/operations.hpp"

#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
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

[[gnu::noinline]] bool receive_end(receive_operation& op) noexcept {
  op.leave_reading();
  return receive_nothing(op, 0);
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
  // After an end another wait may have taken the direction.
  if (c.end != ending::none) [[unlikely]]
    return receive_end(op);
  if (was_parked) c.reading = nullptr;
  io::chunk_block* const block = c.chunks().take_kept();
  if (block == nullptr) [[unlikely]]
    return receive_into_new_chunk<was_parked>(op);
  const long n = system_call::recv(c.fd, block->data(), block->capacity);
  if (n <= 0) [[unlikely]]
    return receive_failed<was_parked>(op, block, n);
  op.data = block->data();
  op.size = static_cast<std::uint32_t>(n);
  if (static_cast<std::size_t>(n) < block->capacity && !c.hung_up)
    c.drained();
  else
    c.heard = io::descriptor::hearing::since_wait;
  return true;
}

bool proceed_receive(operation& op) noexcept {
  return try_receive<true>(static_cast<receive_operation&>(op));
}

bool proceed_read(operation& op) noexcept { return proceed_reading<read_operation>(op); }

bool cancel_receive(operation& op, int error) noexcept {
  auto& self = static_cast<receive_operation&>(op);
  self.leave_reading();
  self.data = nullptr;
  self.size = 0;
  self.error = error;
  return true;
}

bool cancel_read(operation& op, int error) noexcept {
  auto& self = static_cast<read_operation&>(op);
  self.leave_reading();
  self.error = error;
  return true;
}

}  // namespace

bool cancel_write(operation& op, int error) noexcept {
  auto& self = static_cast<write_operation&>(op);
  self.on->owe();
  self.leave_writing();
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

void connection_operation::direction_taken(chain& waiting, std::coroutine_handle<> h) {
  if (on == &no_connection.state) {
    std::fputs("weir: an operation on a connection that was moved from\n", stderr);
    std::abort();
  }
  if (!on->is_orphan())
    throw std::system_error(std::make_error_code(std::errc::operation_in_progress),
                            "another coroutine waits on this connection in the same direction");
  waiting.suspend(*this, h);
  waiting.schedule();
}

void connection_operation::again() noexcept {
  on->moved_slowly();
  root->schedule();
}

void connection_operation::again_reading() noexcept {
  on->reading = this;
  again();
}

void connection_operation::again_writing() noexcept {
  on->writing = this;
  again();
}

bool receive_operation::attempt() noexcept { return try_receive<false>(*this); }

attempt_result read_operation::attempt() noexcept {
  connection_state& c = *on;
  for (std::size_t moved = 0; done < least;) {
    if (c.end != ending::none) [[unlikely]]
      return attempt_result::done;
    if (moved >= most_per_turn) {
      c.driver->end_round();
      return attempt_result::again;
    }
    const std::size_t room = std::min(size - done, most_per_turn);
    const long n = system_call::recv(c.fd, into + done, room);
    if (n <= 0) return ended(c, n, done == 0) ? attempt_result::done : attempt_result::blocked;
    done += static_cast<std::size_t>(n);
    moved += static_cast<std::size_t>(n);
    c.moved_slowly();
    if (static_cast<std::size_t>(n) < room && !c.hung_up) {
      c.drained();
      return done >= least ? attempt_result::done : attempt_result::blocked;
    }
  }
  return attempt_result::done;
}

bool read_exactly_operation::await_resume() const {
  if (error != 0) throw_failed(error, "read_exactly");
  if (done == least) return true;
  if (done != 0) throw std::system_error(errc::truncated, on->peer().to_string());
  return false;
}

attempt_result write_operation::give_up(int failure) noexcept {
  if (failure == EAGAIN || failure == EINTR) {
    if (on->mode != io::wait_mode::blocking) on->writable = false;
    return attempt_result::blocked;
  }
  outcome = failure == ENOMEM || failure == ENOBUFS ? failure : peer_gone;
  on->owe();
  if (outcome == peer_gone) on->lost(failure);
  return attempt_result::done;
}

attempt_result write_operation::not_all_yet(std::size_t n, std::size_t asked) noexcept {
  on->moved_slowly();
  if (n == asked) {
    on->driver->end_round();
    return attempt_result::again;
  }
  // A short count: the send buffer is full.
  if (on->mode != io::wait_mode::blocking) on->writable = false;
  return attempt_result::blocked;
}

attempt_result send_operation::attempted(long n, std::size_t part) noexcept {
  if (n < 0) return give_up(static_cast<int>(-n));
  data += n;
  size -= static_cast<std::size_t>(n);
  return not_all_yet(static_cast<std::size_t>(n), part);
}

attempt_result gather_operation::attempt() noexcept {
  std::array<iovec, 64> parts;
  for (std::size_t sent = 0; !pieces.empty();) {
    std::size_t count = 0;
    std::size_t total = 0;
    for (; count < std::min(pieces.size(), parts.size()) && sent + total < most_per_turn; ++count) {
      std::string_view piece = count == 0 ? pieces[0].substr(skip) : pieces[count];
      piece = piece.substr(0, most_per_turn - sent - total);
      parts[count] = {const_cast<char*>(piece.data()), piece.size()};
      total += piece.size();
    }
    if (count == 0) return not_all_yet(sent, sent);
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
    sent += static_cast<std::size_t>(n);
    if (static_cast<std::size_t>(n) < total) return not_all_yet(static_cast<std::size_t>(n), total);
  }
  on->moved_slowly();
  return attempt_result::done;
}

attempt_result send_file_operation::attempt() noexcept {
  for (std::size_t sent = 0; left > 0;) {
    if (sent == most_per_turn) return not_all_yet(sent, sent);
    const ssize_t n = ::sendfile(on->fd, file, &offset, std::min(left, most_per_turn - sent));
    if (n > 0) {
      left -= static_cast<std::size_t>(n);
      sent += static_cast<std::size_t>(n);
      on->moved_slowly();
      continue;
    }
    // The file's own troubles are errors; the socket's are an end. A file that is shorter than was promised:
    // ENODATA.
    const int failure = n == 0 ? ENODATA : errno;
    if (failure != ENODATA && failure != EINVAL && failure != EIO && failure != EOVERFLOW &&
        failure != ESPIPE && !(failure == EBADF && on->fd >= 0))
      return give_up(failure);
    outcome = failure;
    on->owe();
    break;
  }
  return attempt_result::done;
}

}  // namespace weir::detail
