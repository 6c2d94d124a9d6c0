#include "weir/connection/detail/write_operations.hpp"

#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "kinds.hpp"

namespace weir::detail {

bool cancel_write(operation& op, int error) noexcept {
  auto& self = static_cast<write_operation&>(op);
  self.on->owe();
  self.leave_writing();
  self.outcome = -error;
  return true;
}

const operation_kind kind_of_send{
    .proceed = proceed_writing<send_operation>, .cancel = cancel_write, .layered = &kind_of_layered_send};
const operation_kind kind_of_gather{
    .proceed = proceed_writing<gather_operation>, .cancel = cancel_write, .layered = &kind_of_layered_gather};
const operation_kind kind_of_send_file{.proceed = proceed_writing<send_file_operation>,
                                       .cancel = cancel_write,
                                       .layered = &kind_of_layered_send_file};

bool write_operation::not_sent() const {
  if (outcome != peer_gone) throw_failed(static_cast<int>(-outcome), "send");
  return false;
}

attempt_result write_operation::give_up(int failure) noexcept {
  if (interrupted(*on, -failure)) return attempt_result::again;
  if (failure == EAGAIN || failure == EINTR) {
    if (on->mode != io::wait_mode::blocking) on->writable = false;
    return attempt_result::blocked;
  }
  outcome = failure == ENOMEM || failure == ENOBUFS ? -failure : peer_gone;
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
  on->sent = n > 0;
  if (n < 0) return give_up(static_cast<int>(-n));
  on->has_sent(static_cast<std::size_t>(n));
  data += n;
  outcome -= n;
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
    on->has_sent(static_cast<std::size_t>(n));
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
      on->has_sent(static_cast<std::size_t>(n));
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
    outcome = -failure;
    on->owe();
    break;
  }
  return attempt_result::done;
}

}  // namespace weir::detail
